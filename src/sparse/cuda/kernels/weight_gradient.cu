// The gradient of a layer's weights: dy transposed times the gathered input, and of the product only what
// the mask has. The dense gradient is never written: each block writes the entries of its tile that exist
// into its part of the sum over places, and `sum_partials` adds the parts in order.

struct WeightGradient {
    int samples;
    int out_height, out_width, out_channels;
    int in_height, in_width, in_channels;
    int kernel_y, kernel_x, stride_y, stride_x, padding_y, padding_x;
    // Of a group: filters, and channels that are read.
    int filters, depth;
    int groups;
    // Places (of all samples) that a part sums, a multiple of 16, and weights that exist.
    int per_part, existing;
};

constexpr int SIDE = 64;  // filters, and columns (tap, channel), of a block

template <int P>
struct GradientTiles {
    uint a[2][halves(P) ? DEPTH / 2 : DEPTH][SIDE + 8];
    uint b[2][halves(P) ? DEPTH / 2 : DEPTH][SIDE + 8];
};

struct GradientFetch {
    float a[2][2];
    float b[2][2];
};

// A column of the gathered input, as a thread needs it.
struct GradientColumn {
    bool within;
    int y, x, channel;
};

// Two places by two filters of dy, and two places by two columns of the gathered input.
__device__ __forceinline__ void gradient_fetch(const WeightGradient &c, const float *dy, const float *input,
                                               const GradientColumn (&columns)[2], int group, int filter,
                                               int start, int end, GradientFetch &to) {
#pragma unroll
    for (int i = 0; i < 2; i++) {
        const int at = start + (int)(threadIdx.x / 32u) * 2 + i;
        const bool within = at < end;
        const int places = c.out_height * c.out_width;
        const int sample = at / places, place = at - sample * places;
        const int oy = place / c.out_width, ox = place - oy * c.out_width;
#pragma unroll
        for (int j = 0; j < 2; j++) {
            to.a[i][j] = within && filter + j < c.filters
                             ? dy[(size_t)at * c.out_channels + group * c.filters + filter + j]
                             : 0.0f;
            const int y = oy * c.stride_y - c.padding_y + columns[j].y;
            const int x = ox * c.stride_x - c.padding_x + columns[j].x;
            const bool inside = within && columns[j].within && (uint)y < (uint)c.in_height &&
                                (uint)x < (uint)c.in_width;
            to.b[i][j] = inside ? input[(((size_t)sample * c.in_height + y) * c.in_width + x) * c.in_channels +
                                        columns[j].channel]
                                : 0.0f;
        }
    }
}

template <int P>
__device__ __forceinline__ void gradient_store(GradientTiles<P> &tiles, int side, const GradientFetch &from) {
    const int k = (int)(threadIdx.x / 32u) * 2, column = (int)(threadIdx.x % 32u) * 2;
#pragma unroll
    for (int j = 0; j < 2; j++) {
        if (halves(P)) {
            tiles.a[side][k / 2][column + j] = pack<P>(from.a[0][j], from.a[1][j]);
            tiles.b[side][k / 2][column + j] = pack<P>(from.b[0][j], from.b[1][j]);
        } else {
#pragma unroll
            for (int i = 0; i < 2; i++) {
                tiles.a[side][k + i][column + j] = word<P>(from.a[i][j]);
                tiles.b[side][k + i][column + j] = word<P>(from.b[i][j]);
            }
        }
    }
}

// Warps are two by four, each of 32 filters and 16 columns; in f32 a thread has four by four.
template <int P>
__device__ __forceinline__ void gradient_step(const GradientTiles<P> &tiles, int side, float (&sums)[4][4]) {
    if (P == F32) {
        const int row = (int)(threadIdx.x / 16u) * 4, column = (int)(threadIdx.x % 16u) * 4;
#pragma unroll
        for (int k = 0; k < DEPTH; k++) {
            float b[4];
#pragma unroll
            for (int j = 0; j < 4; j++) {
                b[j] = __uint_as_float(tiles.b[side][k][column + j]);
            }
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const float a = __uint_as_float(tiles.a[side][k][row + i]);
#pragma unroll
                for (int j = 0; j < 4; j++) {
                    sums[i][j] = fmaf(a, b[j], sums[i][j]);
                }
            }
        }
        return;
    }
    const int warp = (int)(threadIdx.x / 32u), lane = (int)(threadIdx.x % 32u);
    const int g = lane / 4, t = lane % 4;
    const int row = warp / 4 * 32, column = warp % 4 * 16;
    constexpr int words = halves(P) ? DEPTH / 2 : DEPTH;
