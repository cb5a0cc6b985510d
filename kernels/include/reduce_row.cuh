// Reducing neighbours along the last dimension, vector by vector.
#pragma once
#include "reduce.cuh"

// COUNT neighbours at p.
template <int COUNT>
__device__ __forceinline__ void absorb_at(State& s, const Arrays& a, const Place& p) {
    constexpr int DIM = RANK - 1;
    ExprInputs<COUNT, DIM> in;
    load(in, a, p);
#pragma unroll
    for (int j = 0; j < COUNT; ++j) absorb(s, expr(in, j, a, p), p.at[DIM] + j);
}

// The elements of a vector that are in the row, one by one.
__device__ __forceinline__ void absorb_part(State& s, const Arrays& a, const Place& row, Index w) {
    constexpr int DIM = RANK - 1;
    Place p = row;
    advance<DIM>(p, a, first_of(w));
    const Index end = end_of(a, w);
#pragma unroll 1
    for (; p.at[DIM] < end; advance<DIM>(p, a, 1)) absorb_at<1>(s, a, p);
}

// What one thread gathers of a row: the vectors first, first + step, ...
template <int UNROLL>
__device__ __forceinline__ State reduce_row(const Arrays& a, const Place& row, Index first, Index step) {
    constexpr int DIM = RANK - 1;
    State s[UNROLL];
#pragma unroll
    for (int u = 0; u < UNROLL; ++u) s[u].clear();
    Index w = first;
    if (SHIFT > 0 && w == 0) {
        absorb_part(s[0], a, row, w);
        w += step;
    }
    // Vectors before this one end in the row.
    const Index whole = (a.row_length() + SHIFT) / LANES;
#pragma unroll 1
    for (; w + (UNROLL - 1) * step < whole; w += UNROLL * step) {
        ExprInputs<LANES, DIM> in[UNROLL];
        Place p[UNROLL];
#pragma unroll
        for (int u = 0; u < UNROLL; ++u) {
            p[u] = row;
            advance<DIM>(p[u], a, (w + u * step) * LANES - SHIFT);
            load(in[u], a, p[u]);
        }
#pragma unroll
        for (int u = 0; u < UNROLL; ++u) {
#pragma unroll
            for (int j = 0; j < LANES; ++j) absorb(s[u], expr(in[u], j, a, p[u]), p[u].at[DIM] + j);
        }
    }
    if constexpr (UNROLL > 1) {
#pragma unroll 1
        for (; w < whole; w += step) {
            Place p = row;
            advance<DIM>(p, a, w * LANES - SHIFT);
            absorb_at<LANES>(s[0], a, p);
        }
    }
    if (w < a.vectors.value) absorb_part(s[0], a, row, w);
#pragma unroll
    for (int u = 1; u < UNROLL; ++u) s[0] = merge(s[0], s[u]);
    return s[0];
}
