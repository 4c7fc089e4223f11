// Attention among the places of a plane, or of windows of it. A place is a token; channels of the input are
// queries, keys and values, and heads share each of them in runs of `depth`.
//
// Scores of a run of windows lie in a scratch, [window][head][token][token], and every pass over them is a
// launch: products, a softmax, sums over tokens. The backward pass makes them again. Blocks of products are
// 64 rows by 16 * WIDE columns, each thread's four rows and WIDE columns 16 apart; sums run along their
// index in order.

struct Attention {
    // Windows from `first` on, counted over all samples.
    int first;
    int heads, depth;
    int height, width;
    // Of a window; how far windows are moved round the edge; windows of a row, and of a sample.
    int side_y, side_x, shift, across, windows;
    int tokens;
};

// One head of one window.
struct Unit {
    int head, sample, top, left;
};

__device__ __forceinline__ Unit unit_of(const Attention &p, int unit) {
    Unit to;
    to.head = unit % p.heads;
    const int window = p.first + unit / p.heads, within = window % p.windows;
    to.sample = window / p.windows;
    to.top = within / p.across * p.side_y;
    to.left = within % p.across * p.side_x;
    return to;
}

// The row of the matrix [rows][channels] that holds a token.
__device__ __forceinline__ size_t row_of(const Attention &p, const Unit &unit, int token) {
    int y = token / p.side_x, x = token - y * p.side_x;
    y += unit.top + p.shift;
    x += unit.left + p.shift;
    y -= y >= p.height ? p.height : 0;
    x -= x >= p.width ? p.width : 0;
    return ((size_t)unit.sample * p.height + y) * p.width + x;
}

// Before the last row of windows, in it, and what came round the edge.
__device__ __forceinline__ int region(int at, int size, int side, int shift) {
    return shift == 0 || at < size - side ? 0 : at < size - shift ? 1 : 2;
}

__device__ __forceinline__ int region_of(const Attention &p, const Unit &unit, int token) {
    const int y = unit.top + token / p.side_x, x = unit.left + token % p.side_x;
    return 3 * region(y, p.height, p.side_y, p.shift) + region(x, p.width, p.side_x, p.shift);
}

// How far a query is below a key and right of it, row-major.
__device__ __forceinline__ int relation_of(const Attention &p, int query, int key) {
    const int down = query / p.side_x + p.side_y - 1 - key / p.side_x;
    const int right = query % p.side_x + p.side_x - 1 - key % p.side_x;
    return down * (2 * p.side_x - 1) + right;
}

// A head's channels of the tokens of a window: (token, channel).
struct TokenRows {
    const float *from;
    uint channels;
    uint start;
};

__device__ __forceinline__ float token_value(const TokenRows &rows, const Attention &p, const Unit &unit,
                                             int token, int channel) {
    if (token >= p.tokens || channel >= p.depth) {
        return 0.0f;
    }
    return rows.from[row_of(p, unit, token) * rows.channels + rows.start + (uint)(unit.head * p.depth + channel)];
}

constexpr int STEP = 16;  // factors of a step

// sums[i][j] += the products of a step's 16 factors.
template <int WIDE>
__device__ __forceinline__ void step_products(const float (&a)[STEP][65], const float (&b)[STEP][16 * WIDE + 1],
                                              float (&sums)[4][WIDE]) {
    const int down = (int)(threadIdx.x / 16u), right = (int)(threadIdx.x % 16u);
#pragma unroll
    for (int k = 0; k < STEP; k++) {
        float left[4], other[WIDE];
#pragma unroll
        for (int i = 0; i < 4; i++) {
            left[i] = a[k][down + 16 * i];
        }
#pragma unroll
        for (int j = 0; j < WIDE; j++) {
            other[j] = b[k][right + 16 * j];
        }
#pragma unroll
        for (int i = 0; i < 4; i++) {
#pragma unroll
            for (int j = 0; j < WIDE; j++) {
                sums[i][j] = fmaf(left[i], other[j], sums[i][j]);
            }
        }
    }
}

