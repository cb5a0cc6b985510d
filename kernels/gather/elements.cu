// elements: a thread moves one element.
//
// Idea: the definition for any layout: the position of the output with its coordinate along AXIS replaced
// by the index there. Neighbouring threads take neighbours along the last dimension.
//
// Bound: HBM in sectors: an element that lies alone costs 32 bytes.
//
// Run: smith bench gather --problem shape=4096x4096,axis=1,size=4096,x=f32,index=i32,out=f32 --candidate elements
#include "gather.cuh"

extern "C" __global__ void __launch_bounds__(THREADS) gather(const __grid_constant__ Arrays a, long long size) {
    wait_for_earlier_launches();
    const Index total = a.outer * a.inner;
#pragma unroll 1
    for (Index i = (Index)blockIdx.x * THREADS + threadIdx.x; i < total; i += (Index)gridDim.x * THREADS) {
        Place p = origin();
        enter<0, RANK>(p, a, i);
        long long to = index_of(a, p);
        Out y = to >= 0 && to < size ? a.array<X>()[source_of(a, p, to)] : missing();
        store_one(y, a, p);
    }
}
