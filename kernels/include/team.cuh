// Sums and extremes over a team: TEAM neighbouring threads of a block, a power of two; over a warp it is
// a butterfly, so every lane holds the same bits.
#pragma once

template <int TEAM, class S, class Merge>
__device__ __forceinline__ S merge_warp(S x, Merge merge) {
#pragma unroll
    for (int step = smaller(TEAM, 32) / 2; step > 0; step /= 2) x = merge(x, x.from_lane(step));
    return x;
}

// Every thread of the block takes part. `shared` has room for one state a warp.
template <int TEAM, class S, class Merge>
__device__ __forceinline__ S merge_team(S x, S* shared, Merge merge) {
    x = merge_warp<TEAM>(x, merge);
    if constexpr (TEAM > 32) {
        constexpr int WARPS = TEAM / 32;
        int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
        __syncthreads();
        if (lane == 0) shared[warp] = x;
        __syncthreads();
        x = shared[warp / WARPS * WARPS + lane % WARPS];
        x = merge_warp<WARPS>(x, merge);
    }
    return x;
}
