// From packed vectors to what other kernels read, and back: decoding, sums of parts, the optimiser.

// Where the weights of a pass lie in the mask. The pass reads a matrix [group][tap][depth][width]: taps
// rows of depth factors, of which each column makes one output.
struct Expand {
    int groups, taps_y, taps_x, depth, width;
    // A column is (high, low): column = high * lows + low.
    int lows;
    // Where a weight lies in the mask, counted from its group's first.
    int per_group, per_high, per_low, per_depth;
    // Tap (a, b) is at (start_y + a * step_y, start_x + b * step_x) of the kernel, whose rows are this long.
    int start_y, start_x, step_y, step_x, kernel_width;
};

// Lays the weights of a pass out dense, zero where none exists. One thread a place.
extern "C" __global__ void __launch_bounds__(THREADS)
    expand(const float *__restrict__ values, const uint *__restrict__ bits,
           const uint *__restrict__ before, float *__restrict__ out, Expand e) {
    const uint at = thread_index();
    const uint column = at % (uint)e.width;
    uint rest = at / (uint)e.width;
    const uint channel = rest % (uint)e.depth;
    rest /= (uint)e.depth;
    const uint b = rest % (uint)e.taps_x;
    rest /= (uint)e.taps_x;
    const uint a = rest % (uint)e.taps_y;
    const uint group = rest / (uint)e.taps_y;
    if (group >= (uint)e.groups) {
        return;
    }
    const uint tap = (uint)(e.start_y + (int)a * e.step_y) * (uint)e.kernel_width +
                     (uint)(e.start_x + (int)b * e.step_x);
    const uint position = group * (uint)e.per_group + column / (uint)e.lows * (uint)e.per_high +
                          column % (uint)e.lows * (uint)e.per_low + channel * (uint)e.per_depth + tap;
    const int index = rank(bits, before, position);
    out[at] = index < 0 ? 0.0f : values[index];
}

// to[i] += the sum of partials[k][i], k ascending.
extern "C" __global__ void __launch_bounds__(THREADS)
    sum_partials(const float *__restrict__ partials, float *__restrict__ to, uint len, uint parts) {
    const uint at = thread_index();
    if (at >= len) {
        return;
    }
    float sum = 0.0f;
    for (uint part = 0; part < parts; part++) {
        sum += partials[(size_t)part * len + at];
    }
    to[at] += sum;
}

// Part blockIdx.y of the sums over rows of a [rows][columns] matrix. Threads are eight rows of 32 columns.
extern "C" __global__ void __launch_bounds__(THREADS)
    column_sums(const float *__restrict__ matrix, float *__restrict__ partials, uint rows, uint columns,
                uint rows_per_part) {
    __shared__ float sums[8][32];
    const uint lane = threadIdx.x % 32u, line = threadIdx.x / 32u;
    const uint column = blockIdx.x * 32u + lane;
    const uint start = blockIdx.y * rows_per_part;
    const uint end = min(start + rows_per_part, rows);
    float sum = 0.0f;
    if (column < columns) {
        for (uint row = start + line; row < end; row += 8u) {
            sum += matrix[(size_t)row * columns + column];
        }
    }
    sums[line][lane] = sum;
    __syncthreads();
    if (line == 0 && column < columns) {
        for (uint other = 1; other < 8u; other++) {
            sum += sums[other][lane];
        }
        partials[(size_t)blockIdx.y * columns + column] = sum;
    }
}

__device__ __forceinline__ float soft(float value, float threshold) {
    const float size = fabsf(value) - threshold;
    return size > 0.0f ? copysignf(size, value) : 0.0f;
}

// Momentum, decay and the l1 term, one pass. `l1`: 0 none, 1 subgradient, 2 proximal, 3 proximal towards
// `base`. Weights that `learns` says 0 of stay, and their momentum becomes 0. Counts in `at_centre` the
// weights that are exactly the centre afterwards, where there is a counter. `rates` are the learning rate,
// the strength of the l1 term and its threshold: they lie in memory, so that a recorded step may follow them.
extern "C" __global__ void __launch_bounds__(THREADS)
    update(float *__restrict__ values, float *__restrict__ momenta, const float *__restrict__ gradient,
           const float *__restrict__ base, const uint *__restrict__ learns, uint *at_centre,
           const float *__restrict__ rates, uint len, uint l1, float momentum, float decay) {
    __shared__ uint counts[THREADS];
    const float rate = rates[0], gamma = rates[1], threshold = rates[2];
    const uint at = thread_index();
    uint centred = 0;
    if (at < len) {
        const float w = values[at];
        const float centre = l1 == 3u ? base[at] : 0.0f;
        float g = gradient[at] + decay * w;
        if (l1 == 1u) {
            g += w > 0.0f ? gamma : (w < 0.0f ? -gamma : 0.0f);
        }
        const float m = momentum * momenta[at] + g;
        float away = w - rate * m - centre;
        if (l1 >= 2u) {
            away = soft(away, threshold);
        }
        const bool held = learns != 0 && learns[at] == 0u;
        momenta[at] = held ? 0.0f : m;
        const float next = held ? w : (away == 0.0f ? centre : centre + away);
        values[at] = next;
        centred = next == centre ? 1u : 0u;
    }
    if (at_centre == 0) {
        return;
    }
    counts[threadIdx.x] = centred;
    __syncthreads();
    for (uint half = THREADS / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) {
            counts[threadIdx.x] += counts[threadIdx.x + half];
        }
        __syncthreads();
    }
    if (threadIdx.x == 0) {
        atomicAdd(at_centre, counts[0]);
    }
}
