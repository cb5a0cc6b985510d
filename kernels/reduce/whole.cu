// whole: many blocks share each of a few outputs.
//
// Idea: every block reduces an equal share of the row, writes one partial result and arrives at a counter;
// one warp of the last block to arrive merges all of them, in the order of the blocks: one launch, and the
// same bits on every run.
//
// Bound: HBM, 4.39 TB/s read: 268M f32 is 245 us. 1M f32: a launch, 1.2 us, one trip to memory, 0.8 us, and
// the tail: a write, an atomic and a read through L2, 1.5 us.
//
// Run: smith bench reduce --problem kind=sum,outer=scalar,inner=1048576,x0=f32,out=f32 --candidate whole
#include "arrive.cuh"
#include "reduce_row.cuh"

extern "C" __global__ void __launch_bounds__(THREADS)
    reduce(const __grid_constant__ Arrays a, Acc* values, unsigned* counters) {
    __shared__ State shared[THREADS / 32];
    wait_for_earlier_launches();
    const int shares = gridDim.x;
    Place row = origin();
    enter<0, OUTER>(row, a, blockIdx.y);
    State s = reduce_row<UNROLL>(a, row, (Index)blockIdx.x * THREADS + threadIdx.x, (Index)shares * THREADS);
    s = merge_team<THREADS>(s, shared, merge);
    if (threadIdx.x >= 32) return;

    Index* positions = positions_after(values, (long long)gridDim.y * shares) + (long long)blockIdx.y * shares;
    values += (long long)blockIdx.y * shares;
    int last = 0;
    if (threadIdx.x == 0) {
        values[blockIdx.x] = s.value;
        if (IS_POSITION) positions[blockIdx.x] = s.at;
        last = arrive(counters + blockIdx.y, shares);
    }
    if (!__shfl_sync(0xffffffffu, last, 0)) return;
    __syncwarp();  // what thread 0 acquired is ordered before the other lanes' reads
    s.clear();
#pragma unroll 8
    for (int i = threadIdx.x; i < shares; i += 32) {
        State other{read_partial(values + i), s.at};
        if (IS_POSITION) other.at = read_partial(positions + i);
        s = merge(s, other);
    }
    s = merge_warp<32>(s, merge);
    finish(s, a, row, threadIdx.x == 0);
}
