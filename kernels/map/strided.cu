// strided: a thread computes one element, then the next that lies a grid away.
//
// Idea: the definition for any layout. Neighbouring threads take neighbours along the last dimension, so
// whatever is contiguous there is read and written in whole lines. Positions come out of the linear index
// by multiplication with magic numbers, four instructions a dimension and no division.
//
// Bound: HBM as long as lines are used whole; a stride of s elements of e bytes along the last dimension
// costs min(s, 32 / e) times the bytes.
//
// Run: smith bench map --problem shape=4096x4096,expr=x0,x0=f32@0:1:4096,out=f32 --candidate strided

extern "C" __global__ void __launch_bounds__(THREADS) map(const __grid_constant__ Arrays a) {
    wait_for_earlier_launches();
    const Index total = a.outer * a.inner;
#pragma unroll 1
    for (Index i = (Index)blockIdx.x * THREADS + threadIdx.x; i < total; i += (Index)gridDim.x * THREADS) {
        Place p = origin();
        enter<0, RANK>(p, a, i);
        ExprInputs<1, RANK - 1> in;
        load(in, a, p);
        store_one(narrowed<Out>(expr(in, 0, a, p)), a, p);
    }
}
