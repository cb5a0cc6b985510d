// Reducing neighbours along the last dimension, vector by vector.
#pragma once
#include "reduce.cuh"

// What one thread gathers of a row: the vectors first, first + step, ...
template <int UNROLL>
__device__ __forceinline__ State reduce_row(const Arrays& a, const Place& row, Index first, Index step) {
    constexpr int DIM = RANK - 1;
    State s[UNROLL];
#pragma unroll
    for (int u = 0; u < UNROLL; ++u) s[u].clear();
    const Index vectors = a.vectors.value;
#pragma unroll 1
    for (Index w = first; w < vectors; w += step * UNROLL) {
        if (w + (UNROLL - 1) * step < vectors && is_whole(a, w) && is_whole(a, w + (UNROLL - 1) * step)) {
            ExprInputs<LANES, DIM> in[UNROLL];
            Place p[UNROLL];
#pragma unroll
            for (int u = 0; u < UNROLL; ++u) {
                p[u] = row;
                advance<DIM>(p[u], a, first_of(w + u * step));
                load(in[u], a, p[u]);
            }
#pragma unroll
            for (int u = 0; u < UNROLL; ++u) {
#pragma unroll
                for (int j = 0; j < LANES; ++j) absorb(s[u], expr(in[u], j, a, p[u]), p[u].at[DIM] + j);
            }
            continue;
        }
#pragma unroll 1
        for (int u = 0; u < UNROLL && w + u * step < vectors; ++u) {
            Place p = row;
            advance<DIM>(p, a, first_of(w + u * step));
            if (is_whole(a, w + u * step)) {
                ExprInputs<LANES, DIM> in;
                load(in, a, p);
#pragma unroll
                for (int j = 0; j < LANES; ++j) absorb(s[0], expr(in, j, a, p), p.at[DIM] + j);
                continue;
            }
            Index end = end_of(a, w + u * step);
#pragma unroll 1
            for (; p.at[DIM] < end; advance<DIM>(p, a, 1)) {
                ExprInputs<1, DIM> in;
                load(in, a, p);
                absorb(s[0], expr(in, 0, a, p), p.at[DIM]);
            }
        }
    }
#pragma unroll
    for (int u = 1; u < UNROLL; ++u) s[0] = merge(s[0], s[u]);
    return s[0];
}
