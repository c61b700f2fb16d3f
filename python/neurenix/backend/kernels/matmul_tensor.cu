// matmul_tensor.cu - products of matrices of any strides on tensor cores.
// It has never run on a GPU: it was compiled for each architecture and run in the emulator. "fast" stays within 1.5e-6 of the exact
// result (relative L2), "tf32" within 1e-3; "bfloat16" and "float16" (autocast) round to these and sum within 2e-6 of exact; a row has
// the same bits whatever the number of rows. Under "fast" an infinity makes NaN of what it meets.
// max-registers: 184
// launch matmul_rows as matmul_rows_fast: type f32; precision fast; sm 80; block 128; where k >= 8 and n >= 8 and k < 2147483648;
//     blocks m / 64 * (n / 64), batch
// launch matmul_rows as matmul_rows_tf32: type f32; precision tf32; sm 80; block 128; where k >= 8 and n >= 8 and k < 2147483648;
//     blocks m / 64 * (n / 64), batch
// launch matmul_rows as matmul_rows_bfloat16: type f32; precision bfloat16; sm 80; block 128; where k >= 8 and n >= 8 and k < 2147483648;
//     blocks m / 64 * (n / 64), batch
// launch matmul_rows as matmul_rows_float16: type f32; precision float16; sm 80; block 128; where k >= 8 and n >= 8 and k < 2147483648;
//     blocks m / 64 * (n / 64), batch
#include "tensor.cuh"

#if defined(NX_TENSOR_CORES) && defined(NX_FLOAT32)
// 64 lines of one matrix: rows of the left one, which lie by rows in the tile, columns of the right one, which lie by depth.
template <class Tile, bool LEFT> struct Lines : AsCopied {
    const float* base;  // of the first line
    int64 line_stride, depth_stride;
    int lines, rest;
    bool whole, lines_first;  // 16 bytes at once; neighbouring threads on neighbouring lines

    __device__ __forceinline__ Lines(const float* from, const View& view, int64 first, int64 count, int64 depth)
        : line_stride(view.strides[LEFT ? 1 : 2]), depth_stride(view.strides[LEFT ? 2 : 1]), rest((int)depth) {
        base = from + first * line_stride;
        lines = count - first < 64 ? (int)(count - first) : 64;
        const int64 next = LEFT ? depth_stride : line_stride, other = LEFT ? line_stride : depth_stride;
        whole = next == 1 && other % 4 == 0 && (LEFT ? depth : count) % 4 == 0 && (unsigned long long)from % 16 == 0;
        lines_first = line_stride < depth_stride;
    }
    __device__ __forceinline__ bool find(const float*& from, int line, int d) const {
        const bool valid = line < lines && d < rest;
        from = valid ? base + line * line_stride + d * depth_stride : base;
        return valid;
    }
    __device__ __forceinline__ void load(float* tile) {
        const float* from;
        if (whole) {
#pragma unroll
            for (int e = threadIdx.x; e < 256; e += 128) {
                const int line = LEFT ? e / 4 : e % 16 * 4, d = LEFT ? e % 4 * 4 : e / 16;
                const bool valid = find(from, line, d);
                cp_async16(tile + (LEFT ? line * Tile::LEFT_PITCH + d : d * Tile::RIGHT_PITCH + line), from, valid);
            }
        } else {
#pragma unroll 1
            for (int e = threadIdx.x; e < 1024; e += 128) {
                const int line = lines_first ? e % 64 : e / 16, d = lines_first ? e / 64 : e % 16;
                const bool valid = find(from, line, d);
                cp_async4(tile + (LEFT ? line * Tile::LEFT_PITCH + d : d * Tile::RIGHT_PITCH + line), from, valid);
            }
        }
        base += Tile::DEPTH * depth_stride;
        rest -= Tile::DEPTH;
    }
};

// Partial sums close every 512 products.
template <class Way> __device__ __forceinline__ void product_tile(float* y, const float* a, const View& a_view, const float* b, const View& b_view,
                                                                  int64 m, int64 k, int64 n) {
    typedef Block<Way, 64, 64, true> Tile;
    __shared__ __align__(16) typename Tile::Stage stages[STAGES];
    const int64 across = (n + 63) / 64, first_row = blockIdx.x / across * 64, first_col = blockIdx.x % across * 64;
    Lines<Tile, true> left(a + blockIdx.y * a_view.strides[0], a_view, first_row, m, k);
    Lines<Tile, false> right(b + blockIdx.y * b_view.strides[0], b_view, first_col, n, k);
    Tile tile;
    tile.run(stages, left, right, (int)((k + Tile::DEPTH - 1) / Tile::DEPTH), 512 / Tile::DEPTH);
    y += blockIdx.y * m * n;
    tile.each_pair([&](int row, int col, float first, float second) {
        const int64 r = first_row + row, c = first_col + col;
        if (r >= m || c >= n) return;
        y[r * n + c] = first;
        if (c + 1 < n) y[r * n + c + 1] = second;
    });
}

#define WAY(name, way)                                                                                                                \
    KERNEL_OF(128, 2) name(element* y, const element* a, const View a_view, const element* b, const View b_view, int64 batch, int64 m, int64 k, int64 n) { \
        product_tile<way>(y, a, a_view, b, b_view, m, k, n);                                                                          \
    }
WAY(NX_NAME(matmul_rows_fast), ThreeProducts)
WAY(NX_NAME(matmul_rows_tf32), OneProduct)
WAY(NX_NAME(matmul_rows_bfloat16), RoundedHalves<true>)
WAY(NX_NAME(matmul_rows_float16), RoundedHalves<false>)
#endif
