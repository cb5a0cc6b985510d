// owner: a thread owns one element of the output and looks through the index for what belongs to it.
//
// Idea: no two threads write one element, so there are no atomics, and terms are added in the order of the
// index: the same bits on every run. Neighbouring threads own neighbours along the last dimension; where
// whole rows are moved they read the same index, and x in whole lines.
//
// Bound: looking: an output of n elements and an index of k along the axis cost n k reads of the index from
// L1 or L2, two or three instructions each, 1e13 a second. For small results or short indices.
//
// Run: smith bench scatter_add --problem shape=256x128,axis=0,size=1000,x=f32,index=i32@0:1:0,out=f32 --candidate owner
#include "gather.cuh"

extern "C" __global__ void __launch_bounds__(THREADS)
    scatter_add(const __grid_constant__ Arrays a, long long size, long long count) {
    wait_for_earlier_launches();
    const Index length = a.size[AXIS].value;
#pragma unroll 1
    for (Index i = (Index)blockIdx.x * THREADS + threadIdx.x; i < count; i += (Index)gridDim.x * THREADS) {
        // The space with the axis last and of the result's size: i = (others, to).
        Place p = origin();
        Index rest = i, to = 0;
#pragma unroll
        for (int d = RANK - 1; d >= 0; --d) {
            Index at;
            if (d == AXIS) {
                Index q = rest / (Index)size;
                to = rest - q * (Index)size;
                rest = q;
                at = 0;
            } else {
                Index q = a.size[d].divide(rest);
                at = rest - q * a.size[d].value;
                rest = q;
            }
            p.at[d] = at;
#pragma unroll
            for (int k = 0; k < ARRAYS; ++k) p.offset[k] += times(at, a.stride[k][d]);
        }
        Acc sum = 0;
#pragma unroll 4
        for (Index k = 0; k < length; ++k) {
            if (a.array<INDEX>()[p.offset[INDEX] + times(k, a.stride[INDEX][AXIS])] == (long long)to) {
                sum += widen<Acc>(a.array<X>()[p.offset[X] + times(k, a.stride[X][AXIS])]);
            }
        }
        a.array<OUT>()[p.offset[OUT] + times(to, a.stride[OUT][AXIS])] = narrowed<Out>(sum);
    }
}
