// layout.cu - moving elements: copies between strided views, sums of gradients, changes of type.
// It has never run on a GPU: it was compiled for each architecture and run in the emulator.
// launch copy_into: joined
// launch accumulate: joined
// launch cast_into: joined
// launch truth_into: joined
#include "convert.cuh"
#include "packs.cuh"

#ifdef NX_BYTES
KERNEL NX_NAME(copy_into)(element* y, const View y_view, const element* x, const View x_view) {
    constexpr int MANY = 16 / sizeof(element);
    const Walk<MANY> walk(y_view.size, packs_to<MANY>(y, y_view) && packs<MANY>(x, x_view));
    for (EACH_SOME(i, walk)) walk.put(y, y_view, i, walk.taken(x, x_view, i));
}
#endif

#ifdef NX_NUMBERS
KERNEL NX_NAME(accumulate)(element* total, const View total_view, const element* more, const View more_view) {
    const Walk<FEW> walk(total_view.size, packs_to<FEW>(total, total_view) && packs<FEW>(more, more_view));
    for (EACH_SOME(i, walk)) {
        Some<element, FEW> some = walk.taken(total, total_view, i);
        const Some<element, FEW> added = walk.taken(more, more_view, i);
#pragma unroll
        for (int k = 0; k < FEW; k++) some.v[k] = plus(some.v[k], added.v[k]);
        walk.put(total, total_view, i, some);
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

typedef Walk<4> Fours;

template <typename Rule, typename X>
__device__ __forceinline__ Some<element, 4> converted(const void* x, const View& view, const int64 (&places)[4], bool together) {
    const X* from = static_cast<const X*>(x);
    Some<X, 4> some;
    if (together && packs_to<4>(from, view)) {
        some = *(const Some<X, 4>*)(from + places[0]);
    } else {
#pragma unroll
        for (int k = 0; k < 4; k++) some.v[k] = from[places[k]];
    }
    Some<element, 4> y;
#pragma unroll
    for (int k = 0; k < 4; k++) y.v[k] = Rule::of(some.v[k]);
    return y;
}

// `kind` numbers the element types in the order of backend/sources.py.
template <typename Rule>
__device__ __forceinline__ void convert_kind(element* y, const View& y_view, const void* x, const View& x_view, int64 kind) {
    const Fours walk(y_view.size, packs_to<4>(y, y_view));
    for (EACH_SOME(i, walk)) {
        int64 at_x[4];
#pragma unroll
        for (int k = 0; k < 4; k++) at_x[k] = at(x_view, i + k * walk.apart < walk.size ? i + k * walk.apart : i);
        Some<element, 4> some;
        switch (kind) {
            case 0: some = converted<Rule, float>(x, x_view, at_x, walk.whole(i)); break;
            case 1: some = converted<Rule, double>(x, x_view, at_x, walk.whole(i)); break;
            case 2: some = converted<Rule, half_bits>(x, x_view, at_x, walk.whole(i)); break;
            case 3: some = converted<Rule, long long>(x, x_view, at_x, walk.whole(i)); break;
            case 4: some = converted<Rule, int>(x, x_view, at_x, walk.whole(i)); break;
            case 5: some = converted<Rule, short>(x, x_view, at_x, walk.whole(i)); break;
            case 6: some = converted<Rule, signed char>(x, x_view, at_x, walk.whole(i)); break;
            case 7: some = converted<Rule, unsigned char>(x, x_view, at_x, walk.whole(i)); break;
            case 8: some = converted<Rule, unsigned short>(x, x_view, at_x, walk.whole(i)); break;
            case 9: some = converted<Rule, unsigned>(x, x_view, at_x, walk.whole(i)); break;
            default: some = converted<Rule, unsigned long long>(x, x_view, at_x, walk.whole(i));
        }
        walk.put(y, y_view, i, some);
    }
}

KERNEL NX_NAME(cast_into)(element* y, const View y_view, const void* x, const View x_view, int64 x_kind) {
    convert_kind<Cast>(y, y_view, x, x_view, x_kind);
}

KERNEL NX_NAME(truth_into)(element* y, const View y_view, const void* x, const View x_view, int64 x_kind) {
    convert_kind<Truth>(y, y_view, x, x_view, x_kind);
}
#endif
