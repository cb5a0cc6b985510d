// general: a block reads its row three times, twice for statistics, once to rescale; any length and layout.
//
// Idea: the definition. Largest element (or mean), then the sum of exponentials (or squares of deviations),
// then the results; each pass reads the row again, from L2 where the rows in flight fit it.
//
// Bound: three reads and a write of a row: half of HBM's bandwidth at best, L2's where that holds a row.
//
// Run: smith bench row --problem kind=softmax,rows=64,columns=1000000,x0=f32,out=f32 --candidate general
#include "row.cuh"

// The block's merge of what f gives for each of the thread's elements, in ascending order.
template <class S, class F>
__device__ __forceinline__ S over_row(const Arrays& a, const Place& row, S s, S* shared, F f) {
#pragma unroll(sizeof(Acc) == 8 ? 1 : 4)
    for (Index c = threadIdx.x; c < a.row_length(); c += THREADS) s = S::merge(s, S{f(element(a, row, c))});
    return merge_team<THREADS>(s, shared, S::merge);
}

extern "C" __global__ void __launch_bounds__(THREADS) row(const __grid_constant__ Arrays a) {
    __shared__ Sum sums[THREADS / 32];
    __shared__ Largest largest[THREADS / 32];
    wait_for_earlier_launches();
    const Acc n = Acc(a.row_length());
#pragma unroll 1
    for (Index r = blockIdx.x; r < a.outer; r += gridDim.x) {
        Place row = origin();
        enter<0, OUTER>(row, a, r);
        Statistics s{0, 1, 0};
        if constexpr (IS_EXPONENTIAL) {
            s.shift = over_row(a, row, Largest{-infinity()}, largest, [](Acc x) { return x; }).value;
            Acc shift = s.shift;
            Acc sum = over_row(a, row, Sum{0}, sums, [shift](Acc x) { return exp_below(x - shift); }).value;
            s.scale = Acc(1) / sum;
            s.log = ks_log(sum);
        } else {
            if (KIND == LAYER_NORM) s.shift = over_row(a, row, Sum{0}, sums, [](Acc x) { return x; }).value / n;
            Acc shift = s.shift;
            Acc sum = over_row(a, row, Sum{0}, sums, [shift](Acc x) { return (x - shift) * (x - shift); }).value;
            s.scale = ks_rsqrt(sum / n + a.constants[EPS]);
        }
        int label = label_of(a, row);
        if constexpr (KIND == CROSS_ENTROPY) {
            if (threadIdx.x == 0) finish_row(a, row, s, label);
        } else {
#pragma unroll(sizeof(Acc) == 8 ? 1 : 4)
            for (Index c = threadIdx.x; c < a.row_length(); c += THREADS) {
                Place p = row;
                advance<DIM>(p, a, c);
                ExprInputs<1, DIM> in;
                PostInputs<1, DIM> more;
                load(in, a, p);
                load(more, a, p);
                Acc y = rescaled(expr(in, 0, a, p), s, c, label);
                store_one(narrowed<Out>(post(more, 0, a, p, y)), a, p);
            }
        }
    }
}