// scores[unit][t][u] = scale * (a of t . b of u), with the bias of their relation where there is one; where
// `masked`, minus infinity for tokens of different regions. Blocks are (unit, 64 t, 64 u).
extern "C" __global__ void __launch_bounds__(THREADS)
    attention_scores(const float *__restrict__ a, uint a_channels, uint a_start, const float *__restrict__ b,
                     uint b_channels, uint b_start, const float *__restrict__ bias,
                     float *__restrict__ scores, float scale, uint masked, Attention p) {
    __shared__ float rows[STEP][65];
    __shared__ float columns[STEP][65];
    const Unit unit = unit_of(p, (int)blockIdx.x);
    const TokenRows left = {a, a_channels, a_start}, right = {b, b_channels, b_start};
    const int first_t = (int)blockIdx.y * 64, first_u = (int)blockIdx.z * 64;
    float sums[4][4] = {};
    for (int start = 0; start < p.depth; start += STEP) {
        for (int i = 0; i < 4; i++) {
            const int k = (int)(threadIdx.x % 16u), row = (int)(threadIdx.x / 16u) + 16 * i;
            rows[k][row] = token_value(left, p, unit, first_t + row, start + k);
            columns[k][row] = token_value(right, p, unit, first_u + row, start + k);
        }
        __syncthreads();
        step_products<4>(rows, columns, sums);
        __syncthreads();
    }
    const int relations = (2 * p.side_y - 1) * (2 * p.side_x - 1);
    for (int i = 0; i < 4; i++) {
        for (int j = 0; j < 4; j++) {
            const int t = first_t + (int)(threadIdx.x / 16u) + 16 * i;
            const int u = first_u + (int)(threadIdx.x % 16u) + 16 * j;
            if (t >= p.tokens || u >= p.tokens) {
                continue;
            }
            float score = sums[i][j] * scale;
            if (bias != 0) {
                score += bias[unit.head * relations + relation_of(p, t, u)];
            }
            if (masked != 0u && region_of(p, unit, t) != region_of(p, unit, u)) {
                score = -__uint_as_float(0x7f800000u);
            }
            scores[((size_t)blockIdx.x * p.tokens + t) * p.tokens + u] = score;
        }
    }
}

// The softmax of each row of a matrix [rows][tokens], in place. A block takes eight rows.
extern "C" __global__ void __launch_bounds__(THREADS)
    attention_softmax(float *__restrict__ scores, uint rows, uint tokens) {
    __shared__ float shared[8][32];
    const uint lane = threadIdx.x % 32u, line = threadIdx.x / 32u, row = blockIdx.x * 8u + line;
    float *own = scores + (size_t)row * tokens;
    const uint end = row < rows ? tokens : 0u;
    float most = -__uint_as_float(0x7f800000u);
    for (uint u = lane; u < end; u += 32u) {
        most = fmaxf(most, own[u]);
    }
    shared[line][lane] = most;
    __syncthreads();
    for (uint other = 0; other < 32u; other++) {
        most = fmaxf(most, shared[line][other]);
    }
    float total = 0.0f;
    for (uint u = lane; u < end; u += 32u) {
        const float value = expf(own[u] - most);
        own[u] = value;
        total += value;
    }
    const float share = 1.0f / line_sum(shared, total);
    for (uint u = lane; u < end; u += 32u) {
        own[u] *= share;
    }
}

// From the gradients of probabilities those of scores, in place: ds = p * (dp - the sum of p * dp).
extern "C" __global__ void __launch_bounds__(THREADS)
    attention_descend(const float *__restrict__ p, float *__restrict__ slopes, uint rows, uint tokens) {
    __shared__ float shared[8][32];
    const uint lane = threadIdx.x % 32u, row = blockIdx.x * 8u + threadIdx.x / 32u;
    const uint end = row < rows ? tokens : 0u;
    const size_t start = (size_t)row * tokens;
    float along = 0.0f;
    for (uint u = lane; u < end; u += 32u) {
        along = fmaf(p[start + u], slopes[start + u], along);
    }
    along = line_sum(shared, along);
    for (uint u = lane; u < end; u += 32u) {
        slopes[start + u] = p[start + u] * (slopes[start + u] - along);
    }
}

