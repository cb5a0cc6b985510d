// block: a team of TEAM threads keeps its row in registers: one read, one write.
//
// Idea: a row is VECTORS vectors a thread. All are loaded before anything is computed; the statistics take
// one or two merges of the team, then the results go out. A warp for short rows, with several rows a block,
// up to 1024 threads for long ones. Where the expression is an input itself, what is kept is the words as
// they came, so that a 16-bit row takes half of the registers.
//
// Bound: HBM, bytes / 4.35 TB/s: 32768 x 1024 f32 is 268 MB, 62 us. Between its loads and its stores a team
// waits for its merges; other teams on the multiprocessor must fill that time, so registers decide: at 64 a
// thread there are 32 warps.
//
// Run: smith bench row --problem kind=softmax,rows=32768,columns=1024,x0=f32,out=f32 --candidate block
#include "row_resident.cuh"

struct Team {
    Sum* sums;
    Largest* largest;

    __device__ __forceinline__ Acc sum(Acc x) const { return merge_team<TEAM>(Sum{x}, sums, Sum::merge).value; }
    __device__ __forceinline__ Acc max(Acc x) const {
        return merge_team<TEAM>(Largest{x}, largest, Largest::merge).value;
    }
};

extern "C" __global__ void __launch_bounds__(THREADS) row(const __grid_constant__ Arrays a) {
    __shared__ Sum sums[THREADS / 32];
    __shared__ Largest largest[THREADS / 32];
    wait_for_earlier_launches();
    Index r = (Index)blockIdx.x * (THREADS / TEAM) + threadIdx.x / TEAM;
    resident_row<TEAM, VECTORS>(a, r, threadIdx.x % TEAM, Team{sums, largest});
}
