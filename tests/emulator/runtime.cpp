// Runs a grid of blocks on one thread of the system: each thread of a block is a fiber.
//
// A fiber runs threads one after another until one of them waits; then another fiber takes up the next
// thread. So a kernel without barriers costs no switches, and one with barriers a switch for each thread
// and barrier. Fibers begin by ucontext and switch by _setjmp and _longjmp, which make no system calls.
#include "device.hpp"

#include <csetjmp>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

emulator::Index threadIdx, blockIdx, blockDim, gridDim;

// Edges of the kernels' shared memory: compile.rs links them around it.
extern EMULATOR_HIDDEN char emulator_first[64], emulator_last[64];

namespace emulator {
namespace {

constexpr unsigned MOST = 256, LANES = 32, WARPS = MOST / LANES;
constexpr size_t STACK = 256 << 10;

struct Fiber {
    jmp_buf at;
    ucontext_t start;
    char *stack;
    bool begun;
    unsigned thread;
};

enum class Wait { nothing, barrier, warp, end };

struct Thread {
    Fiber *fiber;
    Wait waits;
    const char *file;
    unsigned line;
};

// What the lanes of a warp have deposited.
struct Warp {
    unsigned arrived;
    Multiplier kind;
    float *d[LANES];
    unsigned a[LANES][4], b[LANES][2];
};

Fiber fibers[MOST];
Fiber *idle[MOST];
unsigned idles;
// Fibers whose launch failed are somewhere within a kernel: they begin anew.
bool broken = true;

struct {
    void (*body)(void **);
    void **arguments;
    unsigned threads;
    bool backward;
    unsigned begun, ended;
    // A ring of threads that may go on, in the order in which they will.
    unsigned ready[MOST], first, readies;
    unsigned waiting[MOST], waitings;
    Thread thread[MOST];
    Warp warp[WARPS];
} block;

Fiber *current;
jmp_buf home;
char *message;
size_t room;
thread_local bool running;

// Ends the launch. The first words say where.
[[noreturn]] __attribute__((format(printf, 1, 2))) void fail(const char *format, ...) {
    int at = snprintf(message, room, "block (%u, %u, %u): ", blockIdx.x, blockIdx.y, blockIdx.z);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message + at, room - at, format, arguments);
    va_end(arguments);
    broken = true;
    _longjmp(home, 1);
}

[[noreturn]] void resume(Fiber *fiber) {
    current = fiber;
    threadIdx.x = fiber->thread;
    if (fiber->begun) _longjmp(fiber->at, 1);
    fiber->begun = true;
    setcontext(&fiber->start);
    __builtin_unreachable();
}

// The next thread that has not begun, on this fiber.
void take(Fiber *fiber) {
    fiber->thread = block.backward ? block.threads - 1 - block.begun : block.begun;
    block.begun++;
    block.thread[fiber->thread] = {fiber, Wait::nothing, "", 0};
}

const char *doing(const Thread &thread, char *text, size_t bytes) {
    if (thread.waits == Wait::end) return "has ended";
    snprintf(text, bytes, "waits at %s:%u", thread.file, thread.line);
    return text;
}

// Nobody can go on, and some have not ended: says who waits for whom.
[[noreturn]] void stuck() {
    unsigned who = 0;
    while (block.thread[who].waits == Wait::end) who++;
    const Thread &waits = block.thread[who];
    bool warp = waits.waits == Wait::warp;
    unsigned other = warp ? who / LANES * LANES : 0;
    while (other + 1 < block.threads && block.thread[other].waits == waits.waits) other++;
    char text[200];
    fail("thread %u waits at %s:%u for %s that thread %u never reaches, which %s", who, waits.file,
         waits.line, warp ? "its warp's multiplication" : "a barrier", other,
         doing(block.thread[other], text, sizeof text));
}

// Lets the next thread run, or ends the block.
[[noreturn]] void next() {
    if (block.readies) {
        unsigned thread = block.ready[block.first];
        block.first = (block.first + 1) % MOST;
        block.readies--;
        block.thread[thread].waits = Wait::nothing;
        resume(block.thread[thread].fiber);
    }
    if (block.begun < block.threads) {
        Fiber *fiber = idle[--idles];
        take(fiber);
        resume(fiber);
    }
    if (block.ended < block.threads) stuck();
    _longjmp(home, 1);
}

void make_ready(unsigned thread) {
    block.ready[(block.first + block.readies++) % MOST] = thread;
}

__attribute__((noinline)) void park() {
    if (_setjmp(current->at) == 0) next();
}

// A fiber's life: thread after thread.
void live() {
    for (;;) {
        block.body(block.arguments);
        block.thread[current->thread].waits = Wait::end;
        block.ended++;
        if (!block.readies && block.begun < block.threads) {
            take(current);
            threadIdx.x = current->thread;
            continue;
        }
        idle[idles++] = current;
        park();
    }
}

// Makes every fiber idle, at its beginning.
bool begin_fibers() {
    size_t page = sysconf(_SC_PAGESIZE);
    for (unsigned i = 0; i < MOST; i++) {
        Fiber &fiber = fibers[i];
        if (!fiber.stack) {
            void *stack = mmap(nullptr, STACK + page, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
            if (stack == MAP_FAILED) return false;
            // What runs over the end of a stack is found out.
            mprotect(stack, page, PROT_NONE);
            fiber.stack = static_cast<char *>(stack) + page;
        }
        getcontext(&fiber.start);
        fiber.start.uc_stack.ss_sp = fiber.stack;
        fiber.start.uc_stack.ss_size = STACK;
        fiber.start.uc_link = nullptr;
        makecontext(&fiber.start, live, 0);
        fiber.begun = false;
        idle[i] = &fiber;
    }
    idles = MOST;
    broken = false;
    return true;
}

// What a bad instruction within a kernel raises, and what was done with it before.
constexpr int SIGNALS[] = {SIGSEGV, SIGBUS, SIGFPE};
struct sigaction before[3];

// Within a kernel it ends the launch; anywhere else it is whose it was before.
void bad_instruction(int signal, siginfo_t *what, void *context) {
    if (running && signal == SIGFPE) fail("thread %u: an integer is divided by 0", current->thread);
    if (running) fail("thread %u: illegal address %p", current->thread, what->si_addr);
    struct sigaction &old = before[signal == SIGSEGV ? 0 : signal == SIGBUS ? 1 : 2];
    if (old.sa_flags & SA_SIGINFO) {
        old.sa_sigaction(signal, what, context);
    } else if (old.sa_handler == SIG_DFL || old.sa_handler == SIG_IGN) {
        sigaction(signal, &old, nullptr);
    } else {
        old.sa_handler(signal);
    }
}

void watch_signals() {
    static bool watching = false;
    if (watching) return;
    watching = true;
    struct sigaction ours;
    memset(&ours, 0, sizeof ours);
    ours.sa_sigaction = bad_instruction;
    ours.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK;
    for (int i = 0; i < 3; i++) sigaction(SIGNALS[i], &ours, &before[i]);
}

// Whether a block may have left something in shared memory: one that waited for nothing has no use for it.
bool shared = true;

// Makes all shared memory NaN, in every format, and an index that no array has: what a block reads there
// it has to write before.
void forget_shared() {
    if (!shared) return;
    shared = false;
    char *end = emulator_last;
    unsigned pattern = 0xffe5ffe5;
    for (char *at = emulator_first + sizeof emulator_first; at + 4 <= end; at += 4) memcpy(at, &pattern, 4);
}

// Returns whether the block ended well.
__attribute__((noinline)) bool run_block() {
    block.begun = block.ended = block.first = block.readies = block.waitings = 0;
    for (Warp &warp : block.warp) warp.arrived = 0;
    forget_shared();
    if (_setjmp(home) == 0) next();
    return !broken;
}

} // namespace

void barrier(const char *file, unsigned line) {
    shared = true;
    Thread &thread = block.thread[current->thread];
    thread.waits = Wait::barrier;
    thread.file = file;
    thread.line = line;
    block.waiting[block.waitings++] = current->thread;
    if (block.waitings == block.threads) {
        block.waitings = 0;
        for (unsigned i = 0; i < block.threads; i++) {
            const Thread &other = block.thread[block.waiting[i]];
            if (other.line != line || strcmp(other.file, file) != 0)
                fail("thread %u waits at a barrier at %s:%u, and thread %u at another at %s:%u",
                     current->thread, file, line, block.waiting[i], other.file, other.line);
            make_ready(block.waiting[i]);
        }
    }
    park();
}

unsigned to_tf32(float value) {
    unsigned bits = __float_as_uint(value);
    if ((bits & 0x7fffffff) > 0x7f800000) return 0x7fffffff;
    // To nearest, ties away from zero: of the magnitude, which a carry leaves in order.
    return (bits + 0x1000) & 0xffffe000;
}

unsigned to_f16(float value) {
    unsigned bits = __float_as_uint(value), sign = bits >> 16 & 0x8000, size = bits & 0x7fffffff;
    if (size > 0x7f800000) return 0x7fff;
    // From 2^16 on; what is a little less and rounds to it carries into infinity below.
    if (size >= 0x47800000) return sign | 0x7c00;
    // Below 2^-14 a half counts in steps of 2^-24.
    if (size < 0x38800000) return sign | static_cast<unsigned>(__builtin_nearbyintf(fabsf(value) * 0x1p24f));
    return sign | (size + 0xfff + (size >> 13 & 1) - 0x38000000) >> 13;
}

unsigned to_bf16(float value) {
    unsigned bits = __float_as_uint(value);
    if ((bits & 0x7fffffff) > 0x7f800000) return 0x7fff;
    return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

namespace {

inline float from_f16(unsigned half) {
    unsigned size = half & 0x7fff, sign = half << 16 & 0x80000000;
    // The multiplication moves the exponent, and makes small numbers right too.
    float value = __uint_as_float(size << 13) * 0x1p112f;
    if (size >= 0x7c00) value = __uint_as_float(0x7f800000 | size << 13);
    return __uint_as_float(__float_as_uint(value) | sign);
}

template <Multiplier KIND>
inline float part(unsigned word, unsigned half) {
    if (KIND == Multiplier::tf32) return __uint_as_float(word & 0xffffe000);
    unsigned bits = half ? word >> 16 : word & 0xffff;
    return KIND == Multiplier::f16 ? from_f16(bits) : __uint_as_float(bits << 16);
}

// d += a * b for a warp, a of 16 rows and b of 8 columns, over k of 8 (tf32) or 16 (f16, bf16).
//
// Who holds what, after "Matrix Fragments for mma.m16n8k8" and "mma.m16n8k16" of the PTX ISA, with
// g = lane / 4 and t = lane % 4; a register of halves holds the lower k in its low half:
//
//   register | tf32, (row, k)  | f16 and bf16, (row, k of low half, k of high half)
//   a[0]     | (g,     t)      | (g,     2t,     2t + 1)
//   a[1]     | (g + 8, t)      | (g + 8, 2t,     2t + 1)
//   a[2]     | (g,     t + 4)  | (g,     2t + 8, 2t + 9)
//   a[3]     | (g + 8, t + 4)  | (g + 8, 2t + 8, 2t + 9)
//            | tf32, (k, column) | f16 and bf16, (k of low half, k of high half, column)
//   b[0]     | (t,     g)        | (2t,     2t + 1, g)
//   b[1]     | (t + 4, g)        | (2t + 8, 2t + 9, g)
//            | all, (row, column)
//   d[0]     | (g,     2t)
//   d[1]     | (g,     2t + 1)
//   d[2]     | (g + 8, 2t)
//   d[3]     | (g + 8, 2t + 1)
//
// Products are exact in double, sums go in the order of k from d on, and one rounding ends them. A card
// rounds sums its own way: results are compared within a tolerance, never by their bits.
template <Multiplier KIND>
void multiply_warp(Warp &warp) {
    constexpr unsigned halves = KIND == Multiplier::tf32 ? 1 : 2, depth = 8 * halves;
    double a[16][16], b[16][8], d[16][8];
    for (unsigned lane = 0; lane < LANES; lane++) {
        unsigned g = lane / 4, t = lane % 4;
        for (unsigned half = 0; half < halves; half++) {
            unsigned k = t * halves + half, upper = k + 4 * halves;
            a[g][k] = part<KIND>(warp.a[lane][0], half);
            a[g + 8][k] = part<KIND>(warp.a[lane][1], half);
            a[g][upper] = part<KIND>(warp.a[lane][2], half);
            a[g + 8][upper] = part<KIND>(warp.a[lane][3], half);
            b[k][g] = part<KIND>(warp.b[lane][0], half);
            b[upper][g] = part<KIND>(warp.b[lane][1], half);
        }
        for (unsigned i = 0; i < 4; i++) d[g + i / 2 * 8][2 * t + i % 2] = warp.d[lane][i];
    }
    for (unsigned row = 0; row < 16; row++)
        for (unsigned k = 0; k < depth; k++)
            for (unsigned column = 0; column < 8; column++) d[row][column] += a[row][k] * b[k][column];
    for (unsigned lane = 0; lane < LANES; lane++) {
        unsigned g = lane / 4, t = lane % 4;
        for (unsigned i = 0; i < 4; i++)
            warp.d[lane][i] = static_cast<float>(d[g + i / 2 * 8][2 * t + i % 2]);
    }
}

} // namespace

void multiply(Multiplier kind, float *d, const unsigned *a, const unsigned *b, const char *file,
              unsigned line) {
    unsigned id = current->thread, lane = id % LANES, first = id - lane;
    if (first + LANES > block.threads)
        fail("thread %u multiplies at %s:%u in a warp of %u threads", id, file, line,
             block.threads - first);
    Thread &thread = block.thread[id];
    thread.waits = Wait::warp;
    thread.file = file;
    thread.line = line;
    Warp &warp = block.warp[id / LANES];
    if (warp.arrived++ == 0) warp.kind = kind;
    warp.d[lane] = d;
    memcpy(warp.a[lane], a, sizeof warp.a[lane]);
    memcpy(warp.b[lane], b, sizeof warp.b[lane]);
    if (warp.arrived == LANES) {
        warp.arrived = 0;
        // The last to come computes for all: their d lie on stacks that stay where they are.
        for (unsigned i = 0; i < LANES; i++) {
            unsigned at = first + (block.backward ? LANES - 1 - i : i);
            const Thread &other = block.thread[at];
            if (warp.kind != kind || other.line != line || strcmp(other.file, file) != 0)
                fail("thread %u multiplies at %s:%u, and thread %u of its warp at %s:%u", id, file,
                     line, at, other.file, other.line);
            make_ready(at);
        }
        if (kind == Multiplier::tf32) multiply_warp<Multiplier::tf32>(warp);
        if (kind == Multiplier::f16) multiply_warp<Multiplier::f16>(warp);
        if (kind == Multiplier::bf16) multiply_warp<Multiplier::bf16>(warp);
    }
    park();
}

} // namespace emulator

using namespace emulator;

// The compiler's checks of indices and alignment call these, whose first argument begins with a place.
struct Place {
    const char *file;
    unsigned line, column;
};
extern "C" void __ubsan_handle_out_of_bounds(void *data, unsigned long index) {
    const Place *place = static_cast<const Place *>(data);
    fail("thread %u: at %s:%u the index %ld is outside its array", current->thread, place->file,
         place->line, static_cast<long>(index));
}
// What Clang cannot give a place.
extern "C" void __ubsan_handle_local_out_of_bounds() {
    fail("thread %u: an index is outside its array", current->thread);
}
extern "C" void __ubsan_handle_type_mismatch_v1(void *data, unsigned long address) {
    const Place *place = static_cast<const Place *>(data);
    fail("thread %u: at %s:%u the address 0x%lx is not aligned", current->thread, place->file,
         place->line, address);
}

#define EXPORTED extern "C" __attribute__((visibility("default")))

// Runs a grid. Returns 0, or 1 and what went wrong as words that end in 0.
EXPORTED int emulator_run(const Entry *entry, void **arguments, const unsigned *blocks,
                          unsigned threads, int backward, char *words, size_t bytes) {
    message = words;
    room = bytes;
    watch_signals();
    if (broken && !begin_fibers()) {
        snprintf(words, bytes, "no memory for fibers");
        return 1;
    }
    block.body = entry->call;
    block.arguments = arguments;
    block.threads = threads;
    block.backward = backward;
    blockDim = {threads, 1, 1};
    gridDim = {blocks[0], blocks[1], blocks[2]};
    threadIdx = {0, 0, 0};
    unsigned long long all = 1ull * blocks[0] * blocks[1] * blocks[2];
    running = true;
    bool well = true;
    for (unsigned long long i = 0; well && i < all; i++) {
        unsigned long long at = backward ? all - 1 - i : i;
        blockIdx.x = at % blocks[0];
        blockIdx.y = at / blocks[0] % blocks[1];
        blockIdx.z = at / blocks[0] / blocks[1];
        well = run_block();
    }
    running = false;
    return well ? 0 : 1;
}

// Whole pages of zeros for `bytes` bytes, between two pages that nobody may touch. Null if there are none.
EXPORTED void *emulator_map(size_t bytes) {
    size_t page = sysconf(_SC_PAGESIZE);
    void *map = mmap(nullptr, bytes + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED) return nullptr;
    char *inner = static_cast<char *>(map) + page;
    if (mprotect(inner, bytes, PROT_READ | PROT_WRITE) == 0) return inner;
    munmap(map, bytes + 2 * page);
    return nullptr;
}
EXPORTED void emulator_unmap(void *inner, size_t bytes) {
    size_t page = sysconf(_SC_PAGESIZE);
    munmap(static_cast<char *>(inner) - page, bytes + 2 * page);
}
EXPORTED size_t emulator_page() { return sysconf(_SC_PAGESIZE); }

// Gives the stacks back. Nothing runs afterwards.
EXPORTED void emulator_close() {
    size_t page = sysconf(_SC_PAGESIZE);
    for (Fiber &fiber : fibers) {
        if (fiber.stack) munmap(fiber.stack - page, STACK + page);
        fiber.stack = nullptr;
    }
    broken = true;
}
