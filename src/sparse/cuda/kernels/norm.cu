// Batch normalisation with the addition and the rectifier behind it, over a matrix [rows][channels]:
// y = (x - mean) * inverse * scale + shift (+ addend). Statistics are made in two launches: parts of rows,
// then the parts of each channel in order. Blocks of the first are eight rows of 32 channels.

// Mean and spread (the sum of squares around the mean) of part blockIdx.y: partials[part][2][channels]. A
// part's sums are taken around its first row, so that nothing cancels.
extern "C" __global__ void __launch_bounds__(THREADS)
    moments(const float *__restrict__ x, float *__restrict__ partials, uint rows, uint channels,
            uint rows_per_part) {
    __shared__ float sums[2][8][32];
    const uint lane = threadIdx.x % 32u, line = threadIdx.x / 32u;
    const uint channel = blockIdx.x * 32u + lane;
    const uint start = blockIdx.y * rows_per_part, end = min(start + rows_per_part, rows);
    float around = 0.0f, sum = 0.0f, squares = 0.0f;
    if (channel < channels) {
        around = x[(size_t)start * channels + channel];
        for (uint row = start + line; row < end; row += 8u) {
            const float d = x[(size_t)row * channels + channel] - around;
            sum += d;
            squares = fmaf(d, d, squares);
        }
    }
    sums[0][line][lane] = sum;
    sums[1][line][lane] = squares;
    __syncthreads();
    if (line == 0 && channel < channels) {
        for (uint other = 1; other < 8u; other++) {
            sum += sums[0][other][lane];
            squares += sums[1][other][lane];
        }
        const float mean = sum / (float)(end - start);
        const float spread = fmaxf(squares - sum * mean, 0.0f);
        partials[(size_t)blockIdx.y * 2 * channels + channel] = around + mean;
        partials[((size_t)blockIdx.y * 2 + 1) * channels + channel] = spread;
    }
}

// Puts the parts of a channel together, by the rule of Chan, Golub and LeVeque (1979): saved[channel] =
// (mean, one over the deviation). Moves the running statistics by `momentum`, with the unbiased variance.
extern "C" __global__ void __launch_bounds__(THREADS)
    moments_finish(const float *__restrict__ partials, float *__restrict__ saved, float *__restrict__ mean,
                   float *__restrict__ variance, uint rows, uint channels, uint rows_per_part, float epsilon,
                   float momentum) {
    const uint channel = thread_index();
    if (channel >= channels) {
        return;
    }
    double count = 0.0, centre = 0.0, spread = 0.0;
    for (uint part = 0; part * rows_per_part < rows; part++) {
        const double more = (double)(min((part + 1u) * rows_per_part, rows) - part * rows_per_part);
        const double other = (double)partials[(size_t)part * 2 * channels + channel];
        const double apart = other - centre, total = count + more;
        spread += (double)partials[((size_t)part * 2 + 1) * channels + channel] +
                  apart * apart * count * more / total;
        centre += apart * more / total;
        count = total;
    }
    const float unbiased = (float)(spread / (count > 1.0 ? count - 1.0 : 1.0));
    saved[2 * channel] = (float)centre;
    saved[2 * channel + 1] = (float)(1.0 / sqrt(spread / count + (double)epsilon));
    mean[channel] += momentum * ((float)centre - mean[channel]);
    variance[channel] += momentum * (unbiased - variance[channel]);
}

// `saved` from the running statistics.
extern "C" __global__ void __launch_bounds__(THREADS)
    norm_frozen(const float *__restrict__ mean, const float *__restrict__ variance, float *__restrict__ saved,
                uint channels, float epsilon) {
    const uint channel = thread_index();
    if (channel < channels) {
        saved[2 * channel] = mean[channel];
        saved[2 * channel + 1] = (float)(1.0 / sqrt((double)variance[channel] + (double)epsilon));
    }
}

// What x is multiplied by, and what is added.
__device__ __forceinline__ float2 affine(const float *saved, const float *scale, const float *shift,
                                         uint channel) {
    const float slope = saved[2 * channel + 1] * scale[channel];
    return make_float2(slope, fmaf(-saved[2 * channel], slope, shift[channel]));
}

