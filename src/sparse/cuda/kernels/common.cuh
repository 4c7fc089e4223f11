// What all kernels share. Activations are [N][H][W][C], so that neighbours in a warp read neighbours in
// memory. No header is included: the run-time compiler has none.
//
// No sum depends on the order in which blocks run: whoever adds up across blocks does so in a second
// launch, in a stated order. Counts of integers are the exception, where order cannot matter.

#define THREADS 256

typedef unsigned int uint;

#ifndef EMULATED
// The tensor cores multiply a 16 x K matrix by a K x 8 one, a warp together. Older cards than 8.0 have no
// such instruction; the launchers refuse these kernels there, and what is compiled for them stops.
#if __CUDA_ARCH__ >= 800
__device__ __forceinline__ uint to_tf32(float value) {
    uint bits;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(value));
    return bits;
}

__device__ __forceinline__ uint pack_f16(float low, float high) {
    uint bits;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(high), "f"(low));
    return bits;
}

__device__ __forceinline__ uint pack_bf16(float low, float high) {
    uint bits;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(high), "f"(low));
    return bits;
}

__device__ __forceinline__ void mma_tf32(float (&d)[4], const uint (&a)[4], const uint (&b)[2]) {
    asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
        "{%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

__device__ __forceinline__ void mma_f16(float (&d)[4], const uint (&a)[4], const uint (&b)[2]) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
        "{%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

__device__ __forceinline__ void mma_bf16(float (&d)[4], const uint (&a)[4], const uint (&b)[2]) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
        "{%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
#else
__device__ __forceinline__ uint stop() {
    asm volatile("trap;");
    return 0;
}
__device__ __forceinline__ uint to_tf32(float) { return stop(); }
__device__ __forceinline__ uint pack_f16(float, float) { return stop(); }
__device__ __forceinline__ uint pack_bf16(float, float) { return stop(); }
__device__ __forceinline__ void mma_tf32(float (&)[4], const uint (&)[4], const uint (&)[2]) { stop(); }
__device__ __forceinline__ void mma_f16(float (&)[4], const uint (&)[4], const uint (&)[2]) { stop(); }
__device__ __forceinline__ void mma_bf16(float (&)[4], const uint (&)[4], const uint (&)[2]) { stop(); }
#endif
#endif

// How factors are multiplied. Sums are always f32.
enum Precision { F32 = 0, TF32 = 1, F16 = 2, BF16 = 3 };

// Whether two neighbours along the sum share a word in shared memory.
__device__ constexpr bool halves(int precision) { return precision == F16 || precision == BF16; }

// Two neighbours along the sum, in one word.
template <int P>
__device__ __forceinline__ uint pack(float low, float high) {
    return P == F16 ? pack_f16(low, high) : pack_bf16(low, high);
}

// One factor in a word of its own.
template <int P>
__device__ __forceinline__ uint word(float value) {
    return P == TF32 ? to_tf32(value) : __float_as_uint(value);
}

// The multiplication that takes words.
template <int P>
__device__ __forceinline__ void multiply(float (&d)[4], const uint (&a)[4], const uint (&b)[2]) {
    if (P == TF32) {
        mma_tf32(d, a, b);
    } else if (P == F16) {
        mma_f16(d, a, b);
    } else {
        mma_bf16(d, a, b);
    }
}

// Which weights of a layer exist: a bit for each, and for each word of bits the number of weights before
// it. A mask without bits is whole.
__device__ __forceinline__ int rank(const uint *bits, const uint *before, uint position) {
    if (bits == 0) {
        return (int)position;
    }
    const uint word = bits[position >> 5], bit = position & 31u;
    if (!((word >> bit) & 1u)) {
        return -1;
    }
    return (int)(before[position >> 5] + (uint)__popc(word & ((1u << bit) - 1u)));
}

// The thread's place among all.
__device__ __forceinline__ uint thread_index() { return blockIdx.x * blockDim.x + threadIdx.x; }
