// matmul.cu - products of matrices of any strides: 64 x 64 tiles, no tensor cores.
// It has never run on a GPU: it was compiled for each architecture and run in the emulator. Sums are added in another order than the
// CPU's, 2e-6 apart in float32.
// max-registers: 168
// launch matmul_rows: blocks m / 64 * (n / 64), batch
#include "common.cuh"

#ifdef NX_FLOATS
constexpr int TILE = 64, DEPTH = 16;

KERNEL NX_NAME(matmul_rows)(element* y, const element* a, const View a_view, const element* b, const View b_view, int64 batch, int64 m,
                            int64 k, int64 n) {
    __shared__ __align__(16) element left[DEPTH][TILE + 4], right[DEPTH][TILE + 4];
    const int64 across = (n + TILE - 1) / TILE, first_row = blockIdx.x / across * TILE, first_col = blockIdx.x % across * TILE;
    const int tx = threadIdx.x % 16, ty = threadIdx.x / 16;
    // Neighbouring threads load neighbouring elements, whichever axis has the small step.
    const bool rows_first = a_view.strides[1] < a_view.strides[2], cols_first = b_view.strides[2] <= b_view.strides[1];
    a += blockIdx.y * a_view.strides[0];
    b += blockIdx.y * b_view.strides[0];
    element sums[4][4] = {};
    for (int64 from = 0; from < k; from += DEPTH) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const int place = threadIdx.x + 256 * i;
            const int r = rows_first ? place % TILE : place / DEPTH, d = rows_first ? place / TILE : place % DEPTH;
            const int c = cols_first ? place % TILE : place / DEPTH, e = cols_first ? place / TILE : place % DEPTH;
            left[d][r] = first_row + r < m && from + d < k ? a[(first_row + r) * a_view.strides[1] + (from + d) * a_view.strides[2]] : (element)0;
            right[e][c] = first_col + c < n && from + e < k ? b[(from + e) * b_view.strides[1] + (first_col + c) * b_view.strides[2]] : (element)0;
        }
        __syncthreads();
#pragma unroll
        for (int d = 0; d < DEPTH; d++) {
            const Quad u = *(const Quad*)&left[d][ty * 4], v = *(const Quad*)&right[d][tx * 4];
#pragma unroll
            for (int i = 0; i < 4; i++)
#pragma unroll
                for (int j = 0; j < 4; j++) sums[i][j] = mul_add(u.v[i], v.v[j], sums[i][j]);
        }
        __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < 4; i++)
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const int64 r = first_row + ty * 4 + i, c = first_col + tx * 4 + j;
            if (r < m && c < n) y[(blockIdx.y * m + r) * n + c] = sums[i][j];
        }
}
#endif
