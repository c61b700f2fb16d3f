// conv_direct.cuh - the tiles of direct convolutions and of their weight gradients: 64 pixels x 64 outputs, or outputs x channels, on
// any card. What a map's elements become as they are read is the caller's business.
#pragma once
#include "conv.cuh"

#ifdef NX_FLOATS
constexpr int TILE = 64, DEPTH = 16, BLOCK = 64, SEGMENT = 256;

struct alignas(16) Tile {
    element x[DEPTH][TILE + 4], w[DEPTH][TILE];
};

// sums[i][j] += x[.][4 ty + i] w[.][4 tx + j], over the depth of the tiles.
__device__ __forceinline__ void multiply(element (&sums)[4][4], const Tile& tile, int tx, int ty) {
#pragma unroll
    for (int d = 0; d < DEPTH; d++) {
        const Quad a = *(const Quad*)&tile.x[d][ty * 4], b = *(const Quad*)&tile.w[d][tx * 4];
#pragma unroll
        for (int i = 0; i < 4; i++)
#pragma unroll
            for (int j = 0; j < 4; j++) sums[i][j] = mul_add(a.v[i], b.v[j], sums[i][j]);
    }
}

// total += sums, and sums start anew.
__device__ __forceinline__ void close(element (&total)[4][4], element (&sums)[4][4]) {
#pragma unroll
    for (int i = 0; i < 4; i++)
#pragma unroll
        for (int j = 0; j < 4; j++) {
            total[i][j] = total[i][j] + sums[i][j];
            sums[i][j] = 0;
        }
}

// Four neighbours of which the first `count` are there.
__device__ __forceinline__ Quad quad_at(const element* from, int count, bool together) {
    if (together && count >= 4) return *(const Quad*)from;
    Quad found;
#pragma unroll
    for (int i = 0; i < 4; i++) found.v[i] = i < count ? from[i] : (element)0;
    return found;
}

// The channels of a map, or of two one after the other: the second has those from `first` on and is null where there is none.
struct Channels {
    const element *x, *second;
    int first, pitch, count;  // pitch: of x where it is alone
    __device__ __forceinline__ bool together() const {
        return count % 4 == 0 && (unsigned long long)x % 16 == 0 && (unsigned long long)second % 16 == 0;
    }
    // Four neighbours from a channel on, which are of one map.
    __device__ __forceinline__ const element* at(int64 pixel, int channel) const {
        const bool beside = second && channel >= first;
        return beside ? second + pixel * (count - first) + channel - first : x + pixel * pitch + channel;
    }
};

// Elements as they are.
struct AsTheyAre {
    __device__ __forceinline__ void operator()(Quad&, int, int) const {}
};
// Elements times scale, plus shift, then ReLU; what is padded with stays zero.
struct Normalised {
    const element *scale, *shift;  // null: as they are
    bool relu;
    __device__ __forceinline__ void operator()(Quad& quad, int channel, int count) const {
        if (!scale) return;
#pragma unroll
        for (int i = 0; i < 4; i++)
            if (i < count) {
                const element y = mul_add(quad.v[i], scale[channel + i], shift[channel + i]);
                quad.v[i] = relu && y < 0 ? (element)0 : y;
            }
    }
};

