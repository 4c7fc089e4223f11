// The gradient of the weights that exist, on CUDA cores in f32: for each the sum over places of dy times what the weight
// read, and for no other.
//
// Weights of 32 filters and a chunk of channels make units of up to 512: a block stages both sides of one tile of 128
// places, as `sparse_conv` stages one, and a warp takes 64 weights, whose sums stay in its registers, a lane's own, from
// tile to tile. Lanes are added at the end, in order, then the parts that places are cut into, by `sum_partials`.
//
// Loads from shared memory, for each product: one of the input; one of dy, which weights of one filter share; a quarter
// of a list's. Staging takes as many again where a unit has few weights: 2.5 a product in ResNet-18's convolutions of
// 3 by 3 of which 5 weights in 100 exist, 1.8 where half do. Predicted from counts and not measured.

constexpr int FILTERS = 32;    // of a unit
constexpr int PLACES = 128;    // of a tile
constexpr int LINES = PLACES / LANES;
constexpr int PER_LIST = 64;   // weights of a warp
constexpr int DY_PITCH = PLACES + 4;
constexpr int DY_WORDS = FILTERS * DY_PITCH;

struct SparseGradient {
    Windows w;
    int out_channels;
    // Of a group: filters, and channels that are read.
    int filters, depth;
    // Taps of the kernel, and in a row of it. Where it covers its input (`whole`), what is read is one place whose
    // channels are (tap, channel).
    int area, kernel_x, whole;
    int tiles, per_part, existing;
};

// A unit: where its list begins, its first filter among all, its first channel within the group.
struct SparseUnit {
    uint start, filter, channel;
};

// Which of the layer's weights an entry of a list is.
__device__ __forceinline__ uint gradient_position(const SparseGradient &c, const SparseUnit &unit, uint entry) {
    const int read = (int)(entry & 0xffffu), local = read / c.w.pitch;
    const int place = (read - local * c.w.pitch) / c.w.tile_n;
    const int channel = (int)unit.channel + local;
    const uint filter = unit.filter + (entry >> 16) / DY_PITCH;
    if (c.whole) {
        const int channels = c.depth / c.area;
        return (filter * (uint)channels + (uint)(channel % channels)) * (uint)c.area + (uint)(channel / channels);
    }
    const int tap = place / c.w.window_x * c.kernel_x + place % c.w.window_x;
    return (filter * (uint)c.depth + (uint)channel) * (uint)c.area + (uint)tap;
}

// Blocks: units, parts. An entry of `list` is (offset of the filter in what is staged of dy, offset in the input).
extern "C" __global__ void __launch_bounds__(THREADS, 2)
    sparse_gradient(const float *__restrict__ dy, const float *__restrict__ input, const uint *__restrict__ bits,
                    const uint *__restrict__ before, float *__restrict__ partials, const SparseUnit *__restrict__ units,
                    const uint *__restrict__ list, SparseGradient c) {
    __shared__ float tile[TILE];
    __shared__ int places[WINDOW];
    __shared__ int targets[PLACES];
    float *const from_dy = tile, *const from_input = tile + DY_WORDS;
    const int lane = (int)(threadIdx.x % LANES), warp = (int)(threadIdx.x / LANES);
    const SparseUnit unit = units[blockIdx.x];
    const int all = (int)(units[blockIdx.x + 1].start - unit.start), each = (all + WARPS - 1) / WARPS;
    const int own = max(0, min(each, all - warp * each));
    list += unit.start + (uint)(warp * each);
    const int group = (int)unit.filter / c.filters;
    const int filters = min(FILTERS, (group + 1) * c.filters - (int)unit.filter);
    const int channels = min(c.w.chunk, c.depth - (int)unit.channel);
    const int window = c.w.tile_n * c.w.window_y * c.w.window_x;
    int base[LINES];
    float sums[PER_LIST];
#pragma unroll
    for (int p = 0; p < LINES; p++) {
        base[p] = spot(c.w, 0, p * LANES + lane).base;
    }
#pragma unroll
    for (int k = 0; k < PER_LIST; k++) {
        sums[k] = 0.0f;
    }
    const int end = min(((int)blockIdx.y + 1) * c.per_part, c.tiles);
    for (int at = (int)blockIdx.y * c.per_part; at < end; at++) {
        window_places(c.w, at, group * c.depth + (int)unit.channel, places);
        if (threadIdx.x < PLACES) {
            const Spot s = spot(c.w, at, (int)threadIdx.x);
            const int target = ((s.sample * c.w.places_y + s.i) * c.w.places_x + s.j) * c.out_channels;
            targets[threadIdx.x] = s.within ? target + (int)unit.filter : -1;
        }
        __syncthreads();
        stage(dy, targets, PLACES, filters, DY_PITCH, from_dy);
        stage(input, places, window, channels, c.w.pitch, from_input);
        __syncthreads();
        float d[LINES];
#pragma unroll
        for (int p = 0; p < LINES; p++) {
            d[p] = 0.0f;
        }
        uint held = ~0u;
#pragma unroll
        for (int k = 0; k < PER_LIST; k++) {
            if (k < own) {
                const uint entry = list[k];
                if (entry >> 16 != held) {
                    held = entry >> 16;
#pragma unroll
                    for (int p = 0; p < LINES; p++) {
                        d[p] = from_dy[held + (uint)(p * LANES + lane)];
                    }
                }
                const float *from = from_input + (entry & 0xffffu);
#pragma unroll
                for (int p = 0; p < LINES; p++) {
                    sums[k] = fmaf(d[p], from[base[p]], sums[k]);
                }
            }
        }
        // Nobody writes tables or tiles before all have read them.
        __syncthreads();
    }
    constexpr int PITCH = LANES + 1;
#pragma unroll
    for (int half = 0; half < PER_LIST / LANES; half++) {
        __syncthreads();
#pragma unroll
        for (int k = 0; k < LANES; k++) {
            tile[(warp * LANES + k) * PITCH + lane] = sums[half * LANES + k];
        }
        __syncthreads();
        const int k = half * LANES + lane;
        if (k < own) {
            const float *line = tile + (warp * LANES + lane) * PITCH;
            float sum = line[0];
            for (int other = 1; other < LANES; other++) {
                sum += line[other];
            }
            const int index = rank(bits, before, gradient_position(c, unit, list[k]));
            partials[(size_t)blockIdx.y * c.existing + index] = sum;
        }
    }
}
