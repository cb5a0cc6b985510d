// general: a block takes a query, its warps share the keys; any dtype, any strides.
//
// Idea: the definition with a running maximum (Milakov & Gimelshein 2018). A lane holds every 32nd number of the
// query and of the result. A warp takes KEYS keys at a time: products, sums over the lanes, exponentials, and what
// was summed up so far scaled by exp(old maximum - new maximum). At the end warps meet in shared memory.
//
// Bound: the latency of the sums over lanes; K and V come from L2 once a query.
//
// Run: smith bench attention --problem heads=32,kv_heads=8,queries=1,keys=4096,head=128,dtype=f16 --candidate general
#include "attention.cuh"

constexpr int EACH = (HEAD + 31) / 32;  // numbers of a lane

// Whether a lane's i-th number is one of the head's.
__device__ __forceinline__ bool holds(int lane, int i) { return HEAD % 32 == 0 || lane + 32 * i < HEAD; }

extern "C" __global__ void __launch_bounds__(WARPS * 32)
    attention(Heads<const T> q, Heads<const T> k, Heads<const T> v, Heads<T> out, int batches, int heads, int group,
              int queries, int keys, float scale) {
    __shared__ float results[WARPS][EACH * 32];
    __shared__ float maxima[WARPS], sums[WARPS];
    const int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32;
    const long long rows = (long long)batches * heads * queries;
#pragma unroll 1
    for (long long row = blockIdx.x; row < rows; row += gridDim.x) {
        const int query = (int)(row % queries), head = (int)(row / queries % heads);
        const long long batch = row / queries / heads;
        const int seen = visible(query, queries, keys);
        const T* from_q = q.at(batch, head, query);
        const T* from_k = k.at(batch, head / group, 0);
        const T* from_v = v.at(batch, head / group, 0);

        float x[EACH], result[EACH];
#pragma unroll
        for (int i = 0; i < EACH; ++i) {
            x[i] = holds(lane, i) ? to_acc(from_q[(lane + 32 * i) * q.col_stride]) : 0.0f;
            result[i] = 0.0f;
        }
        float largest = minus_infinity(), sum = 0.0f;
#pragma unroll 1
        for (int first = warp * KEYS; first < seen; first += WARPS * KEYS) {
            float score[KEYS];
#pragma unroll
            for (int u = 0; u < KEYS; ++u) {
                const T* row_k = from_k + min(first + u, seen - 1) * k.row_stride;
                score[u] = 0.0f;
#pragma unroll
                for (int i = 0; i < EACH; ++i) {
                    if (holds(lane, i)) score[u] = fmaf(x[i], to_acc(row_k[(lane + 32 * i) * k.col_stride]), score[u]);
                }
            }
            float best = largest;
#pragma unroll
            for (int u = 0; u < KEYS; ++u) {
#pragma unroll
                for (int step = 16; step > 0; step /= 2) score[u] += __shfl_xor_sync(0xffffffffu, score[u], step);
                score[u] = first + u < seen ? score[u] * scale : minus_infinity();
                best = fmaxf(best, score[u]);
            }
            const float base = base_of(best), decay = expf(largest - base);
            largest = best;
            sum *= decay;
#pragma unroll
            for (int i = 0; i < EACH; ++i) result[i] *= decay;
#pragma unroll
            for (int u = 0; u < KEYS; ++u) {
                if (first + u >= seen) break;
                const float weight = expf(score[u] - base);
                const T* row_v = from_v + (first + u) * v.row_stride;
                sum += weight;
#pragma unroll
                for (int i = 0; i < EACH; ++i) {
                    if (holds(lane, i)) result[i] = fmaf(weight, to_acc(row_v[(lane + 32 * i) * v.col_stride]), result[i]);
                }
            }
        }

        maxima[warp] = largest;
        sums[warp] = sum;
#pragma unroll
        for (int i = 0; i < EACH; ++i) results[warp][lane + 32 * i] = result[i];
        __syncthreads();
        float best = minus_infinity();
#pragma unroll 1
        for (int w = 0; w < WARPS; ++w) best = fmaxf(best, maxima[w]);
        const float base = base_of(best);
        float total = 0.0f;
#pragma unroll 1
        for (int w = 0; w < WARPS; ++w) total += sums[w] * expf(maxima[w] - base);
        T* to = out.at(batch, head, query);
#pragma unroll 1
        for (int d = threadIdx.x; d < HEAD; d += WARPS * 32) {
            float y = 0.0f;
#pragma unroll 1
            for (int w = 0; w < WARPS; ++w) y += results[w][d] * expf(maxima[w] - base);
            to[d * out.col_stride] = from_acc(y / total);
        }
        __syncthreads();
    }
}
