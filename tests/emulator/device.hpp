// What the words of a kernel mean on a processor. This text comes before the kernels' own.
//
// A block's threads are fibers of one thread of the system: runtime.cpp has them, and whatever needs more
// than one thread (barriers, multiplications by a warp). Nothing here includes a header of the system that
// brings names into the global room, because kernels have no such names to fear on a card either.
#pragma once
#include <utility>

#define EMULATED 1

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __align__(bytes) alignas(bytes)
// Blocks run one after another, and each emulator has loaded a copy of its own.
#define __shared__ static

#define EMULATOR_HIDDEN __attribute__((visibility("hidden")))

using size_t = decltype(sizeof 0);

namespace emulator {

struct Index {
    unsigned x, y, z;
};

// What a multiplier takes.
enum class Multiplier { tf32, f16, bf16 };

// Waits for the other threads of the block.
EMULATOR_HIDDEN void barrier(const char *file, unsigned line);
// Deposits a lane's part, waits for the warp, and has the lane's part of d.
EMULATOR_HIDDEN void multiply(Multiplier kind, float *d, const unsigned *a, const unsigned *b,
                              const char *file, unsigned line);
EMULATOR_HIDDEN unsigned to_tf32(float value);
EMULATOR_HIDDEN unsigned to_f16(float value);
EMULATOR_HIDDEN unsigned to_bf16(float value);

// What is known of a kernel: its name, its parameters, and a way to call it.
struct Entry {
    const char *name;
    // One letter a parameter: p pointer, w unsigned int, f float, s structure of ints.
    const char *kinds;
    // The bytes of each.
    const unsigned *sizes;
    // Takes the addresses of the arguments, as cuLaunchKernel does.
    void (*call)(void **arguments);
};

template <class T>
struct Kind {
    static_assert(std::is_class<T>::value && std::is_trivially_copyable<T>::value && alignof(T) == alignof(int),
                  "a kernel takes pointers, unsigned int, float, and structures of ints");
    static constexpr char letter = 's';
};
template <class T>
struct Kind<T *> {
    static constexpr char letter = 'p';
};
template <>
struct Kind<unsigned> {
    static constexpr char letter = 'w';
};
template <>
struct Kind<float> {
    static constexpr char letter = 'f';
};

template <class F>
struct Kernel;
template <class... A>
struct Kernel<void (*)(A...)> {
    static constexpr char kinds[] = {Kind<A>::letter..., 0};
    static constexpr unsigned sizes[] = {sizeof(A)..., 0};

    template <size_t... I>
    static inline void spread(void (*kernel)(A...), void **arguments, std::index_sequence<I...>) {
        kernel(*static_cast<std::remove_const_t<A> *>(arguments[I])...);
    }
    static inline void call(void (*kernel)(A...), void **arguments) {
        spread(kernel, arguments, std::index_sequence_for<A...>());
    }
};

} // namespace emulator

// A kernel in the table that the generated last lines of the unit make.
#define EMULATOR_ENTRY(kernel)                                                                     \
    {#kernel, emulator::Kernel<decltype(&kernel)>::kinds,                                          \
     emulator::Kernel<decltype(&kernel)>::sizes, [](void **emulator_arguments) {                   \
         emulator::Kernel<decltype(&kernel)>::call(&kernel, emulator_arguments);                   \
     }}

extern EMULATOR_HIDDEN emulator::Index threadIdx, blockIdx, blockDim, gridDim;

inline void __syncthreads(const char *file = __builtin_FILE(), unsigned line = __builtin_LINE()) {
    // Nothing of the memory that threads share is kept in registers over a barrier.
    asm volatile("" ::: "memory");
    emulator::barrier(file, line);
    asm volatile("" ::: "memory");
}

inline int __popc(unsigned value) { return __builtin_popcount(value); }

// One thread of the system runs all: what others see is never half done.
inline unsigned atomicAdd(unsigned *at, unsigned value) {
    unsigned old = *at;
    *at = old + value;
    return old;
}
inline int atomicAdd(int *at, int value) {
    int old = *at;
    *at = static_cast<int>(static_cast<unsigned>(old) + static_cast<unsigned>(value));
    return old;
}

inline unsigned __float_as_uint(float value) {
    unsigned bits;
    __builtin_memcpy(&bits, &value, sizeof bits);
    return bits;
}
inline float __uint_as_float(unsigned bits) {
    float value;
    __builtin_memcpy(&value, &bits, sizeof value);
    return value;
}

extern "C" {
float fmaf(float, float, float);
float expf(float);
float logf(float);
float sqrtf(float);
float fmaxf(float, float);
float fminf(float, float);
float fabsf(float);
float copysignf(float, float);
double fma(double, double, double);
double sqrt(double);
double exp(double);
double log(double);
}
inline float rsqrtf(float value) { return 1.0f / sqrtf(value); }

inline int min(int a, int b) { return b < a ? b : a; }
inline int max(int a, int b) { return a < b ? b : a; }
inline unsigned min(unsigned a, unsigned b) { return b < a ? b : a; }
inline unsigned max(unsigned a, unsigned b) { return a < b ? b : a; }
inline unsigned min(unsigned a, int b) { return min(a, static_cast<unsigned>(b)); }
inline unsigned max(unsigned a, int b) { return max(a, static_cast<unsigned>(b)); }
inline unsigned min(int a, unsigned b) { return min(static_cast<unsigned>(a), b); }
inline unsigned max(int a, unsigned b) { return max(static_cast<unsigned>(a), b); }
inline long long min(long long a, long long b) { return b < a ? b : a; }
inline long long max(long long a, long long b) { return a < b ? b : a; }
inline unsigned long long min(unsigned long long a, unsigned long long b) { return b < a ? b : a; }
inline unsigned long long max(unsigned long long a, unsigned long long b) { return a < b ? b : a; }

struct alignas(8) float2 {
    float x, y;
};
inline float2 make_float2(float x, float y) { return float2{x, y}; }

struct alignas(16) float4 {
    float x, y, z, w;
};
inline float4 make_float4(float x, float y, float z, float w) { return float4{x, y, z, w}; }

// Multiplications by a warp, d += a * b. runtime.cpp says who holds what.

inline void mma_tf32(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2],
                     const char *file = __builtin_FILE(), unsigned line = __builtin_LINE()) {
    emulator::multiply(emulator::Multiplier::tf32, d, a, b, file, line);
}
inline void mma_f16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2],
                    const char *file = __builtin_FILE(), unsigned line = __builtin_LINE()) {
    emulator::multiply(emulator::Multiplier::f16, d, a, b, file, line);
}
inline void mma_bf16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2],
                     const char *file = __builtin_FILE(), unsigned line = __builtin_LINE()) {
    emulator::multiply(emulator::Multiplier::bf16, d, a, b, file, line);
}
inline unsigned to_tf32(float value) { return emulator::to_tf32(value); }
inline unsigned pack_f16(float low, float high) {
    return emulator::to_f16(low) | emulator::to_f16(high) << 16;
}
inline unsigned pack_bf16(float low, float high) {
    return emulator::to_bf16(low) | emulator::to_bf16(high) << 16;
}
