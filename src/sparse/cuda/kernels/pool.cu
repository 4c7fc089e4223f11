// Pooling, and the shortcut without parameters. Backward, each place of the input asks the windows that it
// is in: nobody writes to a place of another.

struct Pool {
    int samples, channels;
    int in_height, in_width, out_height, out_width;
    int kernel_y, kernel_x, stride_y, stride_x, padding_y, padding_x;
};

// A value's sample, row, column and channel.
struct At {
    int sample, y, x, channel;
};

__device__ __forceinline__ At taken_apart(uint at, int height, int width, int channels) {
    At to;
    to.channel = (int)(at % (uint)channels);
    uint rest = at / (uint)channels;
    to.x = (int)(rest % (uint)width);
    rest /= (uint)width;
    to.y = (int)(rest % (uint)height);
    to.sample = (int)(rest / (uint)height);
    return to;
}

__device__ __forceinline__ size_t put_together(int sample, int y, int x, int channel, int height, int width,
                                               int channels) {
    return (((size_t)sample * height + y) * width + x) * channels + channel;
}

// The first and one past the last output place, along one direction, whose window holds place `at`.
__device__ __forceinline__ int first_window(int at, int kernel, int stride, int padding) {
    const int ahead = at + padding - kernel + 1;
    return ahead <= 0 ? 0 : (ahead + stride - 1) / stride;
}

__device__ __forceinline__ int past_window(int at, int stride, int padding, int places) {
    return min((at + padding) / stride + 1, places);
}

// Where the largest value of a window lies in x; of equal ones the first, row by row.
__device__ __forceinline__ size_t winner(const float *x, const Pool &p, int sample, int oy, int ox,
                                         int channel) {
    const int y = oy * p.stride_y - p.padding_y, left = ox * p.stride_x - p.padding_x;
    size_t best = 0;
    bool found = false;
    for (int iy = max(y, 0); iy < min(y + p.kernel_y, p.in_height); iy++) {
        for (int ix = max(left, 0); ix < min(left + p.kernel_x, p.in_width); ix++) {
            const size_t at = put_together(sample, iy, ix, channel, p.in_height, p.in_width, p.channels);
            if (!found || x[at] > x[best]) {
                best = at;
                found = true;
            }
        }
    }
    return best;
}

extern "C" __global__ void __launch_bounds__(THREADS)
    max_pool(const float *__restrict__ x, float *__restrict__ y, uint len, Pool p) {
    const uint at = thread_index();
    if (at >= len) {
        return;
    }
    const At to = taken_apart(at, p.out_height, p.out_width, p.channels);
    y[at] = x[winner(x, p, to.sample, to.y, to.x, to.channel)];
}

extern "C" __global__ void __launch_bounds__(THREADS)
    max_pool_backward(const float *__restrict__ x, const float *__restrict__ dy, float *__restrict__ dx,
                      uint len, uint accumulate, Pool p) {
    const uint at = thread_index();
    if (at >= len) {
        return;
    }
    const At from = taken_apart(at, p.in_height, p.in_width, p.channels);
    float sum = accumulate != 0u ? dx[at] : 0.0f;
    const int past_y = past_window(from.y, p.stride_y, p.padding_y, p.out_height);
    const int past_x = past_window(from.x, p.stride_x, p.padding_x, p.out_width);
    for (int oy = first_window(from.y, p.kernel_y, p.stride_y, p.padding_y); oy < past_y; oy++) {
        for (int ox = first_window(from.x, p.kernel_x, p.stride_x, p.padding_x); ox < past_x; ox++) {
            if (winner(x, p, from.sample, oy, ox, from.channel) == (size_t)at) {
                sum += dy[put_together(from.sample, oy, ox, from.channel, p.out_height, p.out_width,
                                       p.channels)];
            }
        }
    }
    dx[at] = sum;
}

extern "C" __global__ void __launch_bounds__(THREADS)
    avg_pool(const float *__restrict__ x, float *__restrict__ y, uint len, Pool p) {
    const uint at = thread_index();
    if (at >= len) {
        return;
    }
    const At to = taken_apart(at, p.out_height, p.out_width, p.channels);
    float sum = 0.0f;
    for (int i = 0; i < p.kernel_y; i++) {
        for (int j = 0; j < p.kernel_x; j++) {
            sum += x[put_together(to.sample, to.y * p.stride_y + i, to.x * p.stride_x + j, to.channel,
                                  p.in_height, p.in_width, p.channels)];
        }
    }
    y[at] = sum / (float)(p.kernel_y * p.kernel_x);
}

extern "C" __global__ void __launch_bounds__(THREADS)
    avg_pool_backward(const float *__restrict__ dy, float *__restrict__ dx, uint len, uint accumulate,
                      Pool p) {
    const uint at = thread_index();
    if (at >= len) {
        return;
    }
    const At from = taken_apart(at, p.in_height, p.in_width, p.channels);
    float sum = 0.0f;
    const int past_y = past_window(from.y, p.stride_y, 0, p.out_height);
    const int past_x = past_window(from.x, p.stride_x, 0, p.out_width);
    for (int oy = first_window(from.y, p.kernel_y, p.stride_y, 0); oy < past_y; oy++) {
        for (int ox = first_window(from.x, p.kernel_x, p.stride_x, 0); ox < past_x; ox++) {
            sum += dy[put_together(from.sample, oy, ox, from.channel, p.out_height, p.out_width, p.channels)];
        }
    }
    sum /= (float)(p.kernel_y * p.kernel_x);
    dx[at] = accumulate != 0u ? dx[at] + sum : sum;
}

struct Shortcut {
    int samples;
    int in_height, in_width, in_channels, out_height, out_width, out_channels;
    int stride_y, stride_x;
};

// y[before + c][i][j] = x[c][stride * i][stride * j], zero in channels before and behind.
extern "C" __global__ void __launch_bounds__(THREADS)
    pad_shortcut(const float *__restrict__ x, float *__restrict__ y, uint len, Shortcut s) {
    const uint at = thread_index();
    if (at >= len) {
        return;
    }
    const At to = taken_apart(at, s.out_height, s.out_width, s.out_channels);
    const int channel = to.channel - (s.out_channels - s.in_channels) / 2;
    const bool inside = channel >= 0 && channel < s.in_channels;
    y[at] = inside ? x[put_together(to.sample, to.y * s.stride_y, to.x * s.stride_x, channel, s.in_height,
                                    s.in_width, s.in_channels)]
                   : 0.0f;
}

extern "C" __global__ void __launch_bounds__(THREADS)
    pad_shortcut_backward(const float *__restrict__ dy, float *__restrict__ dx, uint len, uint accumulate,
                          Shortcut s) {
    const uint at = thread_index();
    if (at >= len) {
        return;
    }
    const At from = taken_apart(at, s.in_height, s.in_width, s.in_channels);
    const int y = from.y / s.stride_y, x = from.x / s.stride_x;
    const bool taken = from.y % s.stride_y == 0 && from.x % s.stride_x == 0 && y < s.out_height &&
                       x < s.out_width;
    const int channel = from.channel + (s.out_channels - s.in_channels) / 2;
    const float value =
        taken ? dy[put_together(from.sample, y, x, channel, s.out_height, s.out_width, s.out_channels)] : 0.0f;
    dx[at] = accumulate != 0u ? dx[at] + value : value;
}
