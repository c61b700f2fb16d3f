// layout.cu - moving elements: copies between strided views, sums of gradients, changes of type.
// It has never run on a GPU: it was compiled for each architecture and run in the emulator.
// launch copy_into: joined
// launch accumulate: joined
// launch cast_into: joined
// launch truth_into: joined
#include "common.cuh"
#include "convert.cuh"

#ifdef NX_BYTES
KERNEL NX_NAME(copy_into)(element* y, const View y_view, const element* x, const View x_view) {
    if (packs(y, y_view) && packs(x, x_view)) {
        const int64 whole = y_view.size / PACK;
        for (EACH(i, whole)) *(Pack*)(y + i * PACK) = pack_of(x, x_view, i);
        for (EACH(i, y_view.size - whole * PACK)) y[whole * PACK + i] = x[(whole * PACK + i) * x_view.strides[0]];
        return;
    }
    for (EACH(i, y_view.size)) y[at(y_view, i)] = x[at(x_view, i)];
}
#endif

#ifdef NX_NUMBERS
KERNEL NX_NAME(accumulate)(element* total, const View total_view, const element* more, const View more_view) {
    for (EACH(i, total_view.size)) {
        int64 k = at(total_view, i);
        total[k] = plus(total[k], more[at(more_view, i)]);
    }
}
#endif

#ifdef NX_EVERY
struct Cast {
    template <typename X> static __device__ __forceinline__ element of(X x) { return convert<element>(x); }
};
struct Truth {
    template <typename X> static __device__ __forceinline__ element of(X x) { return convert<element>((unsigned char)!is_zero(x)); }
};

template <typename Rule, typename X>
__device__ __forceinline__ void convert_all(element* y, const View& y_view, const void* x, const View& x_view) {
    for (EACH(i, y_view.size)) y[at(y_view, i)] = Rule::of(static_cast<const X*>(x)[at(x_view, i)]);
}

// `kind` numbers the element types in the order of backend/sources.py.
template <typename Rule>
__device__ __forceinline__ void convert_kind(element* y, const View& y_view, const void* x, const View& x_view, int64 kind) {
    switch (kind) {
        case 0: return convert_all<Rule, float>(y, y_view, x, x_view);
        case 1: return convert_all<Rule, double>(y, y_view, x, x_view);
        case 2: return convert_all<Rule, half_bits>(y, y_view, x, x_view);
        case 3: return convert_all<Rule, long long>(y, y_view, x, x_view);
        case 4: return convert_all<Rule, int>(y, y_view, x, x_view);
        case 5: return convert_all<Rule, short>(y, y_view, x, x_view);
        case 6: return convert_all<Rule, signed char>(y, y_view, x, x_view);
        case 7: return convert_all<Rule, unsigned char>(y, y_view, x, x_view);
        case 8: return convert_all<Rule, unsigned short>(y, y_view, x, x_view);
        case 9: return convert_all<Rule, unsigned>(y, y_view, x, x_view);
        default: return convert_all<Rule, unsigned long long>(y, y_view, x, x_view);
    }
}

KERNEL NX_NAME(cast_into)(element* y, const View y_view, const void* x, const View x_view, int64 x_kind) {
    convert_kind<Cast>(y, y_view, x, x_view, x_kind);
}

KERNEL NX_NAME(truth_into)(element* y, const View y_view, const void* x, const View x_view, int64 x_kind) {
    convert_kind<Truth>(y, y_view, x, x_view, x_kind);
}
#endif
