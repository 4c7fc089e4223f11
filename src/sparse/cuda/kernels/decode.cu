// From the bytes of a model file to what other kernels read: masks to bits and ranks, values to f32.
//
// The processor has held the bytes against the rules of the format. These kernels hold them once more as
// they read, because memory that both can reach may change in between: whatever the bytes say, nothing
// outside `bits`, `before` and `to` is written, nothing outside the source is read, and each rule that is
// broken has a word that is set to 1, by whoever finds it. What was written then is not to be used.

#define GROUP 4096u
#define GROUP_WORDS 128u
#define TILE 256u
#define GROUP_TILES 16u

// As in decode.rs.
enum Rule { COUNTED = 0, ASCENDING, OUTSIDE, PADDED, FULL_TILE, FINITE, SCALED, SIGNED };

__device__ __forceinline__ void broken(uint *faults, int rule) { faults[rule] = 1u; }

// The running counts of group `group` of `groups` and of the one after it. They are read once for the whole
// block, into memory that the processor cannot reach.
__device__ __forceinline__ void read_counts(uint (&counts)[2], const uint *running, uint group, uint groups,
                                            uint existing) {
    if (threadIdx.x == 0) {
        counts[0] = running[group];
        counts[1] = group + 1u < groups ? running[group + 1u] : existing;
    }
}

// Whether a group in which `found` positions exist begins and ends where these counts say: from group to
// group, that makes each of them the number of positions before it.
__device__ __forceinline__ bool counted(const uint (&counts)[2], uint group, uint found, uint existing) {
    return counts[0] <= counts[1] && counts[1] <= existing && counts[1] - counts[0] == found &&
           (group != 0u || counts[0] == 0u);
}

// A running count a group, then one bit a position. One block a group, one thread a word of 32 positions.
extern "C" __global__ void __launch_bounds__(GROUP_WORDS)
    decode_bitmap(const uint *__restrict__ source, uint *__restrict__ bits, uint *__restrict__ before,
                  uint *faults, uint positions, uint existing) {
    __shared__ uint sums[GROUP_WORDS], counts[2];
    const uint group = blockIdx.x, groups = gridDim.x, lane = threadIdx.x;
    read_counts(counts, source, group, groups, existing);
    const uint at = group * GROUP_WORDS + lane;
    const bool inside = at < (positions + 31u) / 32u;
    uint word = 0;
    if (inside) {
        const uint left = positions - 32u * at;
        if (left > 24u) {
            word = source[groups + at];
        } else {
            // The last bytes are not a whole word.
            const unsigned char *bytes = (const unsigned char *)(source + groups + at);
            for (uint byte = 0; byte < (left + 7u) / 8u; byte++) {
                word |= (uint)bytes[byte] << (8u * byte);
            }
        }
        if (left < 32u && (word >> left) != 0u) {
            broken(faults, PADDED);
            word &= (1u << left) - 1u;
        }
    }
    const uint own = (uint)__popc(word);
    sums[lane] = own;
    __syncthreads();
    for (uint step = 1u; step < GROUP_WORDS; step *= 2u) {
        const uint other = lane >= step ? sums[lane - step] : 0u;
        __syncthreads();
        sums[lane] += other;
        __syncthreads();
    }
    const bool right = counted(counts, group, sums[GROUP_WORDS - 1u], existing);
    if (!right) {
        broken(faults, COUNTED);
    }
    if (inside) {
        // No position of a group whose count lies has a rank.
        bits[at] = right ? word : 0u;
        before[at] = right ? counts[0] + sums[lane] - own : 0u;
    }
}

// A running count a group; two bytes a group, in which a bit says that a tile of 256 is full; a byte a tile,
// how many of it exist; a byte each of those, ascending. One block a group.
extern "C" __global__ void __launch_bounds__(THREADS)
    decode_tiles(const unsigned char *__restrict__ source, uint *__restrict__ bits, uint *__restrict__ before,
                 uint *faults, uint positions, uint existing) {
    __shared__ uint counts[2], sizes[GROUP_TILES], starts[GROUP_TILES + 1];
    __shared__ unsigned char indices[GROUP];
    const uint group = blockIdx.x, groups = gridDim.x, thread = threadIdx.x;
    const uint tiles = (positions + TILE - 1u) / TILE, first = group * GROUP_TILES;
    const unsigned char *fulls = source + (size_t)4 * groups;
    const unsigned char *held = fulls + (size_t)2 * groups;
    const unsigned char *all = held + tiles;
    read_counts(counts, (const uint *)source, group, groups, existing);
    if (thread < GROUP_TILES) {
        const bool inside = first + thread < tiles;
        const bool full = (fulls[2u * group + thread / 8u] >> (thread % 8u)) & 1;
        const uint count = inside ? held[first + thread] : 0u;
        if (full && !inside) {
            broken(faults, PADDED);
        }
        if (full && count != 0u) {
            broken(faults, FULL_TILE);
        }
        sizes[thread] = full && inside ? TILE : count;
    }
    __syncthreads();
    if (thread == 0) {
        starts[0] = 0;
        for (uint tile = 0; tile < GROUP_TILES; tile++) {
            starts[tile + 1u] = starts[tile] + sizes[tile];
        }
    }
    __syncthreads();
    const uint total = starts[GROUP_TILES], at = group * GROUP_WORDS + thread;
    const bool writes = thread < GROUP_WORDS && at < (positions + 31u) / 32u;
    if (!counted(counts, group, total, existing)) {
        // Where its indices lie is not known: none is read.
        broken(faults, COUNTED);
        if (writes) {
            bits[at] = 0;
            before[at] = 0;
        }
        return;
    }
    const uint begin = counts[0];
    for (uint i = thread; i < total; i += THREADS) {
        indices[i] = all[(size_t)begin + i];
    }
    __syncthreads();
    const uint tile = thread / (THREADS / GROUP_TILES);
    for (uint i = starts[tile] + thread % (THREADS / GROUP_TILES); i < starts[tile + 1u];
         i += THREADS / GROUP_TILES) {
        if (i + 1u < starts[tile + 1u] && indices[i] >= indices[i + 1u]) {
            broken(faults, ASCENDING);
        }
        if ((first + tile) * TILE + indices[i] >= positions) {
            broken(faults, OUTSIDE);
        }
    }
    if (!writes) {
        return;
    }
    // The indices of a word lie side by side in those of its tile.
    const uint own = thread / 8u, low = thread % 8u * 32u, end = starts[own + 1u];
    uint from = starts[own], to = end;
    while (from < to) {
        const uint middle = (from + to) / 2u;
        if (indices[middle] < low) {
            from = middle + 1u;
        } else {
            to = middle;
        }
    }
    uint word = 0;
    for (uint i = from; i < end && indices[i] < low + 32u; i++) {
        word |= 1u << (indices[i] & 31u);
    }
    bits[at] = word;
    before[at] = begin + from;
}

