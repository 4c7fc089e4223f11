// What a transformer needs besides attention: GELU, positions, squares that become channels, and norms over
// the channels of a place.

// The normal distribution up to x, and its density at x. The polynomial is the processor's: Abramowitz and
// Stegun, Handbook of Mathematical Functions, 1964, 7.1.26, within 1.5e-7.
__device__ __forceinline__ float2 normal(float x) {
    const float bell = expf(-0.5f * x * x);
    // 0.3275911 / sqrt(2).
    const float t = 1.0f / (1.0f + 0.231641888f * fabsf(x));
    float sum = fmaf(1.061405429f, t, -1.453152027f);
    sum = fmaf(sum, t, 1.421413741f);
    sum = fmaf(sum, t, -0.284496736f);
    sum = fmaf(sum, t, 0.254829592f) * t;
    const float tail = 0.5f * sum * bell;
    return make_float2(x < 0.0f ? tail : 1.0f - tail, 0.398942280f * bell);
}

// y = x * P(X <= x).
extern "C" __global__ void __launch_bounds__(THREADS)
    gelu(const float *__restrict__ x, float *__restrict__ y, uint len) {
    const uint at = thread_index();
    if (at < len) {
        y[at] = x[at] * normal(x[at]).x;
    }
}

// dx = dy * (P(X <= x) + x * p(x)), added where `accumulate`.
extern "C" __global__ void __launch_bounds__(THREADS)
    gelu_backward(const float *__restrict__ x, const float *__restrict__ dy, float *__restrict__ dx, uint len,
                  uint accumulate) {
    const uint at = thread_index();
    if (at < len) {
        const float2 both = normal(x[at]);
        const float value = dy[at] * fmaf(x[at], both.y, both.x);
        dx[at] = accumulate != 0u ? dx[at] + value : value;
    }
}

// y = x + added, which is [channels][area] and the same for every sample.
extern "C" __global__ void __launch_bounds__(THREADS)
    add_position(const float *__restrict__ x, const float *__restrict__ added, float *__restrict__ y,
                 uint len, uint channels, uint area) {
    const uint at = thread_index();
    if (at < len) {
        const uint channel = at % channels, place = at / channels % area;
        y[at] = x[at] + added[(size_t)channel * area + place];
    }
}

// gradient[channels][area] += the sum of dy over samples, in their order.
extern "C" __global__ void __launch_bounds__(THREADS)
    position_gradient(const float *__restrict__ dy, float *__restrict__ gradient, uint samples, uint channels,
                      uint area) {
    const uint at = thread_index();
    if (at >= channels * area) {
        return;
    }
    double sum = 0.0;
    for (uint sample = 0; sample < samples; sample++) {
        sum += (double)dy[(size_t)sample * channels * area + at];
    }
    gradient[(size_t)(at % channels) * area + at / channels] += (float)sum;
}

// Squares of `side` rows and columns, whose places become channels of one place: first down, then right.
struct Merge {
    int in_height, in_width, channels, side;
};

extern "C" __global__ void __launch_bounds__(THREADS)
    merge(const float *__restrict__ x, float *__restrict__ y, uint len, Merge m) {
    const uint at = thread_index();
    if (at >= len) {
        return;
    }
    const At to =
        taken_apart(at, m.in_height / m.side, m.in_width / m.side, m.channels * m.side * m.side);
    const int which = to.channel / m.channels, channel = to.channel % m.channels;
    const int down = which % m.side, right = which / m.side;
    y[at] = x[put_together(to.sample, to.y * m.side + down, to.x * m.side + right, channel, m.in_height,
                           m.in_width, m.channels)];
}

extern "C" __global__ void __launch_bounds__(THREADS)
    merge_backward(const float *__restrict__ dy, float *__restrict__ dx, uint len, uint accumulate, Merge m) {
    const uint at = thread_index();
    if (at >= len) {
        return;
    }
    const At from = taken_apart(at, m.in_height, m.in_width, m.channels);
    const int which = from.x % m.side * m.side + from.y % m.side;
    const float value = dy[put_together(from.sample, from.y / m.side, from.x / m.side,
                                        which * m.channels + from.channel, m.in_height / m.side,
                                        m.in_width / m.side, m.channels * m.side * m.side)];
    dx[at] = accumulate != 0u ? dx[at] + value : value;
}

// The sum, in the order of lanes, of what the 32 lanes of a line have. Every thread of the block comes here.
__device__ __forceinline__ float line_sum(float (&shared)[8][32], float value) {
    const uint lane = threadIdx.x % 32u, line = threadIdx.x / 32u;
    __syncthreads();
    shared[line][lane] = value;
    __syncthreads();
    float sum = 0.0f;
    for (uint other = 0; other < 32u; other++) {
        sum += shared[line][other];
    }
    return sum;
}