// to[t] = scale * the sum over u of weights[unit][t][u] (or [u][t], `across`) times from[u], added where
// `accumulate`. Blocks are (unit, 64 t, 32 channels).
extern "C" __global__ void __launch_bounds__(THREADS)
    attention_sums(const float *__restrict__ weights, const float *__restrict__ from, uint from_channels,
                   uint from_start, float *__restrict__ to, uint to_channels, uint to_start, float scale,
                   uint across, uint accumulate, Attention p) {
    __shared__ float rows[STEP][65];
    __shared__ float columns[STEP][33];
    const Unit unit = unit_of(p, (int)blockIdx.x);
    const TokenRows right = {from, from_channels, from_start};
    const float *own = weights + (size_t)blockIdx.x * p.tokens * p.tokens;
    const int first_t = (int)blockIdx.y * 64, first_channel = (int)blockIdx.z * 32;
    float sums[4][2] = {};
    for (int start = 0; start < p.tokens; start += STEP) {
        for (int i = 0; i < 4; i++) {
            // Neighbours read neighbours, whichever way the weights lie.
            const int at = (int)threadIdx.x + THREADS * i;
            const int k = across != 0u ? at / 64 : at % STEP, row = across != 0u ? at % 64 : at / STEP;
            const int t = first_t + row, u = start + k;
            const bool within = t < p.tokens && u < p.tokens;
            const size_t place = across != 0u ? (size_t)u * p.tokens + t : (size_t)t * p.tokens + u;
            rows[k][row] = within ? own[place] : 0.0f;
        }
        for (int i = 0; i < 2; i++) {
            const int at = (int)threadIdx.x + THREADS * i;
            columns[at / 32][at % 32] = token_value(right, p, unit, start + at / 32, first_channel + at % 32);
        }
        __syncthreads();
        step_products<2>(rows, columns, sums);
        __syncthreads();
    }
    for (int i = 0; i < 4; i++) {
        for (int j = 0; j < 2; j++) {
            const int t = first_t + (int)(threadIdx.x / 16u) + 16 * i;
            const int channel = first_channel + (int)(threadIdx.x % 16u) + 16 * j;
            if (t >= p.tokens || channel >= p.depth) {
                continue;
            }
            const size_t at =
                row_of(p, unit, t) * to_channels + to_start + (uint)(unit.head * p.depth + channel);
            const float value = sums[i][j] * scale;
            to[at] = accumulate != 0u ? to[at] + value : value;
        }
    }
}

// Part blockIdx.y of the sums of score gradients by relation: partials[part][heads][relations], over
// `per_part` windows of `count`, windows and queries in order.
extern "C" __global__ void __launch_bounds__(THREADS)
    attention_bias_sums(const float *__restrict__ slopes, float *__restrict__ partials, uint count,
                        uint per_part, Attention p) {
    const int columns = 2 * p.side_x - 1, relations = (2 * p.side_y - 1) * columns;
    const int at = (int)thread_index();
    if (at >= p.heads * relations) {
        return;
    }
    const int head = at / relations, relation = at % relations;
    // Of the key, seen from the query.
    const int down = p.side_y - 1 - relation / columns, right = p.side_x - 1 - relation % columns;
    const uint start = blockIdx.y * per_part, end = min(start + per_part, count);
    float sum = 0.0f;
    for (uint window = start; window < end; window++) {
        const float *own = slopes + ((size_t)window * p.heads + head) * p.tokens * p.tokens;
        for (int y = max(0, -down); y < min(p.side_y, p.side_y - down); y++) {
            for (int x = max(0, -right); x < min(p.side_x, p.side_x - right); x++) {
                const int query = y * p.side_x + x, key = (y + down) * p.side_x + x + right;
                sum += own[(size_t)query * p.tokens + key];
            }
        }
    }
    partials[(size_t)blockIdx.y * p.heads * relations + at] = sum;
}