// One tile of a convolution: a thread's four pixels and four outputs.
// The order of a sum is the CPU's: blocks of 64 channels, in them the rows of taps, partial sums closed every 256 steps or so at
// the end of a row of taps.
template <class Read> struct Direct {
    const Axis &rows, &cols;
    const Channels& channels;  // x from the first channel of the group on
    const element* panel;      // weights of this thread's outputs
    int row_phase, col_phase, padded, ahead, segment;
    Read read;

    __device__ __forceinline__ Direct(const Axis& rows, const Axis& cols, const Channels& channels, int phase, const element* packed, int padded,
                                      int first_output, Read read)
        : rows(rows), cols(cols), channels(channels), panel(packed + first_output + threadIdx.x % 16 * 4), row_phase(phase / cols.phases()),
          col_phase(phase % cols.phases()), padded(padded), ahead(padded - first_output - (int)threadIdx.x % 16 * 4), read(read) {
        int met = 0;
        for (int b = 0; b < cols.kernel; b++) met += cols.meets(col_phase, b);
        const int steps = met * (channels.count < BLOCK ? channels.count : BLOCK);
        segment = steps > 0 && SEGMENT / steps > 1 ? SEGMENT / steps : 1;
    }
    // The sums, of which this thread loads those of output pixel (row, col) of the image whose first input pixel is `image`.
    __device__ __forceinline__ void run(element (&total)[4][4], Tile& tile, int64 image, int row, int col) const {
        const int tx = threadIdx.x % 16, ty = threadIdx.x / 16, quad = threadIdx.x % 4 * 4;
        const bool together = channels.together();
        element sums[4][4] = {};
        for (int from = 0; from < channels.count; from += BLOCK) {
            const int to = from + BLOCK < channels.count ? from + BLOCK : channels.count;
            int done = 0;
            for (int a = 0; a < rows.kernel; a++) {
                const int row_tap = rows.ordered(a);
                if (!rows.meets(row_phase, row_tap)) continue;
                for (int b = 0; b < cols.kernel; b++) {
                    const int col_tap = cols.ordered(b);
                    if (!cols.meets(col_phase, col_tap)) continue;
                    const int r = rows.source(row, row_tap), s = cols.source(col, col_tap);
                    const bool inside = rows.inside(r) && cols.inside(s);
                    const int64 pixel = image + (int64)r * cols.input + s;
                    const element* weights = panel + (int64)(row_tap * cols.kernel + col_tap) * channels.count * padded;
                    for (int c = from; c < to; c += DEPTH) {
                        const int count = inside ? to - c - quad : 0;
                        Quad found = quad_at(channels.at(pixel, c + quad), count, together);
                        read(found, c + quad, count);
#pragma unroll
                        for (int i = 0; i < 4; i++) tile.x[quad + i][threadIdx.x / 4] = found.v[i];
                        *(Quad*)&tile.w[ty][tx * 4] = quad_at(weights + (int64)(c + ty) * padded, c + ty < to ? ahead : 0, true);
                        __syncthreads();
                        multiply(sums, tile, tx, ty);
                        __syncthreads();
                    }
                }
                if (++done % segment == 0) close(total, sums);
            }
            if (done % segment != 0) close(total, sums);
        }
    }
};

// A tile of outputs times channels of one tap, over a part of the pixels, into `part`, which holds [group][tap][output][channel];
// partial sums close every 512 pixels.
template <class Read>
__device__ __forceinline__ void gradient_tile(Tile& tile, const element* small, const Channels& large, const Axis& rows, const Axis& cols, int64 groups,
                                              int64 outputs, element* scratch, const Share& share, Read read) {
    const int across = (large.count + TILE - 1) / TILE, down = (int)((outputs + TILE - 1) / TILE);
    const int first_channel = blockIdx.x % across * TILE, first_output = blockIdx.x / across % down * TILE, group = blockIdx.x / (across * down);
    const int row_tap = blockIdx.y / cols.kernel, col_tap = blockIdx.y % cols.kernel, tx = threadIdx.x % 16, ty = threadIdx.x / 16;
    const bool left_together = outputs % 4 == 0 && (unsigned long long)small % 16 == 0, right_together = large.together();
    element sums[4][4] = {}, total[4][4] = {};
    for (int64 from = share.start; from < share.stop; from += DEPTH) {
        const int64 p = from + ty;
        const bool live = p < share.stop;
        const int r = rows.source((int)(p / cols.output % rows.output), row_tap), s = cols.source((int)(p % cols.output), col_tap);
        const bool inside = live && rows.inside(r) && cols.inside(s);
        const element* left = small + (p * groups + group) * outputs + first_output + tx * 4;
        const int64 pixel = (p / ((int64)rows.output * cols.output) * rows.input + r) * cols.input + s;
        const int channel = first_channel + tx * 4, count = inside ? large.count - channel : 0;
        *(Quad*)&tile.x[ty][tx * 4] = quad_at(left, live ? (int)outputs - first_output - tx * 4 : 0, left_together);
        Quad right = quad_at(large.at(pixel, channel) + group * large.count, count, right_together);
        read(right, channel, count);
        *(Quad*)&tile.w[ty][tx * 4] = right;
        __syncthreads();
        multiply(sums, tile, tx, ty);
        __syncthreads();
        if ((from + DEPTH) % 512 == 0) close(total, sums);
    }
    close(total, sums);
    element* part = scratch + ((blockIdx.z * groups + group) * rows.kernel * cols.kernel + blockIdx.y) * outputs * large.count;
#pragma unroll
    for (int i = 0; i < 4; i++)
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const int64 k = first_output + ty * 4 + i, c = first_channel + tx * 4 + j;
            if (k < outputs && c < large.count) part[k * large.count + c] = total[i][j];
        }
}
#endif
