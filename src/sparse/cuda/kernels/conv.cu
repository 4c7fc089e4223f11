// A convolution, a linear layer, or the input gradient of one: rows of gathered input times the matrix of
// expanded weights, summed in f32. A row is a place of the output. The gathered matrix is never written.
//
// What a tap reads is an affine map of the place, so that one kernel serves the forward pass (steps of the
// stride, taps ahead) and each phase of an input gradient (steps of one, taps behind).

struct Conv {
    int samples;
    // Places of this pass, and where the first is written, in steps.
    int places_y, places_x;
    int out_height, out_width, out_channels;
    int out_start_y, out_start_x, out_step_y, out_step_x;
    // Tap (a, b) of place (i, j) reads (in_start_y + i * in_step_y + a * tap_step_y, ...), zero outside.
    int in_height, in_width, in_channels;
    int in_start_y, in_start_x, in_step_y, in_step_x;
    int taps_y, taps_x, tap_step_y, tap_step_x;
    // Of a group: channels that are read, and channels that are written.
    int depth, width;
    int relu, accumulate;
};

constexpr int ROWS = 128;  // of a block
constexpr int COLUMNS = 64;
constexpr int DEPTH = 16;  // factors of a step

// What a block works on, twice: one half is filled while the other is read. Rows are padded so that the
// eight rows or columns that a warp reads at once lie in different banks.
template <int P>
struct ConvTiles {
    uint a[2][ROWS][halves(P) ? DEPTH / 2 + 4 : DEPTH + 4];
    uint b[2][halves(P) ? DEPTH / 2 : DEPTH][COLUMNS + 8];
};

// The factors that a thread fetches for a step: eight of one row, and two by two of the weights.
struct ConvFetch {
    float a[8];
    float b[2][2];
};

// Where a thread's row begins.
struct ConvRow {
    bool within;
    int y, x;
    const float *sample;
};

__device__ __forceinline__ void conv_fetch(const Conv &c, const float *weights, const ConvRow &row,
                                           int group, int start, int sum, ConvFetch &to) {
    const int half = (int)(threadIdx.x % 2u) * 8;
    if (c.depth % DEPTH == 0) {
        // A step lies within one tap.
        const int tap = start / c.depth, channel = start - tap * c.depth;
        const int ta = tap / c.taps_x, tb = tap - ta * c.taps_x;
        const int y = row.y + ta * c.tap_step_y, x = row.x + tb * c.tap_step_x;
        const bool inside =
            row.within && (uint)y < (uint)c.in_height && (uint)x < (uint)c.in_width;
        float4 low = make_float4(0.0f, 0.0f, 0.0f, 0.0f), high = low;
        if (inside) {
            const size_t at =
                ((size_t)y * c.in_width + x) * c.in_channels + group * c.depth + channel + half;
            low = *(const float4 *)(row.sample + at);
            high = *(const float4 *)(row.sample + at + 4);
        }
        to.a[0] = low.x, to.a[1] = low.y, to.a[2] = low.z, to.a[3] = low.w;
        to.a[4] = high.x, to.a[5] = high.y, to.a[6] = high.z, to.a[7] = high.w;
    } else {
#pragma unroll
        for (int i = 0; i < 8; i++) {
            const int k = start + half + i;
            const int tap = k / c.depth, channel = k - tap * c.depth;
            const int ta = tap / c.taps_x, tb = tap - ta * c.taps_x;
            const int y = row.y + ta * c.tap_step_y, x = row.x + tb * c.tap_step_x;
            const bool inside = row.within && k < sum && (uint)y < (uint)c.in_height &&
                                (uint)x < (uint)c.in_width;
            to.a[i] = inside ? row.sample[((size_t)y * c.in_width + x) * c.in_channels +
                                          group * c.depth + channel]
                             : 0.0f;
        }
    }
    const int k = start + (int)(threadIdx.x / 32u) * 2;
    const int column = (int)blockIdx.y * COLUMNS + (int)(threadIdx.x % 32u) * 2;
#pragma unroll
    for (int i = 0; i < 2; i++) {
#pragma unroll
        for (int j = 0; j < 2; j++) {
            const bool inside = k + i < sum && column + j < c.width;
            to.b[i][j] = inside ? weights[(size_t)(k + i) * c.width + column + j] : 0.0f;
        }
    }
}

