// tensor.cuh - products of tiles on tensor cores: what convolutions, their gradients and products of matrices share.
// A block multiplies a left tile (ROWS x depth) and a right one (depth x COLS) step by step: 64 bytes of depth are a stage, three
// stages are on their way, and each warp owns 32 x 32 of the product. What the tiles are is the loaders' business.
#pragma once
#include "packs.cuh"
#include "ptx.cuh"

#ifdef NX_TENSOR_CORES
constexpr int STAGES = 3;

// A way to multiply: the stored type, the depth of one instruction and in how many loads of 32 bytes its operands come, operands
// from registers as they are loaded, and the sum.
struct OneProduct {  // TF32: 1e-3
    typedef float stored;
    static constexpr int STEP = 8, LOADS = 1;
    struct Left {
        uint32 a[4];
        __device__ __forceinline__ explicit Left(const uint32 (&raw)[1][4]) {
#pragma unroll
            for (int v = 0; v < 4; v++) round_tf32(a[v], __uint_as_float(raw[0][v]));
        }
    };
    struct Right {
        uint32 b[2];
        __device__ __forceinline__ Right(const uint32 (&raw)[1][2][2], int of) {
#pragma unroll
            for (int v = 0; v < 2; v++) round_tf32(b[v], __uint_as_float(raw[0][of][v]));
        }
    };
    static __device__ __forceinline__ void add(float (&sums)[4], const Left& left, const Right& right) { mma_tf32(sums, left.a, right.b); }
};

// Three TF32 products stand for one: a number is the sum of two with 11 bits each, and the product of the two small parts is
// left out (2^-24). Tensor cores truncate their sums; so these start anew every 8 steps and are added in IEEE float32 (Ootomo and
// Yokota, "Recovering single precision accuracy from Tensor Cores while surpassing the FP32 theoretical peak performance", 2022).
struct ThreeProducts {
    typedef float stored;
    static constexpr int STEP = 8, LOADS = 1;
    static __device__ __forceinline__ void split(uint32& high, uint32& low, uint32 raw) {
        const float x = __uint_as_float(raw);
        round_tf32(high, x);
        round_tf32(low, x - __uint_as_float(high));
    }
    struct Left {
        uint32 high[4], low[4];
        __device__ __forceinline__ explicit Left(const uint32 (&raw)[1][4]) {
#pragma unroll
            for (int v = 0; v < 4; v++) split(high[v], low[v], raw[0][v]);
        }
    };
    struct Right {
        uint32 high[2], low[2];
        __device__ __forceinline__ Right(const uint32 (&raw)[1][2][2], int of) {
#pragma unroll
            for (int v = 0; v < 2; v++) split(high[v], low[v], raw[0][of][v]);
        }
    };
    static __device__ __forceinline__ void add(float (&sums)[4], const Left& left, const Right& right) {
        float d[4] = {};
        mma_tf32(d, left.low, right.high);
        mma_tf32(d, left.high, right.low);
        mma_tf32(d, left.high, right.high);
#pragma unroll
        for (int v = 0; v < 4; v++) sums[v] = sums[v] + d[v];
    }
};

// Halves as they are stored; sums in float32.
template <bool BRAIN> struct Halves {
    typedef half_bits stored;
    static constexpr int STEP = 16, LOADS = 1;
    struct Left {
        uint32 a[4];
        __device__ __forceinline__ explicit Left(const uint32 (&raw)[1][4]) : a{raw[0][0], raw[0][1], raw[0][2], raw[0][3]} {}
    };
    struct Right {
        uint32 b[2];
        __device__ __forceinline__ Right(const uint32 (&raw)[1][2][2], int of) : b{raw[0][of][0], raw[0][of][1]} {}
    };
    static __device__ __forceinline__ void add(float (&sums)[4], const Left& left, const Right& right) {
        if (BRAIN) mma_bf16(sums, left.a, right.b);
        else mma_f16(sums, left.a, right.b);
    }
    static __device__ __forceinline__ half_bits rounded(float x) {
        half_bits y;
        if (BRAIN) round_bf16(y.bits, x);
        else round_f16(y.bits, x);
        return y;
    }
};

// Floats that are rounded to halves on their way from shared memory. Which place in the depth is which of an instruction's sixteen
// is the same for both operands, and otherwise free: here numbers t and t + 4 of a load share a register.
template <bool BRAIN> struct RoundedHalves {
    typedef float stored;
    static constexpr int STEP = 16, LOADS = 2;
    static __device__ __forceinline__ void pair(uint32& r, uint32 x, uint32 y) {
        if (BRAIN) round_pair_bf16(r, __uint_as_float(x), __uint_as_float(y));
        else round_pair_f16(r, __uint_as_float(x), __uint_as_float(y));
    }
    struct Left {
        uint32 a[4];
        __device__ __forceinline__ explicit Left(const uint32 (&raw)[2][4]) {
#pragma unroll
            for (int v = 0; v < 4; v++) pair(a[v], raw[v / 2][v % 2], raw[v / 2][v % 2 + 2]);
        }
    };
    struct Right {
        uint32 b[2];
        __device__ __forceinline__ Right(const uint32 (&raw)[2][2][2], int of) {
#pragma unroll
            for (int v = 0; v < 2; v++) pair(b[v], raw[v][of][0], raw[v][of][1]);
        }
    };
    static __device__ __forceinline__ void add(float (&sums)[4], const Left& left, const Right& right) {
        if (BRAIN) mma_bf16(sums, left.a, right.b);
        else mma_f16(sums, left.a, right.b);
    }
};