// y = x * slope + start (+ addend), then the rectifier if there is one.
extern "C" __global__ void __launch_bounds__(THREADS)
    normalise(const float *__restrict__ x, const float *__restrict__ addend, float *__restrict__ y,
              const float *__restrict__ saved, const float *__restrict__ scale,
              const float *__restrict__ shift, uint len, uint channels, uint relu) {
    const uint at = thread_index();
    if (at >= len) {
        return;
    }
    const float2 line = affine(saved, scale, shift, at % channels);
    float value = fmaf(x[at], line.x, line.y);
    if (addend != 0) {
        value += addend[at];
    }
    y[at] = relu != 0u && value < 0.0f ? 0.0f : value;
}

// The sums of dy, and of dy times normalised x, over part blockIdx.y: partials[part][2][channels]. Behind a
// rectifier only where it was open: by `y` where there is one, and then dy is closed in place; else by x.
extern "C" __global__ void __launch_bounds__(THREADS)
    norm_products(const float *__restrict__ x, const float *__restrict__ y, float *__restrict__ dy,
                  const float *__restrict__ saved, const float *__restrict__ scale,
                  const float *__restrict__ shift, float *__restrict__ partials, uint rows, uint channels,
                  uint rows_per_part, uint relu) {
    __shared__ float sums[2][8][32];
    const uint lane = threadIdx.x % 32u, line = threadIdx.x / 32u;
    const uint channel = blockIdx.x * 32u + lane;
    const uint start = blockIdx.y * rows_per_part, end = min(start + rows_per_part, rows);
    float sum = 0.0f, product = 0.0f;
    if (channel < channels) {
        const float2 open = affine(saved, scale, shift, channel);
        const float mean = saved[2 * channel], inverse = saved[2 * channel + 1];
        for (uint row = start + line; row < end; row += 8u) {
            const size_t at = (size_t)row * channels + channel;
            const float value = x[at];
            float d = dy[at];
            if (relu != 0u && y != 0) {
                d = y[at] > 0.0f ? d : 0.0f;
                dy[at] = d;
            } else if (relu != 0u) {
                d = fmaf(value, open.x, open.y) > 0.0f ? d : 0.0f;
            }
            sum += d;
            product = fmaf(d, (value - mean) * inverse, product);
        }
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

// Adds the parts to the gradients of shift and scale, where there are any, and keeps their means over all
// rows: means[2][channels], zero where the statistics are constants.
extern "C" __global__ void __launch_bounds__(THREADS)
    norm_products_finish(const float *__restrict__ partials, float *__restrict__ dscale,
                         float *__restrict__ dshift, float *__restrict__ means, uint rows, uint channels,
                         uint parts, uint frozen) {
    const uint channel = thread_index();
    if (channel >= channels) {
        return;
    }
    double sum = 0.0, product = 0.0;
    for (uint part = 0; part < parts; part++) {
        sum += (double)partials[(size_t)part * 2 * channels + channel];
        product += (double)partials[((size_t)part * 2 + 1) * channels + channel];
    }
    if (dscale != 0) {
        dshift[channel] += (float)sum;
        dscale[channel] += (float)product;
    }
    means[channel] = frozen != 0u ? 0.0f : (float)(sum / (double)rows);
    means[channels + channel] = frozen != 0u ? 0.0f : (float)(product / (double)rows);
}

// dx = slope * (dy - mean of dy - normalised x * mean of the products), added where `accumulate`. Behind a
// rectifier without an addition dy counts where it was open.
extern "C" __global__ void __launch_bounds__(THREADS)
    norm_input_gradient(const float *__restrict__ x, const float *__restrict__ dy, float *__restrict__ dx,
                        const float *__restrict__ saved, const float *__restrict__ scale,
                        const float *__restrict__ shift, const float *__restrict__ means, uint len,
                        uint channels, uint closes, uint accumulate) {
    const uint at = thread_index();
    if (at >= len) {
        return;
    }
    const uint channel = at % channels;
    const float2 line = affine(saved, scale, shift, channel);
    const float value = x[at];
    float d = dy[at];
    if (closes != 0u && !(fmaf(value, line.x, line.y) > 0.0f)) {
        d = 0.0f;
    }
    const float normal = (value - saved[2 * channel]) * saved[2 * channel + 1];
    float gradient = line.x * (d - means[channel] - normal * means[channels + channel]);
    if (accumulate != 0u) {
        gradient += dx[at];
    }
    dx[at] = gradient;
}
