// Kernels that try the emulator: some right, some wrong in one way each.

struct Shape {
    int rows, columns, offset;
};

extern "C" __global__ void __launch_bounds__(256) sum(const float *__restrict__ from, float *to, unsigned count) {
    __shared__ float parts[256];
    float own = 0.0f;
    for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) own += from[i];
    parts[threadIdx.x] = own;
    __syncthreads();
    for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) parts[threadIdx.x] += parts[threadIdx.x + half];
        __syncthreads();
    }
    if (threadIdx.x == 0) to[blockIdx.x] = parts[0];
}

// Every kind of argument, and every coordinate.
extern "C" __global__ void arguments(float *to, unsigned stride, float factor, Shape shape, const float *add) {
    unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    to[block * stride + threadIdx.x] =
        factor * (float)(shape.rows * 100 + shape.columns * 10 + shape.offset) + add[block] + (float)threadIdx.x;
}

extern "C" __global__ void counting(unsigned *counts, int *order) {
    unsigned was = atomicAdd(counts, 1u);
    if (threadIdx.x == 0) order[blockIdx.x] = (int)was;
    atomicAdd(order + gridDim.x, -1);
    atomicAdd(counts + 1, (unsigned)__popc(threadIdx.x));
}

// What is right in one order only: each thread reads what its neighbour may or may not have written.
extern "C" __global__ void race(float *to) {
    __shared__ float parts[257];
    parts[threadIdx.x] = (float)threadIdx.x;
    if (threadIdx.x == 0) parts[blockDim.x] = -1.0f;
    to[threadIdx.x] = parts[threadIdx.x + 1];
    __syncthreads();
    parts[threadIdx.x] = 0.0f;
}

extern "C" __global__ void divergent(float *to) {
    if (threadIdx.x < 40) __syncthreads();
    to[threadIdx.x] = 1.0f;
}

extern "C" __global__ void two_barriers(float *to) {
    if (threadIdx.x < 32) {
        __syncthreads();
    } else {
        __syncthreads();
    }
    to[threadIdx.x] = 1.0f;
}

extern "C" __global__ void write_at(float *to, unsigned at) { to[at + threadIdx.x] = 1.0f; }

extern "C" __global__ void write_before(float *to) { *(to - 1 - (int)threadIdx.x) = 1.0f; }

extern "C" __global__ void shared_index(float *to, unsigned at) {
    __shared__ float parts[64];
    parts[threadIdx.x % 64] = 1.0f;
    __syncthreads();
    to[threadIdx.x] = parts[at + threadIdx.x];
}

extern "C" __global__ void four_at(float *to, unsigned at) {
    *(float4 *)(to + at) = make_float4(1.0f, 2.0f, 3.0f, 4.0f);
}

extern "C" __global__ void divide(unsigned *to, unsigned by) { to[0] = 7u / by; }

extern "C" __global__ void functions(float *to) {
    to[0] = fmaf(2.0f, 3.0f, 4.0f);
    to[1] = rsqrtf(4.0f);
    to[2] = expf(0.0f) + logf(1.0f);
    to[3] = fmaxf(1.0f, 2.0f) - fminf(1.0f, 2.0f);
    to[4] = __uint_as_float(__float_as_uint(-2.5f) & 0x7fffffff);
    to[5] = (float)(min(3, -1) * 10 + max(2, 5));
    to[6] = (float)(1.0 / 3.0);
    to[7] = sqrtf(9.0f);
}

// Roundings: each float to its tf32, two halves and two bf16.
extern "C" __global__ void roundings(const float *from, unsigned *to, unsigned count) {
    for (unsigned i = threadIdx.x; i < count; i += blockDim.x) {
        to[3 * i] = to_tf32(from[i]);
        to[3 * i + 1] = pack_f16(from[i], -from[i]);
        to[3 * i + 2] = pack_bf16(from[i], -from[i]);
    }
}

template <int KIND>
__device__ __forceinline__ void multiply(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    if (KIND == 0) mma_tf32(d, a, b);
    if (KIND == 1) mma_f16(d, a, b);
    if (KIND == 2) mma_bf16(d, a, b);
}

// Registers as they are, one tile a warp: a in fours, b in twos, d in fours a lane.
template <int KIND>
__device__ __forceinline__ void multiply_tile(const unsigned *a, const unsigned *b, float *d, unsigned times) {
    unsigned at = blockIdx.x * blockDim.x + threadIdx.x;
    unsigned left[4], right[2];
    float sums[4];
    for (int i = 0; i < 4; i++) left[i] = a[4 * at + i];
    for (int i = 0; i < 2; i++) right[i] = b[2 * at + i];
    for (int i = 0; i < 4; i++) sums[i] = d[4 * at + i];
    for (unsigned time = 0; time < times; time++) multiply<KIND>(sums, left, right);
    for (int i = 0; i < 4; i++) d[4 * at + i] = sums[i];
}
extern "C" __global__ void multiply_tf32(const unsigned *a, const unsigned *b, float *d, unsigned times) {
    multiply_tile<0>(a, b, d, times);
}
extern "C" __global__ void multiply_f16(const unsigned *a, const unsigned *b, float *d, unsigned times) {
    multiply_tile<1>(a, b, d, times);
}
extern "C" __global__ void multiply_bf16(const unsigned *a, const unsigned *b, float *d, unsigned times) {
    multiply_tile<2>(a, b, d, times);
}

extern "C" __global__ void multiply_some(float *to) {
    unsigned a[4] = {0, 0, 0, 0}, b[2] = {0, 0};
    float d[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    if (threadIdx.x != 5) mma_f16(d, a, b);
    to[threadIdx.x] = d[0];
}

// Reads shared memory that nobody wrote.
extern "C" __global__ void unwritten(float *to) {
    __shared__ float parts[32];
    if (threadIdx.x != 3) parts[threadIdx.x] = 1.0f;
    __syncthreads();
    to[threadIdx.x] = parts[threadIdx.x];
    __syncthreads();
    parts[threadIdx.x] = 2.0f;
}

extern "C" __global__ void read_at(const float *from, float *to, unsigned at) { to[threadIdx.x] = from[at + threadIdx.x]; }
