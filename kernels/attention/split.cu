// split: one query on many keys, as decoding has it: keys split over blocks, then merged.
//
// Idea: flash-decoding (Dao, Haziza, Massa & Sizov 2023). A block takes a share of the keys for ROWS heads that read
// the same ones, so K and V come in once for all of them. A key's numbers are LANES vectors of 16 bytes; a warp has
// several teams of LANES lanes, each with a running maximum of its own, so that only products are summed up over
// lanes. Teams meet in shared memory, shares in the workspace: results, maxima and sums, which `merge` weighs.
//
// Bound: HBM, K and V read once.
//
// Run: smith bench attention --problem heads=32,kv_heads=8,queries=1,keys=4096,head=128,dtype=f16 --candidate split
#include "attention.cuh"

constexpr int PER_VECTOR = 16 / (int)sizeof(T);
constexpr int LANES = HEAD / PER_VECTOR;
constexpr int TEAMS = 32 / LANES;      // of a warp
constexpr int ALL = WARPS * TEAMS;     // of a block
constexpr int RECORD = HEAD + 2;       // numbers of a share: results, maximum, sum
static_assert(LANES * PER_VECTOR == HEAD && TEAMS * LANES == 32, "teams fill a warp");

__device__ __forceinline__ Vector<PER_VECTOR> load_vector(const T* p) {
    Vector<PER_VECTOR> x;
    load_cached<16>(x.word, p);
    return x;
}

extern "C" __global__ void __launch_bounds__(WARPS * 32, 1)
    attention(Heads<const T> q, Heads<const T> k, Heads<const T> v, Heads<T> out, int heads, int group, int keys,
              float scale, float* workspace) {
    __shared__ float results[ALL][ROWS][HEAD];
    __shared__ float maxima[ALL][ROWS], sums[ALL][ROWS];
    const int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32;
    const int within = lane / LANES, team = warp * TEAMS + within, part = lane % LANES * PER_VECTOR;
    const int split = (int)blockIdx.x % SPLITS, place = (int)blockIdx.x / SPLITS;
    const int head0 = place % (heads / ROWS) * ROWS, batch = place / (heads / ROWS);
    const int share = ceil_div(keys, SPLITS), begin = smaller(split * share, keys), end = smaller(begin + share, keys);
    const T* from_k = k.at(batch, head0 / group, 0) + part;
    const T* from_v = v.at(batch, head0 / group, 0) + part;

    float x[ROWS][PER_VECTOR], result[ROWS][PER_VECTOR], largest[ROWS], sum[ROWS];
#pragma unroll
    for (int r = 0; r < ROWS; ++r) {
        const Vector<PER_VECTOR> numbers = load_vector(q.at(batch, head0 + r, 0) + part);
#pragma unroll
        for (int i = 0; i < PER_VECTOR; ++i) {
            x[r][i] = numbers.get(i);
            result[r][i] = 0.0f;
        }
        largest[r] = minus_infinity();
        sum[r] = 0.0f;
    }

    // The teams of a warp go together, since they sum up over lanes together.
#pragma unroll 1
    for (int first = begin + warp * TEAMS; first < end; first += ALL * UNROLL) {
        Vector<PER_VECTOR> of_k[UNROLL], of_v[UNROLL];
#pragma unroll
        for (int u = 0; u < UNROLL; ++u) {
            const long long key = smaller(first + within + u * ALL, end - 1);
            of_k[u] = load_vector(from_k + key * k.row_stride);
            of_v[u] = load_vector(from_v + key * v.row_stride);
        }
#pragma unroll
        for (int r = 0; r < ROWS; ++r) {
            float score[UNROLL], best = largest[r];
#pragma unroll
            for (int u = 0; u < UNROLL; ++u) {
                score[u] = 0.0f;
#pragma unroll
                for (int i = 0; i < PER_VECTOR; ++i) score[u] = fmaf(x[r][i], of_k[u].get(i), score[u]);
#pragma unroll
                for (int step = LANES / 2; step > 0; step /= 2) {
                    score[u] += __shfl_xor_sync(0xffffffffu, score[u], step);
                }
                score[u] = first + within + u * ALL < end ? score[u] * scale : minus_infinity();
                best = fmaxf(best, score[u]);
            }
            const float base = base_of(best), decay = expf(largest[r] - base);
            largest[r] = best;
            sum[r] *= decay;
#pragma unroll
            for (int i = 0; i < PER_VECTOR; ++i) result[r][i] *= decay;
#pragma unroll
            for (int u = 0; u < UNROLL; ++u) {
                if (first + within + u * ALL >= end) break;
                const float weight = expf(score[u] - base);
                sum[r] += weight;
#pragma unroll
                for (int i = 0; i < PER_VECTOR; ++i) result[r][i] = fmaf(weight, of_v[u].get(i), result[r][i]);
            }
        }
    }

#pragma unroll
    for (int r = 0; r < ROWS; ++r) {
#pragma unroll
        for (int i = 0; i < PER_VECTOR; ++i) results[team][r][part + i] = result[r][i];
        maxima[team][r] = largest[r];
        sums[team][r] = sum[r];
    }
    __syncthreads();
#pragma unroll 1
    for (int at = threadIdx.x; at < ROWS * HEAD; at += WARPS * 32) {
        const int r = at / HEAD, d = at % HEAD;
        float best = minus_infinity(), total = 0.0f, y = 0.0f;
#pragma unroll 1
        for (int t = 0; t < ALL; ++t) best = fmaxf(best, maxima[t][r]);
        const float base = base_of(best);
#pragma unroll 1
        for (int t = 0; t < ALL; ++t) {
            const float factor = expf(maxima[t][r] - base);
            total = fmaf(sums[t][r], factor, total);
            y = fmaf(results[t][r][d], factor, y);
        }
        if (SPLITS == 1) {
            out.at(batch, head0 + r, 0)[d] = from_acc(y / total);
            continue;
        }
        float* record = workspace + (((long long)batch * heads + head0 + r) * SPLITS + split) * RECORD;
        record[d] = y;
        if (d == 0) {
            record[HEAD] = best;
            record[HEAD + 1] = total;
        }
    }
}

extern "C" __global__ void __launch_bounds__(128) merge(Heads<T> out, int heads, const float* workspace) {
    const int head = (int)blockIdx.x % heads, batch = (int)blockIdx.x / heads;
    const float* records = workspace + (long long)blockIdx.x * SPLITS * RECORD;
    float best = minus_infinity();
#pragma unroll 1
    for (int s = 0; s < SPLITS; ++s) best = fmaxf(best, records[s * RECORD + HEAD]);
    const float base = base_of(best);
    float total = 0.0f;
#pragma unroll 1
    for (int s = 0; s < SPLITS; ++s) {
        total = fmaf(records[s * RECORD + HEAD + 1], expf(records[s * RECORD + HEAD] - base), total);
    }
#pragma unroll 1
    for (int d = threadIdx.x; d < HEAD; d += 128) {
        float y = 0.0f;
#pragma unroll 1
        for (int s = 0; s < SPLITS; ++s) y = fmaf(records[s * RECORD + d], expf(records[s * RECORD + HEAD] - base), y);
        out.at(batch, head, 0)[d] = from_acc(y / total);
    }
}