template <int P>
__device__ __forceinline__ void conv_store(ConvTiles<P> &tiles, int side, const ConvFetch &from) {
    const int row = (int)(threadIdx.x / 2u), half = (int)(threadIdx.x % 2u) * 8;
    const int k = (int)(threadIdx.x / 32u) * 2, column = (int)(threadIdx.x % 32u) * 2;
    if (halves(P)) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            tiles.a[side][row][half / 2 + i] = pack<P>(from.a[2 * i], from.a[2 * i + 1]);
        }
#pragma unroll
        for (int j = 0; j < 2; j++) {
            tiles.b[side][k / 2][column + j] = pack<P>(from.b[0][j], from.b[1][j]);
        }
    } else {
#pragma unroll
        for (int i = 0; i < 8; i++) {
            tiles.a[side][row][half + i] = word<P>(from.a[i]);
        }
#pragma unroll
        for (int i = 0; i < 2; i++) {
#pragma unroll
            for (int j = 0; j < 2; j++) {
                tiles.b[side][k + i][column + j] = word<P>(from.b[i][j]);
            }
        }
    }
}

// Adds a step's products to the thread's 32 sums. Warps are four by two, each of 32 rows and columns; in
// f32 a thread has eight rows and four columns of its own.
template <int P>
__device__ __forceinline__ void conv_step(const ConvTiles<P> &tiles, int side, float (&sums)[8][4]) {
    if (P == F32) {
        const int row = (int)(threadIdx.x / 16u) * 8, column = (int)(threadIdx.x % 16u) * 4;
#pragma unroll
        for (int k = 0; k < DEPTH; k++) {
            float b[4];
#pragma unroll
            for (int j = 0; j < 4; j++) {
                b[j] = __uint_as_float(tiles.b[side][k][column + j]);
            }
#pragma unroll
            for (int i = 0; i < 8; i++) {
                const float a = __uint_as_float(tiles.a[side][row + i][k]);
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
    const int row = warp / 2 * 32, column = warp % 2 * 32;
    constexpr int words = halves(P) ? DEPTH / 2 : DEPTH;
#pragma unroll
    for (int k = 0; k < words; k += 8) {
        uint a[2][4];
#pragma unroll
        for (int i = 0; i < 2; i++) {
            const int r = row + i * 16 + g;
            a[i][0] = tiles.a[side][r][k + t];
            a[i][1] = tiles.a[side][r + 8][k + t];
            a[i][2] = tiles.a[side][r][k + t + 4];
            a[i][3] = tiles.a[side][r + 8][k + t + 4];
        }
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const int n = column + j * 8 + g;
            const uint b[2] = {tiles.b[side][k + t][n], tiles.b[side][k + t + 4][n]};
            multiply<P>(sums[j], a[0], b);
            multiply<P>(sums[4 + j], a[1], b);
        }
    }
}

// The row and the column, within the block, of a thread's sum [i][j].
template <int P>
__device__ __forceinline__ int conv_row_of(int i, int j) {
    if (P == F32) {
        return (int)(threadIdx.x / 16u) * 8 + i;
    }
    const int warp = (int)(threadIdx.x / 32u), lane = (int)(threadIdx.x % 32u);
    return warp / 2 * 32 + i / 4 * 16 + lane / 4 + j / 2 * 8;
}

template <int P>
__device__ __forceinline__ int conv_column_of(int i, int j) {
    if (P == F32) {
        return (int)(threadIdx.x % 16u) * 4 + j;
    }
    const int warp = (int)(threadIdx.x / 32u), lane = (int)(threadIdx.x % 32u);
    return warp % 2 * 32 + i % 4 * 8 + lane % 4 * 2 + j % 2;
}

// Blocks: tiles of rows, tiles of columns, groups.
template <int P>
__device__ __forceinline__ void conv(const float *__restrict__ input, const float *__restrict__ weights,
                                     const float *__restrict__ bias, float *__restrict__ output,
                                     const Conv &c) {
    __shared__ ConvTiles<P> tiles;
    __shared__ int targets[ROWS];
    const int group = (int)blockIdx.z;
    const int sum = c.taps_y * c.taps_x * c.depth;
    const int places = c.places_y * c.places_x, rows = c.samples * places;
    weights += (size_t)group * sum * c.width;

    ConvRow row;
    {
        const int at = (int)blockIdx.x * ROWS + (int)(threadIdx.x / 2u);
        const int sample = at / places, place = at - sample * places;
        const int i = place / c.places_x, j = place - i * c.places_x;
        row.within = at < rows;
        row.y = c.in_start_y + i * c.in_step_y;
        row.x = c.in_start_x + j * c.in_step_x;
        row.sample = input + (row.within ? (size_t)sample : 0) * c.in_height * c.in_width * c.in_channels;
        if (threadIdx.x % 2u == 0) {
            const int y = c.out_start_y + i * c.out_step_y, x = c.out_start_x + j * c.out_step_x;
            const int target = ((sample * c.out_height + y) * c.out_width + x) * c.out_channels;
            targets[threadIdx.x / 2u] = row.within ? target : -1;
        }
    }
    float sums[8][4];
#pragma unroll
    for (int i = 0; i < 8; i++) {
#pragma unroll
        for (int j = 0; j < 4; j++) {
            sums[i][j] = 0.0f;
        }
    }
    ConvFetch fetch;
    conv_fetch(c, weights, row, group, 0, sum, fetch);
    conv_store<P>(tiles, 0, fetch);
    __syncthreads();
    int side = 0;
    for (int start = 0; start < sum; start += DEPTH) {
        const bool more = start + DEPTH < sum;
        if (more) {
            conv_fetch(c, weights, row, group, start + DEPTH, sum, fetch);
        }
        conv_step<P>(tiles, side, sums);
        if (more) {
            side ^= 1;
            conv_store<P>(tiles, side, fetch);
        }
        __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < 8; i++) {
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const int target = targets[conv_row_of<P>(i, j)];
            const int column = (int)blockIdx.y * COLUMNS + conv_column_of<P>(i, j);
            if (target < 0 || column >= c.width) {
                continue;
            }
            const int channel = group * c.width + column;
            float value = sums[i][j];
            if (bias != 0) {
                value += bias[channel];
            }
            float *to = output + (size_t)target + channel;
            if (c.accumulate) {
                value += *to;
            }
            *to = c.relu && value < 0.0f ? 0.0f : value;
        }
    }
}

extern "C" __global__ void __launch_bounds__(THREADS)
    conv_f32(const float *input, const float *weights, const float *bias, float *output, Conv c) {
    conv<F32>(input, weights, bias, output, c);
}

extern "C" __global__ void __launch_bounds__(THREADS)
    conv_tf32(const float *input, const float *weights, const float *bias, float *output, Conv c) {
    conv<TF32>(input, weights, bias, output, c);
}

extern "C" __global__ void __launch_bounds__(THREADS)
    conv_f16(const float *input, const float *weights, const float *bias, float *output, Conv c) {
    conv<F16>(input, weights, bias, output, c);
}

extern "C" __global__ void __launch_bounds__(THREADS)
    conv_bf16(const float *input, const float *weights, const float *bias, float *output, Conv c) {
    conv<BF16>(input, weights, bias, output, c);
}
