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
// An element of any type as 64 bits: floats as a double's, integers as a long one's. So a pair of types is no code of its own.
enum Form { FLOATING, SIGNED, UNSIGNED };
template <typename X> __device__ __forceinline__ uint64 widened(X x) { return (uint64)(int64)x; }
template <> __device__ __forceinline__ uint64 widened(unsigned long long x) { return x; }
template <> __device__ __forceinline__ uint64 widened(float x) { return (uint64)__double_as_longlong((double)x); }
template <> __device__ __forceinline__ uint64 widened(double x) { return (uint64)__double_as_longlong(x); }
template <> __device__ __forceinline__ uint64 widened(half_bits x) { return (uint64)__double_as_longlong(widen(x)); }

struct Cast {
    static __device__ __forceinline__ element of(uint64 bits, Form form) {
        if (form == FLOATING) return convert<element>(__longlong_as_double((int64)bits));
        return form == SIGNED ? convert<element>((long long)bits) : convert<element>((unsigned long long)bits);
    }
};
struct Truth {  // a float's sign says nothing
    static __device__ __forceinline__ element of(uint64 bits, Form form) {
        return convert<element>((unsigned char)((form == FLOATING ? bits << 1 : bits) != 0));
    }
};

typedef Walk<4> Fours;

template <typename X>
__device__ __forceinline__ void widen_four(uint64 (&wide)[4], const void* x, const View& view, const int64 (&places)[4], bool together) {
    const X* from = static_cast<const X*>(x);
    Some<X, 4> some;
    if (together && packs_to<4>(from, view)) {
        some = *(const Some<X, 4>*)(from + places[0]);
    } else {
#pragma unroll
        for (int k = 0; k < 4; k++) some.v[k] = from[places[k]];
    }
#pragma unroll
    for (int k = 0; k < 4; k++) wide[k] = widened(some.v[k]);
}

// `kind` numbers the element types in the order of backend/sources.py.
template <typename Rule>
__device__ __forceinline__ void convert_kind(element* y, const View& y_view, const void* x, const View& x_view, int64 kind) {
    const Fours walk(y_view.size, packs_to<4>(y, y_view));
    const Form form = kind < 3 ? FLOATING : kind == 10 ? UNSIGNED : SIGNED;
    for (EACH_SOME(i, walk)) {
        int64 at_x[4];
        uint64 wide[4];
        walk.find(at_x, x_view, i);
        switch (kind) {
            case 0: widen_four<float>(wide, x, x_view, at_x, walk.whole(i)); break;
            case 1: widen_four<double>(wide, x, x_view, at_x, walk.whole(i)); break;
            case 2: widen_four<half_bits>(wide, x, x_view, at_x, walk.whole(i)); break;
            case 3: widen_four<long long>(wide, x, x_view, at_x, walk.whole(i)); break;
            case 4: widen_four<int>(wide, x, x_view, at_x, walk.whole(i)); break;
            case 5: widen_four<short>(wide, x, x_view, at_x, walk.whole(i)); break;
            case 6: widen_four<signed char>(wide, x, x_view, at_x, walk.whole(i)); break;
            case 7: widen_four<unsigned char>(wide, x, x_view, at_x, walk.whole(i)); break;
            case 8: widen_four<unsigned short>(wide, x, x_view, at_x, walk.whole(i)); break;
            case 9: widen_four<unsigned>(wide, x, x_view, at_x, walk.whole(i)); break;
            default: widen_four<unsigned long long>(wide, x, x_view, at_x, walk.whole(i));
        }
        Some<element, 4> some;
#pragma unroll
        for (int k = 0; k < 4; k++) some.v[k] = Rule::of(wide[k], form);
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
