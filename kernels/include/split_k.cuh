// Split K without a second launch and without a race in the order of additions: every block writes its
// partial sums to the workspace; the last to arrive adds all of them, first split first.
#pragma once

// True in every thread of the last of `splits` blocks to arrive; sets the counter back to 0 for the next
// launch. What the others wrote before arriving may then be read with load_shared_by_blocks.
__device__ __forceinline__ bool arrive_last(unsigned* counter, int splits) {
    __shared__ bool last;
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) {
        last = atomicAdd(counter, 1u) == (unsigned)splits - 1;
        if (last) *counter = 0;
    }
    __syncthreads();
    __threadfence();
    return last;
}

// Adds up acc over the splits of one tile, thread by thread. True in the block that holds the sums
// afterwards and has to store them. The workspace holds splits * COUNT * THREADS values a tile.
template <int COUNT, int THREADS>
__device__ __forceinline__ bool sum_splits(Acc (&acc)[COUNT], Acc* workspace, unsigned* counters, long long tile,
                                           int split, int splits) {
    Acc* partial = workspace + tile * splits * (COUNT * THREADS) + threadIdx.x;
    Acc* mine = partial + (long long)split * (COUNT * THREADS);
#pragma unroll
    for (int i = 0; i < COUNT; ++i) mine[i * THREADS] = acc[i];
    if (!arrive_last(counters + tile, splits)) return false;
#pragma unroll
    for (int i = 0; i < COUNT; ++i) acc[i] = 0;
#pragma unroll 1
    for (int s = 0; s < splits; ++s) {
        const Acc* theirs = partial + (long long)s * (COUNT * THREADS);
#pragma unroll
        for (int i = 0; i < COUNT; ++i) acc[i] += load_shared_by_blocks(theirs + i * THREADS);
    }
    return true;
}