// Mean, and one over the deviation, of the channels of a row. The variance is summed around the mean, so
// that nothing cancels.
__device__ __forceinline__ float2 row_moments(float (&shared)[8][32], const float *x, uint row, uint rows,
                                              uint channels, float epsilon) {
    const uint lane = threadIdx.x % 32u;
    const float *own = x + (size_t)row * channels;
    float sum = 0.0f, squares = 0.0f;
    for (uint c = lane; row < rows && c < channels; c += 32u) {
        sum += own[c];
    }
    const float mean = line_sum(shared, sum) / (float)channels;
    for (uint c = lane; row < rows && c < channels; c += 32u) {
        squares = fmaf(own[c] - mean, own[c] - mean, squares);
    }
    const float variance = line_sum(shared, squares) / (float)channels;
    return make_float2(mean, 1.0f / sqrtf(variance + epsilon));
}

// y = (x - mean) * inverse * scale + shift over the channels of each row of a matrix [rows][channels]. A
// block takes eight rows.
extern "C" __global__ void __launch_bounds__(THREADS)
    layer_norm(const float *__restrict__ x, float *__restrict__ y, const float *__restrict__ scale,
               const float *__restrict__ shift, uint rows, uint channels, float epsilon) {
    __shared__ float shared[8][32];
    const uint lane = threadIdx.x % 32u, row = blockIdx.x * 8u + threadIdx.x / 32u;
    const float2 own = row_moments(shared, x, row, rows, channels, epsilon);
    for (uint c = lane; row < rows && c < channels; c += 32u) {
        const size_t at = (size_t)row * channels + c;
        y[at] = fmaf(x[at] - own.x, own.y * scale[c], shift[c]);
    }
}

// dx = inverse * (dy * scale - mean of dy * scale - normalised x * mean of its product with dy * scale),
// added where `accumulate`. Statistics are made again, and kept for `layer_norm_products`: moments[rows][2].
extern "C" __global__ void __launch_bounds__(THREADS)
    layer_norm_input_gradient(const float *__restrict__ x, const float *__restrict__ scale,
                              const float *__restrict__ dy, float *__restrict__ dx,
                              float *__restrict__ moments, uint rows, uint channels, float epsilon,
                              uint accumulate) {
    __shared__ float shared[8][32];
    const uint lane = threadIdx.x % 32u, row = blockIdx.x * 8u + threadIdx.x / 32u;
    const float2 own = row_moments(shared, x, row, rows, channels, epsilon);
    float sum = 0.0f, product = 0.0f;
    for (uint c = lane; row < rows && c < channels; c += 32u) {
        const size_t at = (size_t)row * channels + c;
        const float slope = dy[at] * scale[c];
        sum += slope;
        product = fmaf(slope, (x[at] - own.x) * own.y, product);
    }
    const float first = line_sum(shared, sum) / (float)channels;
    const float second = line_sum(shared, product) / (float)channels;
    for (uint c = lane; row < rows && c < channels; c += 32u) {
        const size_t at = (size_t)row * channels + c;
        const float along = fmaf((x[at] - own.x) * own.y, second, first);
        const float value = (dy[at] * scale[c] - along) * own.y;
        dx[at] = accumulate != 0u ? dx[at] + value : value;
    }
    if (row < rows && lane == 0) {
        moments[2 * (size_t)row] = own.x;
        moments[2 * (size_t)row + 1] = own.y;
    }
}

// The sums of dy, and of dy times normalised x, over part blockIdx.y: partials[part][2][channels], which
// `norm_products_finish` adds.
extern "C" __global__ void __launch_bounds__(THREADS)
    layer_norm_products(const float *__restrict__ x, const float *__restrict__ dy,
                        const float *__restrict__ moments, float *__restrict__ partials, uint rows,
                        uint channels, uint rows_per_part) {
    __shared__ float sums[2][8][32];
    const uint lane = threadIdx.x % 32u, line = threadIdx.x / 32u;
    const uint channel = blockIdx.x * 32u + lane;
    const uint start = blockIdx.y * rows_per_part, end = min(start + rows_per_part, rows);
    float sum = 0.0f, product = 0.0f;
    for (uint row = start + line; channel < channels && row < end; row += 8u) {
        const size_t at = (size_t)row * channels + channel;
        sum += dy[at];
        product = fmaf(dy[at], (x[at] - moments[2 * (size_t)row]) * moments[2 * (size_t)row + 1], product);
    }
    sums[0][line][lane] = sum;
    sums[1][line][lane] = product;
    __syncthreads();
    if (line == 0 && channel < channels) {
        for (uint other = 1; other < 8u; other++) {
            sum += sums[0][other][lane];
            product += sums[1][other][lane];
        }
        partials[(size_t)blockIdx.y * 2 * channels + channel] = sum;
        partials[((size_t)blockIdx.y * 2 + 1) * channels + channel] = product;
    }
}
