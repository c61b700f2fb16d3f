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
#include "common.cuh"
#ifdef NX_FLOATS
#include "expressions.cuh"

// Dense arrays go pack by pack: f(elements of the pack) gives the first positions' results, the rest is up to the caller.
template <typename F> __device__ __forceinline__ int64 pack_by_pack(element* y, int64 size, F f) {
    for (EACH(i, size / PACK)) *(Pack*)(y + i * PACK) = f(i);
    return size / PACK * PACK;
}

KERNEL NX_NAME(unary)(element* y, const View y_view, const element* x, const View x_view, int64 op, double a, double b) {
    int64 done = 0;
    if (y_view.strides[0] == 1 && packs(y, y_view) && packs(x, x_view))
        done = pack_by_pack(y, y_view.size, [&](int64 i) {
            Pack p = pack_of(x, x_view, i);
#pragma unroll
            for (int k = 0; k < PACK; k++) p.v[k] = unary_of((int)op, p.v[k], (element)a, (element)b);
            return p;
        });
    for (EACH(k, y_view.size - done)) {
        const int64 i = done + k;
        y[at(y_view, i)] = unary_of((int)op, x[at(x_view, i)], (element)a, (element)b);
    }
}

KERNEL NX_NAME(binary)(element* y, const View y_view, const element* x, const View x_view, const element* other, const View other_view,
                       int64 op, double a, double b) {
    int64 done = 0;
    if (y_view.strides[0] == 1 && packs(y, y_view) && packs(x, x_view) && packs(other, other_view))
        done = pack_by_pack(y, y_view.size, [&](int64 i) {
            Pack p = pack_of(x, x_view, i);
            const Pack q = pack_of(other, other_view, i);
#pragma unroll
            for (int k = 0; k < PACK; k++) p.v[k] = binary_of((int)op, p.v[k], q.v[k], (element)a, (element)b);
            return p;
        });
    for (EACH(k, y_view.size - done)) {
        const int64 i = done + k;
        y[at(y_view, i)] = binary_of((int)op, x[at(x_view, i)], other[at(other_view, i)], (element)a, (element)b);
    }
}

KERNEL NX_NAME(ternary)(element* y, const View y_view, const element* g, const View g_view, const element* x, const View x_view,
                        const element* other, const View other_view, int64 op) {
    for (EACH(i, y_view.size)) y[at(y_view, i)] = ternary_of((int)op, g[at(g_view, i)], x[at(x_view, i)], other[at(other_view, i)]);
}
#endif

#ifdef NX_INTEGERS
#include "integers.cuh"

KERNEL NX_NAME(integer_unary)(element* y, const View y_view, const element* x, const View x_view, int64 op) {
    for (EACH(i, y_view.size)) y[at(y_view, i)] = integer_unary_of((int)op, x[at(x_view, i)]);
}

KERNEL NX_NAME(integer_binary)(element* y, const View y_view, const element* x, const View x_view, const element* other,
                               const View other_view, int64 op) {
    for (EACH(i, y_view.size)) y[at(y_view, i)] = integer_binary_of((int)op, x[at(x_view, i)], other[at(other_view, i)]);
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
    for (EACH(i, y_view.size)) y[at(y_view, i)] = question((int)op, x[at(x_view, i)], other[at(other_view, i)]);
}
#endif

#ifdef NX_BYTES
KERNEL NX_NAME(select)(element* y, const View y_view, const unsigned char* mask, const View mask_view, const element* x,
                       const View x_view, const element* other, const View other_view) {
    for (EACH(i, y_view.size)) {
        int64 from = at(x_view, i), otherwise = at(other_view, i);
        y[at(y_view, i)] = mask[at(mask_view, i)] ? x[from] : other[otherwise];
    }
}
#endif
