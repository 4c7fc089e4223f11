// Convolutions and linear layers of which few weights exist, on CUDA cores in f32: nothing is laid out dense, each
// weight that exists is read and multiplied, and no other.
//
// A block has a tile: some samples by some places of a plane, and what they read of some channels (the window of each)
// in shared memory, places innermost. A weight is then one offset into that memory; a warp takes it for 256 places, eight
// a lane. The lists of weights are by written channel and by chunk of channels that are read, in the order of the mask:
// each sum is one chain of fused additions in that order, whatever the tile, the grid and the card.
//
// What bounds it is one load from shared memory for each product, of which a multiprocessor does 32 a clock: a quarter of
// f32's peak where it has 128 lanes (8.6 and later), half where it has 64 (7.x). On top come the lists (two loads for
// eight products) and the windows (three for each value staged, once for 64 written channels): 1.5 loads a product in
// ResNet-18's convolutions of 3 by 3 of which 5 weights in 100 exist, 1.3 where half do, 2.4 where 1 in 100 does. So
// one of 256 channels at 8 by 8 with 5 in 100, 64 samples: 121 million products, 5.5 million clocks' worth of loads, on
// the 16 multiprocessors of an Orin at 1.3 GHz 0.27 ms, where TF32 at 0.55 of its peak takes 0.41 ms. From memory it
// reads and writes 8.4 MB, 0.04 ms. All this is predicted from counts and published rates, and not measured.

// What blocks read: lattice, tile and window. Place (i, j) reads (in_start_y + i * in_step_y + a, ...), zero outside.
struct Windows {
    int samples, places_y, places_x;
    int in_height, in_width, in_channels;
    int in_start_y, in_start_x, in_step_y, in_step_x;
    // Samples and places of a tile, tiles of a sample, and what a tile reads of a channel.
    int tile_n, tile_y, tile_x;
    int tiles_y, tiles_x;
    int window_y, window_x;
    // Channels that are staged at once, and words from one to the next: four more than a multiple of 32, so that eight
    // channels of four neighbours are written to 32 banks.
    int chunk, pitch;
};

constexpr int TILE = 11008;    // words of shared memory for what is staged
constexpr int WINDOW = 1024;   // values of a window, at most
constexpr int LANES = 32;
constexpr int WARPS = THREADS / LANES;
constexpr int SPOTS = 8;       // places of a lane
constexpr int PER_WARP = 8;    // written channels of a warp
constexpr int WRITTEN = WARPS * PER_WARP;

// A place of a tile.
struct Spot {
    bool within;
    int sample, i, j;
    // Where its window begins, counted from the tile's.
    int base;
};

__device__ __forceinline__ Spot spot(const Windows &w, int tile, int at) {
    const int s = at % w.tile_n, place = at / w.tile_n;
    const int x = place % w.tile_x, y = place / w.tile_x;
    const int rest = tile / w.tiles_x;
    Spot found;
    found.sample = rest / w.tiles_y * w.tile_n + s;
    found.i = rest % w.tiles_y * w.tile_y + y;
    found.j = tile % w.tiles_x * w.tile_x + x;
    const bool inside = y < w.tile_y;
    found.within = inside && found.sample < w.samples && found.i < w.places_y && found.j < w.places_x;
    found.base = inside ? (y * w.in_step_y * w.window_x + x * w.in_step_x) * w.tile_n + s : 0;
    return found;
}

// Where the values of a tile's window lie in the input, of its first channel; -1 where there is none.
__device__ __forceinline__ void window_places(const Windows &w, int tile, int channel, int *places) {
    const int rest = tile / w.tiles_x;
    const int sample = rest / w.tiles_y * w.tile_n;
    const int top = w.in_start_y + rest % w.tiles_y * w.tile_y * w.in_step_y;
    const int left = w.in_start_x + tile % w.tiles_x * w.tile_x * w.in_step_x;
    const int all = w.tile_n * w.window_y * w.window_x;
    for (int at = (int)threadIdx.x; at < all; at += THREADS) {
        const int n = sample + at % w.tile_n, place = at / w.tile_n;
        const int y = top + place / w.window_x, x = left + place % w.window_x;
        const bool inside = n < w.samples && (uint)y < (uint)w.in_height && (uint)x < (uint)w.in_width;
        places[at] = inside ? ((n * w.in_height + y) * w.in_width + x) * w.in_channels + channel : -1;
    }
}

// Channels side by side, from [place][channel] to [channel][place]. Eight threads read a sector.
__device__ __forceinline__ void stage(const float *__restrict__ from, const int *places, int all, int channels,
                                      int pitch, float *to) {
    const int first = (int)(threadIdx.x % 8u);
    for (int at = (int)(threadIdx.x / 8u); at < all; at += THREADS / 8) {
        const int place = places[at];
#pragma unroll 4
        for (int channel = first; channel < channels; channel += 8) {
            to[channel * pitch + at] = place < 0 ? 0.0f : from[(size_t)place + channel];
        }
    }
}

