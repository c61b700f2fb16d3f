// statistics.cu - the nuclear norm of matrices by one-sided Jacobi rotations in double; one block a matrix.
// It has never run on a GPU: it was compiled for each architecture and run in the emulator. Same bits as the CPU, which rotates the pairs
// (p, q) of columns in lexicographic order: those of one p + q share no column and follow all that they depend on, so they go together.
// launch nuclear_norm: blocks batch
#include "common.cuh"

#ifdef NX_FLOATS
constexpr int TEAM = 8, TEAMS = 256 / TEAM, SWEEPS = 60;  // threads of a pair, pairs at a time

// (s, t) = (c s - d t, d s + c t) for two columns of n numbers, by one team.
__device__ __forceinline__ void turn(double* s, double* t, int64 n, double cosine, double sine) {
    for (int64 k = threadIdx.x % TEAM; k < n; k += TEAM) {
        const double a = s[k], b = t[k];
        s[k] = cosine * a - sine * b;
        t[k] = sine * a + cosine * b;
    }
}

// Makes the pairs of columns with p + q = sum orthogonal; whether one was not yet.
__device__ __forceinline__ bool rotate(double* u, double* v, int64 rows, int64 columns, int64 sum, double (&dots)[TEAMS][3]) {
    const int lane = threadIdx.x % TEAM, team = threadIdx.x / TEAM;
    const int64 first = sum - columns + 1 > 0 ? sum - columns + 1 : 0, stop = (sum + 1) / 2;
    bool changed = false;
    for (int64 base = first; base < stop; base += TEAMS) {
        const int64 p = base + team, q = sum - p;
        const bool live = p < stop;
        if (live && lane < 3) {  // s.s, t.t and s.t
            const double *a = u + (lane == 1 ? q : p) * rows, *b = u + (lane == 0 ? p : q) * rows;
            double dot = 0;
            for (int64 k = 0; k < rows; k++) dot = dot + a[k] * b[k];
            dots[team][lane] = dot;
        }
        __syncthreads();
        const double a = dots[team][0], b = dots[team][1], c = dots[team][2];
        if (live && !(fabs(c) <= 1e-15 * sqrt(a * b)) && fabs(c) < Traits<double>::infinity()) {
            changed = true;
            const double zeta = (b - a) / (2.0 * c);
            const double tangent = copysign(1.0, zeta) / (fabs(zeta) + sqrt(1.0 + zeta * zeta));
            const double cosine = 1.0 / sqrt(1.0 + tangent * tangent), sine = cosine * tangent;
            turn(u + p * rows, u + q * rows, rows, cosine, sine);
            turn(v + p * columns, v + q * columns, columns, cosine, sine);
        }
        __syncthreads();
    }
    return changed;
}

KERNEL NX_NAME(nuclear_norm)(element* y, element* slope, double* values, double* left, double* right, const element* x, int64 batch,
                             int64 rows, int64 columns) {
    __shared__ double dots[TEAMS][3];
    const int64 size = rows * columns, matrix = blockIdx.x;
    // Both are kept by columns; u = x v throughout.
    double *u = left + matrix * size, *v = right + matrix * columns * columns, *lengths = values + matrix * columns, most = 0, total = 0;
    for (int64 j = threadIdx.x; j < size; j += blockDim.x) u[j] = (double)x[matrix * size + j % rows * columns + j / rows];
    for (int64 j = threadIdx.x; j < columns * columns; j += blockDim.x) v[j] = j % (columns + 1) == 0 ? 1 : 0;
    __syncthreads();
    for (int round = 0; round < SWEEPS; round++) {
        bool changed = false;
        for (int64 sum = 1; sum < 2 * columns - 2; sum++) changed |= rotate(u, v, rows, columns, sum, dots);
        if (!__syncthreads_or(changed)) break;
    }
    for (int64 k = threadIdx.x; k < columns; k += blockDim.x) {
        double squares = 0;
        for (int64 i = 0; i < rows; i++) squares = squares + u[k * rows + i] * u[k * rows + i];
        lengths[k] = sqrt(squares);
    }
    __syncthreads();
    for (int64 k = 0; k < columns; k++) total = total + lengths[k], most = fmax(most, lengths[k]);
    if (threadIdx.x == 0) y[matrix] = (element)total;
    for (int64 j = threadIdx.x; j < size; j += blockDim.x) {
        double sum = 0;
        for (int64 k = 0; k < columns; k++)
            sum = sum + (lengths[k] > most * 1e-14 ? u[k * rows + j / columns] * v[k * columns + j % columns] / lengths[k] : 0.0);
        slope[matrix * size + j] = (element)sum;
    }
}
#endif
