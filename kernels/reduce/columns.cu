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

// Where row r of the columns at `base` is.
__device__ __forceinline__ Place row_at(const Arrays& a, const Place& base, Index r) {
    Place p = base;
    enter<OUTER, RANK>(p, a, r);
    return p;
}

// The elements of N columns from `base` on, every `step`-th from `first` on.
__device__ __forceinline__ void absorb_rows(State (&s)[N], const Arrays& a, const Place& base, Index first,
                                            Index step) {
    Index r = first;
#pragma unroll 1
    for (; r + (UNROLL - 1) * step < a.inner; r += UNROLL * step) {
        ExprInputs<N, DIM> in[UNROLL];
#pragma unroll
        for (int u = 0; u < UNROLL; ++u) load(in[u], a, row_at(a, base, r + u * step));
#pragma unroll
        for (int u = 0; u < UNROLL; ++u) {
            Place p = row_at(a, base, r + u * step);
#pragma unroll
            for (int j = 0; j < N; ++j) absorb(s[j], expr(in[u], j, a, p), r + u * step);
        }
    }
    if constexpr (UNROLL > 1) {
#pragma unroll 1
        for (; r < a.inner; r += step) {
            ExprInputs<N, DIM> in;
            Place p = row_at(a, base, r);
            load(in, a, p);
#pragma unroll
            for (int j = 0; j < N; ++j) absorb(s[j], expr(in, j, a, p), r);
        }
    }
}

// The same of fewer than N columns: what is beyond the last of them is read there, and not used.
__device__ __forceinline__ void absorb_some(State (&s)[N], int count, const Arrays& a, const Place& base, Index first,
                                            Index step) {
#pragma unroll 1
    for (Index r = first; r < a.inner; r += step) {
#pragma unroll
        for (int j = 0; j < N - 1; ++j) {
            Place p = row_at(a, base, r);
            advance<DIM>(p, a, smaller(j, count - 1));
            ExprInputs<1, DIM> in;
            load(in, a, p);
            absorb(s[j], expr(in, 0, a, p), r);
        }
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
        absorb_rows(s, a, base, first, step);
    } else if (count > 0) {
        absorb_some(s, count, a, base, first, step);
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
        finish(t, a, p, true);
    }
}
