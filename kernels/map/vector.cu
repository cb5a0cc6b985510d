// vector: a thread computes UNROLL vectors of LANES neighbours along the last dimension.
//
// Idea: the widest access that every array allows, 16 bytes for the widest dtype; all loads of a thread
// are issued before its first store. Rows may start anywhere: vectors are laid so that the output's are
// aligned, an input that is not aligned there comes in the widest pieces that are, and the few elements
// before the first and after the last whole vector go one by one. A broadcast input is one load a vector.
//
// Bound: HBM, bytes / 4.35 TB/s: 268M f32 in and out is 2.15 GB, 494 us. By Little's law that needs 25 KB in
// flight an SM; 4 vectors in each of 2048 threads are 128 KB, so occupancy may fall far. Up to 100k elements
// a launch, 1.2 us: then UNROLL 1, so that there are blocks for as many SMs as can be.
//
// Run: smith bench map --problem shape=268435456,expr=gelu(x0),x0=f32,out=f32 --candidate vector

constexpr int DIM = RANK - 1;

// The first element of vector i of the whole space.
__device__ __forceinline__ Place place_vector(const Arrays& a, Index i) {
    Place p = origin();
    Index row = OUTER == 0 ? 0 : a.vectors.divide(i);
    enter<0, OUTER>(p, a, row);
    advance<DIM>(p, a, first_of(i - row * a.vectors.value));
    return p;
}

__device__ __forceinline__ void one_by_one(const Arrays& a, Index i) {
    Place p = place_vector(a, i);
    Index row = OUTER == 0 ? 0 : a.vectors.divide(i);
    Index end = end_of(a, i - row * a.vectors.value);
#pragma unroll 1
    for (; p.at[DIM] < end; advance<DIM>(p, a, 1)) {
        ExprInputs<1, DIM> in;
        load(in, a, p);
        store_one(narrowed<Out>(expr(in, 0, a, p)), a, p);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS) map(const __grid_constant__ Arrays a) {
    wait_for_earlier_launches();
    const Index total = a.outer * a.vectors.value;
#pragma unroll 1
    for (Index start = (Index)blockIdx.x * (THREADS * UNROLL); start < total;
         start += (Index)gridDim.x * (THREADS * UNROLL)) {
        bool whole = true;
#pragma unroll
        for (int u = 0; u < UNROLL; ++u) {
            Index i = start + u * THREADS + threadIdx.x;
            Index row = OUTER == 0 ? 0 : a.vectors.divide(i);
            whole = whole && i < total && is_whole(a, i - row * a.vectors.value);
        }
        if (whole) {
            Place p[UNROLL];
            ExprInputs<LANES, DIM> in[UNROLL];
#pragma unroll
            for (int u = 0; u < UNROLL; ++u) {
                p[u] = place_vector(a, start + u * THREADS + threadIdx.x);
                load(in[u], a, p[u]);
            }
#pragma unroll
            for (int u = 0; u < UNROLL; ++u) {
                Lanes<Out, LANES> y;
#pragma unroll
                for (int j = 0; j < LANES; ++j) y.set(j, narrowed<Out>(expr(in[u], j, a, p[u])));
                store_out<LANES, DIM>(y, a, p[u]);
            }
        } else {
#pragma unroll 1
            for (int u = 0; u < UNROLL; ++u) {
                Index i = start + u * THREADS + threadIdx.x;
                if (i < total) one_by_one(a, i);
            }
        }
    }
}
