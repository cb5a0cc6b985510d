// rows: a warp owns a piece of one row of the output and looks through the index for what belongs to it.
//
// Idea: owner, with 32 entries of the index looked at by one warp at a time: a vote names the matches, and
// only for these the warp reads x, LANES neighbours a lane. Terms are added in the order of the index.
//
// Bound: looking: rows x pieces x index length / 32 warp steps of four instructions: 1000 rows of 896 with an
// index of 8192 are 1000 x 4 x 256 steps, 8 us over 132 multiprocessors; then x once, 15 MB, 4 us.
//
// Run: smith bench scatter_add --problem shape=8192x896,axis=0,size=1000,x=bf16,index=i32@0:1:0,out=bf16 --candidate rows
#include "gather.cuh"

extern "C" __global__ void __launch_bounds__(THREADS)
    scatter_add(const __grid_constant__ Arrays a, long long size) {
    constexpr int PIECE = smaller(Walk<X, 1>::PIECE, LANES);
    wait_for_earlier_launches();
    const int lane = threadIdx.x % 32;
    const Index length = a.size[0].value;
    const long long row = (long long)blockIdx.y * (THREADS / 32) + threadIdx.x / 32;
    if (row >= size) return;
    const Index w = (Index)blockIdx.x * 32 + lane;
    const bool whole = w < a.vectors.value && is_whole(a, w);
    const Index first = first_of(w), end = w < a.vectors.value ? end_of(a, w) : first;
    const typename Array<INDEX>::Type* index = a.array<INDEX>();
    const typename Array<X>::Type* x = a.array<X>() + times(first, a.stride[X][1]);

    Acc sum[LANES];
#pragma unroll
    for (int j = 0; j < LANES; ++j) sum[j] = 0;
#pragma unroll 1
    for (Index start = 0; start < length; start += 32) {
        Index k = start + lane;
        bool match = k < length && index[times(k, a.stride[INDEX][0])] == row;
        unsigned matches = __ballot_sync(0xffffffffu, match);
        while (matches) {
            const typename Array<X>::Type* from = x + times(start + __ffs(matches) - 1, a.stride[X][0]);
            matches &= matches - 1;
            if (whole) {
                Lanes<typename Array<X>::Type, LANES> terms;
                load_lanes<PIECE>(terms, from, (long long)a.stride[X][1]);
#pragma unroll
                for (int j = 0; j < LANES; ++j) sum[j] += widen<Acc>(terms.get(j));
            } else {
#pragma unroll
                for (int j = 0; j < LANES; ++j) {
                    if (first + j < end) sum[j] += widen<Acc>(from[times(j, a.stride[X][1])]);
                }
            }
        }
    }
    Out* out = a.array<OUT>() + row * a.stride[OUT][0] + times(first, a.stride[OUT][1]);
#pragma unroll
    for (int j = 0; j < LANES; ++j) {
        if (first + j < end) out[times(j, a.stride[OUT][1])] = narrowed<Out>(sum[j]);
    }
}
