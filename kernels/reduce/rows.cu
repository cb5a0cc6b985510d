// rows: a team of TEAM threads reduces one output, whose elements lie side by side.
//
// Idea: 16-byte loads, UNROLL of them in flight a thread and each into a state of its own, so that additions
// do not wait for one another. A warp an output where rows are short, a block where they are long.
//
// Bound: HBM, 4.39 TB/s read: 4096 x 4096 f32 is 67 MB, 15.3 us.
//
// Run: smith bench reduce --problem kind=sum,outer=4096,inner=4096,x0=f32,out=f32 --candidate rows
#include "reduce_row.cuh"

extern "C" __global__ void __launch_bounds__(THREADS) reduce(const __grid_constant__ Arrays a) {
    __shared__ State shared[THREADS / 32];
    wait_for_earlier_launches();
    Index output = (Index)blockIdx.x * (THREADS / TEAM) + threadIdx.x / TEAM;
    bool inside = output < a.outer;
    Place row = origin();
    enter<0, OUTER>(row, a, inside ? output : 0);
    State s = reduce_row<UNROLL>(a, row, threadIdx.x % TEAM, TEAM);
    s = merge_team<TEAM>(s, shared, merge);
    if (inside && threadIdx.x % TEAM == 0) finish(s, a, row);
}
