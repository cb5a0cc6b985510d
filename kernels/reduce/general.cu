// general: a team of TEAM threads reduces one output, element by element.
//
// Idea: the definition for any layout. A thread takes every TEAM-th element in the order of the inner
// space; the team's sums meet in a butterfly and through shared memory.
//
// Bound: index arithmetic, some twenty instructions an element: about 1.2e12 elements/s, 220 us for 268M.
//
// Run: smith bench reduce --problem kind=sum,outer=64,inner=64x4096,x0=f32@0:1:262144:64,out=f32 --candidate general
#include "reduce.cuh"

extern "C" __global__ void __launch_bounds__(THREADS) reduce(const __grid_constant__ Arrays a) {
    __shared__ State shared[THREADS / 32];
    wait_for_earlier_launches();
    Index output = (Index)blockIdx.x * (THREADS / TEAM) + threadIdx.x / TEAM;
    bool inside = output < a.outer;
    Place base = origin();
    enter<0, OUTER>(base, a, inside ? output : 0);
    State s;
    s.clear();
#pragma unroll 2
    for (Index i = threadIdx.x % TEAM; i < a.inner; i += TEAM) {
        Place p = base;
        enter<OUTER, RANK>(p, a, i);
        ExprInputs<1, RANK - 1> in;
        load(in, a, p);
        absorb(s, expr(in, 0, a, p), i);
    }
    s = merge_team<TEAM>(s, shared, merge);
    if (inside && threadIdx.x % TEAM == 0) finish(s, a, base);
}
