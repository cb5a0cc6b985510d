// columns: a thread reduces COLUMN_LANES neighbouring outputs, whose elements lie side by side across outputs.
//
// Idea: reads run along the outputs, so that lines are used whole. A block is 32 threads of columns by
// THREADS / 32 of rows; it merges its rows through shared memory. Where there are few columns the rows are
// shared by several blocks, and the last of these to arrive merges them in order.
//
// Bound: HBM, 4.39 TB/s read: 60000 x 784 f32 is 188 MB, 43 us.
//
// Run: smith bench reduce --problem kind=sum,outer=784,inner=60000,x0=f32@0:1:784,out=f32 --candidate columns
#include "arrive.cuh"
#include "reduce.cuh"

constexpr int DIM = OUTER - 1;
constexpr int N = COLUMN_LANES;
constexpr int ROWS = THREADS / 32;

// The elements of COUNT columns from `base` on, every `step`-th from `first` on.
template <int COUNT>
__device__ __forceinline__ void absorb_rows(State (&s)[N], int lane, const Arrays& a, const Place& base, Index first,
                                            Index step) {
    Index r = first;
#pragma unroll 1
    for (; r + (UNROLL - 1) * step < a.inner; r += UNROLL * step) {
        ExprInputs<COUNT, DIM> in[UNROLL];
        Place p[UNROLL];
#pragma unroll
        for (int u = 0; u < UNROLL; ++u) {
            p[u] = base;
            enter<OUTER, RANK>(p[u], a, r + u * step);
            load(in[u], a, p[u]);
        }
#pragma unroll
        for (int u = 0; u < UNROLL; ++u) {
#pragma unroll
            for (int j = 0; j < COUNT; ++j) absorb(s[lane + j], expr(in[u], j, a, p[u]), r + u * step);
        }
    }
#pragma unroll 1
    for (; r < a.inner; r += step) {
        ExprInputs<COUNT, DIM> in;
        Place p = base;
        enter<OUTER, RANK>(p, a, r);
        load(in, a, p);
#pragma unroll
        for (int j = 0; j < COUNT; ++j) absorb(s[lane + j], expr(in, j, a, p), r);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS)
    reduce(const __grid_constant__ Arrays a, Acc* values, unsigned* counters) {
    __shared__ State shared[ROWS][32][N];
    __shared__ bool last;
    wait_for_earlier_launches();
    Index* positions = positions_after(values, (long long)gridDim.x * gridDim.y * (32 * N));
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    // The outer space in vectors along its last dimension.
    Index vector = (Index)blockIdx.x * 32 + lane;
    Index row = a.column_vectors.divide(vector);
    Index column = (vector - row * a.column_vectors.value) * N;
    bool inside = vector < a.outer_vectors;
    Place base = origin();
    if (inside) {
        enter<0, DIM>(base, a, row);
        advance<DIM>(base, a, column);
    }
    const Index length = a.size[DIM].value;
    const int count = !inside ? 0 : column + N <= length ? N : (int)(length - column);

    State s[N];
#pragma unroll
    for (int j = 0; j < N; ++j) s[j].clear();
    Index first = (Index)blockIdx.y * ROWS + warp, step = (Index)gridDim.y * ROWS;
    if (count == N) {
        absorb_rows<N>(s, 0, a, base, first, step);
    } else {
        Place p = base;
#pragma unroll
        for (int j = 0; j < N; ++j) {
            if (j < count) absorb_rows<1>(s, j, a, p, first, step);
            advance<DIM>(p, a, 1);
        }
    }
#pragma unroll
    for (int j = 0; j < N; ++j) shared[warp][lane][j] = s[j];
    __syncthreads();
    // From here on a thread has one column of the block's.
    for (int i = threadIdx.x; i < 32 * N; i += THREADS) {
        State t = shared[0][i / N][i % N];
        for (int w = 1; w < ROWS; ++w) t = merge(t, shared[w][i / N][i % N]);
        shared[0][i / N][i % N] = t;
        if (SPLIT > 1) {
            long long at = ((long long)blockIdx.x * gridDim.y + blockIdx.y) * (32 * N) + i;
            values[at] = t.value;
            if (IS_POSITION) positions[at] = t.at;
        }
    }
    __syncthreads();
    if (SPLIT > 1) {
        if (threadIdx.x == 0) last = arrive(counters + blockIdx.x, gridDim.y);
        __syncthreads();
        if (!last) return;
    }
    for (int i = threadIdx.x; i < 32 * N; i += THREADS) {
        State t = shared[0][i / N][i % N];
        if (SPLIT > 1) {
            t.clear();
            for (int k = 0; k < (int)gridDim.y; ++k) {
                long long at = ((long long)blockIdx.x * gridDim.y + k) * (32 * N) + i;
                State other{read_partial(values + at), t.at};
                if (IS_POSITION) other.at = read_partial(positions + at);
                t = merge(t, other);
            }
        }
        Index v = (Index)blockIdx.x * 32 + i / N;
        Index r = a.column_vectors.divide(v);
        Index c = (v - r * a.column_vectors.value) * N + i % N;
        if (v >= a.outer_vectors || c >= length) continue;
        Place p = origin();
        enter<0, DIM>(p, a, r);
        advance<DIM>(p, a, c);
        finish(t, a, p);
    }
}
