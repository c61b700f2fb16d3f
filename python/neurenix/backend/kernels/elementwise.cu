// elementwise.cu - one expression an element: arithmetic, functions, activations and their gradients, comparisons, choices.
// It has never run on a GPU: it was compiled for each architecture and run in the emulator. Same bits as the CPU, but for the
// functions that go through the platform's double (sin, cos, a double's pow, ...), which may differ in the last place.
//
// The numbers of the expressions are those of neurenix/ops/elementwise.py and rust/neurenix-core/src/elementwise.
// max-stack: 64
// launch unary: joined
// launch binary: joined
// launch ternary: joined
// launch integer_unary: joined
// launch integer_binary: joined
// launch compare: joined
// launch select: joined
#include "packs.cuh"
#ifdef NX_FLOATS
#include "expressions.cuh"

KERNEL NX_NAME(unary)(element* y, const View y_view, const element* x, const View x_view, int64 op, double a, double b) {
    const Walk<FEW> walk(y_view.size, packs_to<FEW>(y, y_view) && packs<FEW>(x, x_view));
    for (EACH_SOME(i, walk))
        walk.put(y, y_view, i, each_of<element, FEW>([&](element v) { return unary_of((int)op, v, (element)a, (element)b); },
                                                     walk.taken(x, x_view, i)));
}

KERNEL NX_NAME(binary)(element* y, const View y_view, const element* x, const View x_view, const element* other, const View other_view,
                       int64 op, double a, double b) {
    const Walk<FEW> walk(y_view.size, packs_to<FEW>(y, y_view) && packs<FEW>(x, x_view) && packs<FEW>(other, other_view));
    for (EACH_SOME(i, walk))
        walk.put(y, y_view, i, each_of<element, FEW>([&](element v, element o) { return binary_of((int)op, v, o, (element)a, (element)b); },
                                                     walk.taken(x, x_view, i), walk.taken(other, other_view, i)));
}

KERNEL NX_NAME(ternary)(element* y, const View y_view, const element* g, const View g_view, const element* x, const View x_view,
                        const element* other, const View other_view, int64 op) {
    const Walk<FEW> walk(y_view.size, packs_to<FEW>(y, y_view) && packs<FEW>(g, g_view) && packs<FEW>(x, x_view) && packs<FEW>(other, other_view));
    for (EACH_SOME(i, walk))
        walk.put(y, y_view, i, each_of<element, FEW>([&](element d, element v, element o) { return ternary_of((int)op, d, v, o); },
                                                     walk.taken(g, g_view, i), walk.taken(x, x_view, i), walk.taken(other, other_view, i)));
}
#endif

#ifdef NX_INTEGERS
#include "integers.cuh"

KERNEL NX_NAME(integer_unary)(element* y, const View y_view, const element* x, const View x_view, int64 op) {
    const Walk<FEW> walk(y_view.size, packs_to<FEW>(y, y_view) && packs<FEW>(x, x_view));
    for (EACH_SOME(i, walk))
        walk.put(y, y_view, i, each_of<element, FEW>([&](element v) { return integer_unary_of((int)op, v); }, walk.taken(x, x_view, i)));
}

KERNEL NX_NAME(integer_binary)(element* y, const View y_view, const element* x, const View x_view, const element* other,
                               const View other_view, int64 op) {
    const Walk<FEW> walk(y_view.size, packs_to<FEW>(y, y_view) && packs<FEW>(x, x_view) && packs<FEW>(other, other_view));
    for (EACH_SOME(i, walk))
        walk.put(y, y_view, i, each_of<element, FEW>([&](element v, element o) { return integer_binary_of((int)op, v, o); },
                                                     walk.taken(x, x_view, i), walk.taken(other, other_view, i)));
}
#endif

#ifdef NX_NUMBERS
__device__ __forceinline__ bool question(int op, element x, element y) {
    bool infinite = x == Traits<element>::low() || x == Traits<element>::high();
    switch (op) {
        case 0: return x == y;
        case 1: return x != y;
        case 2: return x < y;
        case 3: return x <= y;
        case 4: return x > y;
        case 5: return x >= y;
        case 6: return x != x;
        case 7: return infinite;
        default: return x == x && !infinite;
    }
}

KERNEL NX_NAME(compare)(const element* x, const View x_view, const element* other, const View other_view, unsigned char* y,
                        const View y_view, int64 op) {
    const Walk<FEW> walk(y_view.size, packs_to<FEW>(y, y_view) && packs<FEW>(x, x_view) && packs<FEW>(other, other_view));
    for (EACH_SOME(i, walk))
        walk.put(y, y_view, i, each_of<unsigned char, FEW>([&](element v, element o) { return (unsigned char)question((int)op, v, o); },
                                                           walk.taken(x, x_view, i), walk.taken(other, other_view, i)));
}
#endif

#ifdef NX_BYTES
KERNEL NX_NAME(select)(element* y, const View y_view, const unsigned char* mask, const View mask_view, const element* x,
                       const View x_view, const element* other, const View other_view) {
    const Walk<FEW> walk(y_view.size, packs_to<FEW>(y, y_view) && packs<FEW>(mask, mask_view) && packs<FEW>(x, x_view) && packs<FEW>(other, other_view));
    for (EACH_SOME(i, walk)) {
        const Some<unsigned char, FEW> chosen = walk.taken(mask, mask_view, i);
        Some<element, FEW> some = walk.taken(x, x_view, i);
        const Some<element, FEW> otherwise = walk.taken(other, other_view, i);
#pragma unroll
        for (int k = 0; k < FEW; k++)
            if (!chosen.v[k]) some.v[k] = otherwise.v[k];
        walk.put(y, y_view, i, some);
    }
}
#endif