struct SparseConv {
    Windows w;
    int out_height, out_width, out_channels;
    int out_start_y, out_start_x, out_step_y, out_step_x;
    // Of a group: channels that are read, in how many chunks, and channels that are written.
    int depth, chunks, width;
    int relu, accumulate;
};

// Blocks: tiles, 64 written channels, groups. `order` has 64 written channels for each block (-1: none), eight for each
// warp; `starts` where a channel's weights begin, chunk by chunk; `offsets` where in the staged chunk a weight reads.
extern "C" __global__ void __launch_bounds__(THREADS, 2)
    sparse_conv(const float *__restrict__ input, const float *__restrict__ values, const float *__restrict__ bias,
                float *output, const uint *__restrict__ starts, const int *__restrict__ order,
                const unsigned short *__restrict__ offsets, SparseConv c) {
    __shared__ float tile[TILE];
    __shared__ int places[WINDOW];
    const int lane = (int)(threadIdx.x % LANES), warp = (int)(threadIdx.x / LANES);
    const int group = (int)blockIdx.z, first = group * c.width + (int)blockIdx.y * WRITTEN;
    const int window = c.w.tile_n * c.w.window_y * c.w.window_x;
    const int lines = (c.w.tile_n * c.w.tile_y * c.w.tile_x + LANES - 1) / LANES;
    int base[SPOTS], row[PER_WARP];
    float sums[PER_WARP][SPOTS];
    order += ((size_t)group * gridDim.y + blockIdx.y) * WRITTEN + warp * PER_WARP;
#pragma unroll
    for (int r = 0; r < PER_WARP; r++) {
        row[r] = order[r];
#pragma unroll
        for (int p = 0; p < SPOTS; p++) {
            sums[r][p] = 0.0f;
        }
    }
#pragma unroll
    for (int p = 0; p < SPOTS; p++) {
        base[p] = spot(c.w, (int)blockIdx.x, p * LANES + lane).base;
    }
    window_places(c.w, (int)blockIdx.x, group * c.depth, places);
    for (int chunk = 0; chunk < c.chunks; chunk++) {
        __syncthreads();
        const int channel = chunk * c.w.chunk;
        stage(input + channel, places, window, min(c.w.chunk, c.depth - channel), c.w.pitch, tile);
        __syncthreads();
#pragma unroll
        for (int r = 0; r < PER_WARP; r++) {
            if (row[r] < 0) {
                continue;
            }
            const uint *at = starts + (size_t)row[r] * c.chunks + chunk;
            const uint end = at[1];
            for (uint k = at[0]; k < end; k++) {
                const float value = values[k];
                const float *from = tile + offsets[k];
#pragma unroll
                for (int p = 0; p < SPOTS; p++) {
                    if (p < lines) {
                        sums[r][p] = fmaf(value, from[base[p]], sums[r][p]);
                    }
                }
            }
        }
    }
    // Written by way of shared memory, channels side by side, in two halves.
    __syncthreads();
    {
        const Spot s = spot(c.w, (int)blockIdx.x, (int)threadIdx.x);
        const int y = c.out_start_y + s.i * c.out_step_y, x = c.out_start_x + s.j * c.out_step_x;
        const int target = ((s.sample * c.out_height + y) * c.out_width + x) * c.out_channels;
        places[threadIdx.x] = s.within ? target : -1;
    }
    constexpr int HALF = SPOTS / 2, PITCH = WRITTEN + 1;
#pragma unroll
    for (int half = 0; half < 2; half++) {
        __syncthreads();
#pragma unroll
        for (int r = 0; r < PER_WARP; r++) {
#pragma unroll
            for (int p = 0; p < HALF; p++) {
                if (row[r] >= 0) {
                    tile[(p * LANES + lane) * PITCH + row[r] - first] = sums[r][half * HALF + p];
                }
            }
        }
        __syncthreads();
        const int column = (int)(threadIdx.x % WRITTEN), channel = first + column;
        if ((int)blockIdx.y * WRITTEN + column >= c.width) {
            continue;
        }
        const float shift = bias != 0 ? bias[channel] : 0.0f;
        for (int at = (int)(threadIdx.x / WRITTEN); at < HALF * LANES; at += THREADS / WRITTEN) {
            const int target = places[half * HALF * LANES + at];
            if (target < 0) {
                continue;
            }
            float *to = output + (size_t)target + channel;
            float value = tile[at * PITCH + column] + shift;
            if (c.accumulate) {
                value += *to;
            }
            *to = c.relu && value < 0.0f ? 0.0f : value;
        }
    }
}

// Weights in the order of another list.
extern "C" __global__ void __launch_bounds__(THREADS)
    gather_values(const float *__restrict__ values, const uint *__restrict__ from, float *__restrict__ to, uint len) {
    const uint at = thread_index();
    if (at < len) {
        to[at] = values[from[at]];
    }
}
