// atomic: two launches, one that writes zeros and one whose threads each add one element where it belongs.
//
// Idea: the work is that of the input, however large the result. The order of additions is that of chance, so
// the last bits differ from run to run.
//
// Bound: atomics in L2, one a clock and slice for distinct addresses, about 1.5e11 a second; an address that
// many threads add to takes them one after the other.
//
// Run: smith bench scatter_add --problem shape=1048576,axis=0,size=60000,x=f32,index=i32,out=f32 --candidate atomic
#include "gather.cuh"

// i counts the points of the result: the space, with `size` along the axis.
extern "C" __global__ void __launch_bounds__(THREADS)
    clear(const __grid_constant__ Arrays a, long long size, long long count) {
    wait_for_earlier_launches();
#pragma unroll 1
    for (Index i = (Index)blockIdx.x * THREADS + threadIdx.x; i < count; i += (Index)gridDim.x * THREADS) {
        Index rest = i;
        long long offset = 0;
#pragma unroll
        for (int d = RANK - 1; d >= 0; --d) {
            Index q = d == AXIS ? rest / (Index)size : a.size[d].divide(rest);
            offset += times(rest - q * (d == AXIS ? (Index)size : a.size[d].value), a.stride[OUT][d]);
            rest = q;
        }
        a.array<OUT>()[offset] = Out(0);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS)
    scatter_add(const __grid_constant__ Arrays a, long long size) {
    wait_for_earlier_launches();
    const Index total = a.outer * a.inner;
#pragma unroll 1
    for (Index i = (Index)blockIdx.x * THREADS + threadIdx.x; i < total; i += (Index)gridDim.x * THREADS) {
        Place p = origin();
        enter<0, RANK>(p, a, i);
        long long to = index_of(a, p);
        if (to >= 0 && to < size) atomicAdd(a.array<OUT>() + replaced<OUT>(a, p, to), a.array<X>()[p.offset[X]]);
    }
}