// What a lane holds of the fragment at `tile`, the elements of which lie by rows (depth innermost) or by depth (rows innermost).
template <typename T> __device__ __forceinline__ void load_by_rows(uint32 (&a)[4], const T* tile, int pitch, int lane) {
    ldmatrix_x4(a, tile + (lane & 15) * pitch + (lane >> 4) * (16 / (int)sizeof(T)));
}
__device__ __forceinline__ void load_by_depth(uint32 (&a)[4], const float* tile, int pitch, int lane) {
#pragma unroll
    for (int v = 0; v < 4; v++) a[v] = __float_as_uint(tile[((lane & 3) + (v >> 1) * 4) * pitch + (lane >> 2) + (v & 1) * 8]);
}
__device__ __forceinline__ void load_by_depth(uint32 (&a)[4], const half_bits* tile, int pitch, int lane) {
    ldmatrix_x4_trans(a, tile + ((lane >> 4) * 8 + (lane & 7)) * pitch + ((lane >> 3) & 1) * 8);
}
// Two right fragments side by side, by depth.
__device__ __forceinline__ void load_right(uint32 (&b)[2][2], const float* tile, int pitch, int lane) {
#pragma unroll
    for (int j = 0; j < 2; j++)
#pragma unroll
        for (int v = 0; v < 2; v++) b[j][v] = __float_as_uint(tile[((lane & 3) + v * 4) * pitch + (lane >> 2) + j * 8]);
}
__device__ __forceinline__ void load_right(uint32 (&b)[2][2], const half_bits* tile, int pitch, int lane) {
    uint32 r[4];
    ldmatrix_x4_trans(r, tile + (((lane >> 3) & 1) * 8 + (lane & 7)) * pitch + (lane >> 4) * 8);
    b[0][0] = r[0], b[0][1] = r[1], b[1][0] = r[2], b[1][1] = r[3];
}

// One element to shared memory, zero where there is none: the way of arrays that no 16 bytes can be taken from.
__device__ __forceinline__ void copy_element(float* to, const float* from, bool valid) { cp_async4(to, from, valid); }
__device__ __forceinline__ void copy_element(half_bits* to, const half_bits* from, bool valid) { *to = valid ? *from : half_bits{0}; }

// A loader whose copies are multiplied as they are.
struct AsCopied {
    template <typename T> __device__ __forceinline__ void ready(T*) const {}
};

// What a loader does to its copies once they are in shared memory: floats times scale, plus shift, then ReLU. A thread changes what it
// has copied itself and has waited for, before the barrier that shows it to the others; zeros that stand for nothing stay zeros.
template <class Tile, int LOADS, bool READS> struct Reading {
    __device__ __forceinline__ void set(const float*, const float*, bool) {}
    __device__ __forceinline__ void note(int, bool) {}
    __device__ __forceinline__ int stages() const { return 0; }
    template <typename T> __device__ __forceinline__ void apply(T*, int, int) const {}
};
template <class Tile, int LOADS> struct Reading<Tile, LOADS, true> {
    const float *scale = nullptr, *shift = nullptr;
    bool relu = false;
    unsigned noted = 1;  // below the highest bit, for each copy on its way whether there was something to copy, the latest lowest
    __device__ __forceinline__ void set(const float* s, const float* t, bool r) { scale = s, shift = t, relu = r; }
    __device__ __forceinline__ void note(int, bool valid) { noted = noted << 1 | valid; }
    // Stages on their way.
    __device__ __forceinline__ int stages() const { return (31 - __clz(noted)) / LOADS; }
    // The copies of the earliest stage on its way, of four channels from `channel` on, `apart` floats from one to the next.
    __device__ __forceinline__ void apply(float* copied, int apart, int channel) {
        const int later = (stages() - 1) * LOADS;
        const unsigned mine = noted >> later;
        noted = (noted & ((1u << later) - 1)) | 1u << later;
        if (!scale) return;
#pragma unroll 1  // rather fewer registers
        for (int i = 0; i < LOADS; i++) {
            if (!(mine >> (LOADS - 1 - i) & 1)) continue;
            Some<float, 4>& four = *(Some<float, 4>*)(copied + i * apart);
#pragma unroll
            for (int j = 0; j < 4; j++) {
                const float y = mul_add(four.v[j], scale[channel + j], shift[channel + j]);
                four.v[j] = relu && y < 0 ? 0 : y;
            }
        }
    }
};