#pragma unroll
    for (int k = 0; k < words; k += 8) {
#pragma unroll
        for (int i = 0; i < 2; i++) {
            const int r = row + i * 16 + g;
            const uint a[4] = {tiles.a[side][k + t][r], tiles.a[side][k + t][r + 8],
                               tiles.a[side][k + t + 4][r], tiles.a[side][k + t + 4][r + 8]};
#pragma unroll
            for (int j = 0; j < 2; j++) {
                const int n = column + j * 8 + g;
                const uint b[2] = {tiles.b[side][k + t][n], tiles.b[side][k + t + 4][n]};
                multiply<P>(sums[i * 2 + j], a, b);
            }
        }
    }
}

template <int P>
__device__ __forceinline__ int gradient_row_of(int i, int j) {
    if (P == F32) {
        return (int)(threadIdx.x / 16u) * 4 + i;
    }
    const int warp = (int)(threadIdx.x / 32u), lane = (int)(threadIdx.x % 32u);
    return warp / 4 * 32 + i / 2 * 16 + lane / 4 + j / 2 * 8;
}

template <int P>
__device__ __forceinline__ int gradient_column_of(int i, int j) {
    if (P == F32) {
        return (int)(threadIdx.x % 16u) * 4 + j;
    }
    const int warp = (int)(threadIdx.x / 32u), lane = (int)(threadIdx.x % 32u);
    return warp % 4 * 16 + i % 2 * 8 + lane % 4 * 2 + j % 2;
}

// Blocks: tiles of filters, tiles of columns, (part, group).
template <int P>
__device__ __forceinline__ void weight_gradient(const float *__restrict__ dy, const float *__restrict__ input,
                                                const uint *__restrict__ bits, const uint *__restrict__ before,
                                                float *__restrict__ partials, const WeightGradient &c) {
    __shared__ GradientTiles<P> tiles;
    // Where the weights of a column lie, counted from their filter's first; -1 past the last column.
    __shared__ int offsets[SIDE];
    const int group = (int)blockIdx.z % c.groups, part = (int)blockIdx.z / c.groups;
    const int area = c.kernel_y * c.kernel_x, width = area * c.depth;
    const int all = c.samples * c.out_height * c.out_width;
    const int first = part * c.per_part, end = min(first + c.per_part, all);
    if (threadIdx.x < SIDE) {
        const int column = (int)blockIdx.y * SIDE + (int)threadIdx.x;
        const int tap = column / c.depth, channel = column - tap * c.depth;
        offsets[threadIdx.x] = column < width ? channel * area + tap : -1;
    }
    GradientColumn columns[2];
#pragma unroll
    for (int j = 0; j < 2; j++) {
        const int column = (int)blockIdx.y * SIDE + (int)(threadIdx.x % 32u) * 2 + j;
        const int tap = column / c.depth, channel = column - tap * c.depth;
        columns[j].within = column < width;
        columns[j].y = tap / c.kernel_x;
        columns[j].x = tap - tap / c.kernel_x * c.kernel_x;
        columns[j].channel = group * c.depth + channel;
    }
    const int filter = (int)blockIdx.x * SIDE + (int)(threadIdx.x % 32u) * 2;
    float sums[4][4];
#pragma unroll
    for (int i = 0; i < 4; i++) {
#pragma unroll
        for (int j = 0; j < 4; j++) {
            sums[i][j] = 0.0f;
        }
    }
    GradientFetch fetch;
    gradient_fetch(c, dy, input, columns, group, filter, first, end, fetch);
    gradient_store<P>(tiles, 0, fetch);
    __syncthreads();
    int side = 0;
    for (int start = first; start < end; start += DEPTH) {
        const bool more = start + DEPTH < end;
        if (more) {
            gradient_fetch(c, dy, input, columns, group, filter, start + DEPTH, end, fetch);
        }
        gradient_step<P>(tiles, side, sums);
        if (more) {
            side ^= 1;
            gradient_store<P>(tiles, side, fetch);
        }
        __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < 4; i++) {
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const int row = (int)blockIdx.x * SIDE + gradient_row_of<P>(i, j);
            const int offset = offsets[gradient_column_of<P>(i, j)];
            if (row >= c.filters || offset < 0) {
                continue;
            }
            const uint position = (uint)(group * c.filters + row) * (uint)width + (uint)offset;
            const int index = rank(bits, before, position);
            if (index >= 0) {
                partials[(size_t)part * c.existing + index] = sums[i][j];
            }
        }
    }
}

#define WEIGHT_GRADIENT(NAME, P)                                                                        \
    extern "C" __global__ void __launch_bounds__(THREADS)                                               \
        NAME(const float *dy, const float *input, const uint *bits, const uint *before, float *partials, \
             WeightGradient c) {                                                                        \
        weight_gradient<P>(dy, input, bits, before, partials, c);                                       \
    }

WEIGHT_GRADIENT(weight_gradient_f32, F32)
WEIGHT_GRADIENT(weight_gradient_tf32, TF32)
WEIGHT_GRADIENT(weight_gradient_f16, F16)
WEIGHT_GRADIENT(weight_gradient_bf16, BF16)