// Exactly n of every m positions: an index of log2 m bits each, lowest bit first, without gaps. One thread a
// word; m divides 32.
extern "C" __global__ void __launch_bounds__(THREADS)
    decode_n_of_m(const unsigned char *__restrict__ source, uint *__restrict__ bits,
                  uint *__restrict__ before, uint *faults, uint positions, uint existing, uint n, uint m) {
    const uint at = thread_index(), words = (positions + 31u) / 32u;
    if (at >= words) {
        return;
    }
    const uint width = m == 2u ? 1u : m == 4u ? 2u : m == 8u ? 3u : 4u;
    const size_t length = ((size_t)existing * width + 7) / 8;
    const uint begin = at * (32u / m), end = min(begin + 32u / m, positions / m);
    uint word = 0;
    for (uint group = begin; group < end; group++) {
        uint last = 0;
        for (uint k = 0; k < n; k++) {
            const size_t bit = ((size_t)group * n + k) * width, byte = bit / 8;
            const uint low = source[byte], high = byte + 1 < length ? source[byte + 1] : 0u;
            const uint index = ((high << 8 | low) >> (uint)(bit % 8)) & (m - 1u);
            if (k > 0u && index <= last) {
                broken(faults, ASCENDING);
            }
            word |= 1u << ((group - begin) * m + index);
            last = index;
        }
    }
    bits[at] = word;
    before[at] = begin * n;
    const uint used = (uint)((size_t)existing * width % 8);
    if (at + 1u == words && used != 0u && (source[length - 1] >> used) != 0) {
        broken(faults, PADDED);
    }
}

// The bits of the f32 that a half is. A multiplication by 2^112 moves the exponent, and makes halves below
// 2^-14 right too.
__device__ __forceinline__ uint half_bits(uint half) {
    const uint size = half & 0x7fffu, sign = (half & 0x8000u) << 16;
    if (size >= 0x7c00u) {
        return sign | 0x7f800000u | size << 13;
    }
    return sign | __float_as_uint(__uint_as_float(size << 13) * __uint_as_float(0x77800000u));
}

// Values of four bytes (kind 0), halves (1) or upper halves of singles (2). One thread a value.
extern "C" __global__ void __launch_bounds__(THREADS)
    decode_reals(const void *__restrict__ source, uint *__restrict__ to, uint *faults, uint count, uint kind) {
    const uint at = thread_index();
    if (at >= count) {
        return;
    }
    uint value;
    if (kind == 0u) {
        value = ((const uint *)source)[at];
    } else {
        const uint half = ((const unsigned short *)source)[at];
        value = kind == 1u ? half_bits(half) : half << 16;
    }
    if ((value & 0x7f800000u) == 0x7f800000u) {
        broken(faults, FINITE);
    }
    to[at] = value;
}

// A scale a channel, then a signed byte a value that exists. One thread a word of 32 positions of the mask,
// which another kernel has just decoded: its ranks are held against the count.
extern "C" __global__ void __launch_bounds__(THREADS)
    decode_int8(const float *__restrict__ source, const uint *__restrict__ bits,
                const uint *__restrict__ before, float *__restrict__ to, uint *faults, uint positions,
                uint existing, uint channels) {
    const uint at = thread_index();
    for (uint channel = at; channel < channels; channel += gridDim.x * THREADS) {
        const uint scale = __float_as_uint(source[channel]);
        const uint largest = __float_as_uint(source[channel] * 127.0f);
        // Positive, normal, and 127 times it is finite.
        if (scale - 0x00800000u >= 0x7f000000u || largest >= 0x7f800000u) {
            broken(faults, SCALED);
        }
    }
    if (at >= (positions + 31u) / 32u) {
        return;
    }
    const signed char *values = (const signed char *)(source + channels);
    const uint left = positions - 32u * at, length = positions / channels;
    uint word = bits == 0 ? 0xffffffffu : bits[at];
    if (left < 32u) {
        word &= (1u << left) - 1u;
    }
    uint index = bits == 0 ? 32u * at : before[at];
    for (uint bit = 0; bit < 32u; bit++) {
        if (!((word >> bit) & 1u)) {
            continue;
        }
        if (index >= existing) {
            broken(faults, COUNTED);
            return;
        }
        if (values[index] == -128) {
            broken(faults, SIGNED);
        }
        to[index] = (float)values[index] * source[(32u * at + bit) / length];
        index++;
    }
}
