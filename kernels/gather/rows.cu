// rows: a thread moves one vector of a row that the index picks.
//
// Idea: the index is the same along the last dimension, so neighbours in the output are neighbours in the
// table: 16-byte accesses on both sides, UNROLL of them in flight a thread.
//
// Bound: HBM, twice the bytes of the result / 4.35 TB/s, as long as a row is some hundred bytes: 8192 rows of
// 896 bf16 are 29 MB, 7 us.
//
// Run: smith bench gather --problem shape=8192x896,axis=0,size=151936,x=bf16,index=i32@0:1:0,out=bf16 --candidate rows
#include "gather.cuh"

constexpr int DIM = RANK - 1;

// The w-th vector of a row, and whether it is there to be moved as one.
struct Piece {
    Place to;
    long long from;
    bool found;
};

__device__ __forceinline__ Piece piece(const Arrays& a, Index row, Index w, long long size) {
    Piece piece{origin(), 0, false};
    enter<0, OUTER>(piece.to, a, row);
    long long at = index_of(a, piece.to);
    piece.found = at >= 0 && at < size;
    advance<DIM>(piece.to, a, first_of(w));
    piece.from = source_of(a, piece.to, piece.found ? at : 0);
    return piece;
}

extern "C" __global__ void __launch_bounds__(THREADS) gather(const __grid_constant__ Arrays a, long long size) {
    constexpr int PIECE = smaller(Walk<X, DIM>::PIECE, LANES);
    wait_for_earlier_launches();
    const Index total = a.outer * a.vectors.value;
#pragma unroll 1
    for (Index start = (Index)blockIdx.x * (THREADS * UNROLL) + threadIdx.x; start < total;
         start += (Index)gridDim.x * (THREADS * UNROLL)) {
        Piece pieces[UNROLL];
        Lanes<Out, LANES> x[UNROLL];
#pragma unroll
        for (int u = 0; u < UNROLL; ++u) {
            Index i = smaller(start + u * THREADS, total - 1), r = a.vectors.divide(i), w = i - r * a.vectors.value;
            pieces[u] = piece(a, r, w, size);
            if (is_whole(a, w)) {
                load_lanes<PIECE>(x[u], a.array<X>() + pieces[u].from, (long long)a.stride[X][DIM]);
                if (!pieces[u].found) {
#pragma unroll
                    for (int j = 0; j < LANES; ++j) x[u].set(j, missing());
                }
            }
        }
#pragma unroll
        for (int u = 0; u < UNROLL; ++u) {
            Index i = start + u * THREADS, r = a.vectors.divide(i), w = i - r * a.vectors.value;
            if (i >= total) break;
            if (is_whole(a, w)) {
                store_out<LANES, DIM>(x[u], a, pieces[u].to);
                continue;
            }
#pragma unroll 1
            for (Index c = first_of(w); c < end_of(a, w); ++c) {
                long long from = pieces[u].from + times(c - first_of(w), a.stride[X][DIM]);
                store_one(pieces[u].found ? a.array<X>()[from] : missing(), a, pieces[u].to);
                advance<DIM>(pieces[u].to, a, 1);
            }
        }
    }
}