template <class Way, int ROWS_, int COLS_, bool BY_ROWS> struct Block {
    typedef typename Way::stored T;
    static constexpr int ROWS = ROWS_, COLS = COLS_, THREADS = ROWS * COLS / 32, VECTOR = 16 / (int)sizeof(T), DEPTH = 64 / (int)sizeof(T);
    // Rows are padded so that eight lanes meet eight banks.
    static constexpr int LEFT_PITCH = BY_ROWS ? DEPTH + VECTOR : ROWS + 8, RIGHT_PITCH = COLS + 8;
    struct Stage {
        T left[(BY_ROWS ? ROWS : DEPTH) * LEFT_PITCH], right[DEPTH * RIGHT_PITCH];
    };

    float sums[2][4][4], total[2][4][4];
    int lane, row, col;  // of the warp's part

    __device__ __forceinline__ Block() : lane(threadIdx.x & 31), row(threadIdx.x / 32 % (ROWS / 32) * 32), col(threadIdx.x / ROWS * 32) {
#pragma unroll
        for (int i = 0; i < 2; i++)
#pragma unroll
            for (int j = 0; j < 4; j++)
#pragma unroll
                for (int v = 0; v < 4; v++) sums[i][j][v] = total[i][j][v] = 0;
    }

    __device__ __forceinline__ void multiply(const Stage& stage) {
#pragma unroll 1  // rather fewer registers
        for (int d = 0; d < DEPTH; d += Way::STEP) {
            constexpr int APART = Way::STEP / Way::LOADS;
            uint32 raw[2][Way::LOADS][4];
#pragma unroll
            for (int i = 0; i < 2; i++)
#pragma unroll
                for (int l = 0; l < Way::LOADS; l++) {
                    const int first = row + 16 * i, depth = d + l * APART;
                    if (BY_ROWS) load_by_rows(raw[i][l], stage.left + first * LEFT_PITCH + depth, LEFT_PITCH, lane);
                    else load_by_depth(raw[i][l], stage.left + depth * LEFT_PITCH + first, LEFT_PITCH, lane);
                }
            const typename Way::Left left[2] = {typename Way::Left(raw[0]), typename Way::Left(raw[1])};
#pragma unroll
            for (int j = 0; j < 4; j += 2) {
                uint32 pair[Way::LOADS][2][2];
#pragma unroll
                for (int l = 0; l < Way::LOADS; l++)
                    load_right(pair[l], stage.right + (d + l * APART) * RIGHT_PITCH + col + 8 * j, RIGHT_PITCH, lane);
#pragma unroll
                for (int k = 0; k < 2; k++) {
                    const typename Way::Right right(pair, k);
#pragma unroll
                    for (int i = 0; i < 2; i++) Way::add(sums[i][j + k], left[i], right);
                }
            }
        }
    }

    // total += sums, and sums start anew.
    __device__ __forceinline__ void close() {
#pragma unroll
        for (int i = 0; i < 2; i++)
#pragma unroll
            for (int j = 0; j < 4; j++)
#pragma unroll
                for (int v = 0; v < 4; v++) {
                    total[i][j][v] = total[i][j][v] + sums[i][j][v];
                    sums[i][j][v] = 0;
                }
    }

    // The product over so many stages of depth; partial sums close every `part` of them, or ONCE at the end, which needs no registers
    // for totals. A loader fills the next stage when called, and is told when what this thread has copied to a stage has arrived.
    template <bool ONCE = false, class Left, class Right>
    __device__ __forceinline__ void run(Stage (&stages)[STAGES], Left& left, Right& right, int steps, int part) {
#pragma unroll 1
        for (int s = 0; s < STAGES - 1; s++) {
            if (s < steps) left.load(stages[s].left), right.load(stages[s].right);
            cp_async_commit();
        }
        int done = 0, reading = 0;
        for (int k = 0; k < steps; k++) {
            cp_async_wait<STAGES - 2>();  // the stage that is read now
            left.ready(stages[reading].left), right.ready(stages[reading].right);
            __syncthreads();              // for all threads; and all have read the stage that is written now
            Stage& next = stages[reading == 0 ? STAGES - 1 : reading - 1];
            if (k + STAGES - 1 < steps) left.load(next.left), right.load(next.right);
            cp_async_commit();
            multiply(stages[reading]);
            reading = reading == STAGES - 1 ? 0 : reading + 1;
            if (!ONCE && ++done == part) close(), done = 0;
        }
        if (ONCE || done) close();
    }

    // visit(row, col, value, next value) for each pair of neighbours in the tile.
    template <class Visit> __device__ __forceinline__ void each_pair(Visit visit) const {
#pragma unroll
        for (int i = 0; i < 2; i++)
#pragma unroll
            for (int half = 0; half < 2; half++)
#pragma unroll
                for (int j = 0; j < 4; j++)
                    visit(row + 16 * i + 8 * half + (lane >> 2), col + 8 * j + 2 * (lane & 3), total[i][j][2 * half], total[i][j][2 * half + 1]);
    }
};
#endif
