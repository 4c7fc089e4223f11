// One value at a time, and the loss.

// Samples as they come, [N][C][H * W], to [N][H * W][C], normalised.
extern "C" __global__ void __launch_bounds__(THREADS)
    load_input(const float *__restrict__ from, float *__restrict__ to, const float *__restrict__ mean,
               const float *__restrict__ scale, uint len, uint channels, uint area) {
    const uint at = thread_index();
    if (at >= len) {
        return;
    }
    const uint channel = at % channels, place = at / channels;
    const uint sample = place / area, within = place % area;
    const float value = from[((size_t)sample * channels + channel) * area + within];
    to[at] = (value - mean[channel]) * scale[channel];
}

extern "C" __global__ void __launch_bounds__(THREADS)
    relu(const float *__restrict__ x, float *__restrict__ y, uint len) {
    const uint at = thread_index();
    if (at < len) {
        const float value = x[at];
        y[at] = value < 0.0f ? 0.0f : value;
    }
}

// Closes dy where y is not above 0.
extern "C" __global__ void __launch_bounds__(THREADS)
    relu_backward(const float *__restrict__ y, float *__restrict__ dy, uint len) {
    const uint at = thread_index();
    if (at < len && !(y[at] > 0.0f)) {
        dy[at] = 0.0f;
    }
}

extern "C" __global__ void __launch_bounds__(THREADS)
    add(const float *__restrict__ a, const float *__restrict__ b, float *__restrict__ y, uint len,
        uint relu) {
    const uint at = thread_index();
    if (at < len) {
        const float value = a[at] + b[at];
        y[at] = relu != 0u && value < 0.0f ? 0.0f : value;
    }
}

// to = from, or to += from.
extern "C" __global__ void __launch_bounds__(THREADS)
    copy_or_add(const float *__restrict__ from, float *__restrict__ to, uint len, uint accumulate) {
    const uint at = thread_index();
    if (at < len) {
        to[at] = accumulate != 0u ? to[at] + from[at] : from[at];
    }
}

// The gradient of the mean cross-entropy of a batch that is part of 1 / share samples, and each sample's own
// loss and whether it was named rightly (of equal logits the first counts). One block a sample.
extern "C" __global__ void __launch_bounds__(THREADS)
    cross_entropy(const float *__restrict__ logits, const uint *__restrict__ labels,
                  float *__restrict__ dlogits, double *__restrict__ losses, uint *__restrict__ right,
                  uint classes, float share) {
    __shared__ float largest[THREADS];
    __shared__ uint best[THREADS];
    __shared__ double totals[THREADS];
    const uint sample = blockIdx.x, label = labels[sample];
    const float *row = logits + (size_t)sample * classes;
    float top = row[0];
    uint at = 0;
    for (uint c = threadIdx.x; c < classes; c += THREADS) {
        if (row[c] > top) {
            top = row[c];
            at = c;
        }
    }
    largest[threadIdx.x] = top;
    best[threadIdx.x] = at;
    __syncthreads();
    for (uint half = THREADS / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) {
            const float other = largest[threadIdx.x + half];
            const bool wins = other > largest[threadIdx.x] ||
                              (other == largest[threadIdx.x] && best[threadIdx.x + half] < best[threadIdx.x]);
            if (wins) {
                largest[threadIdx.x] = other;
                best[threadIdx.x] = best[threadIdx.x + half];
            }
        }
        __syncthreads();
    }
    top = largest[0];
    double total = 0.0;
    for (uint c = threadIdx.x; c < classes; c += THREADS) {
        total += exp((double)(row[c] - top));
    }
    totals[threadIdx.x] = total;
    __syncthreads();
    for (uint half = THREADS / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) {
            totals[threadIdx.x] += totals[threadIdx.x + half];
        }
        __syncthreads();
    }
    total = totals[0];
    for (uint c = threadIdx.x; c < classes; c += THREADS) {
        const double p = exp((double)(row[c] - top)) / total;
        dlogits[(size_t)sample * classes + c] = (float)((p - (c == label ? 1.0 : 0.0)) * (double)share);
    }
    if (threadIdx.x == 0) {
        losses[sample] = log(total) - (double)(row[label] - top);
        right[sample] = best[0] == label ? 1u : 0u;
    }
}
