// From accumulators to D: D = epilogue(alpha * acc + beta * C), rounded once.
#pragma once

__device__ __forceinline__ Acc finish(Acc acc, Acc alpha, Acc beta, const Matrix<const T>& c, const Epilogue& e,
                                      long long batch, long long row, long long col) {
    Acc v = alpha * acc;
#if HAS_BETA
    v += beta * ks_load(c, batch, row, col);
#endif
    return epilogue_apply(v, e, batch, row, col);
}

// Everything about D that does not change within a launch.
struct Output {
    const Matrix<const T>& c;
    const Matrix<T>& d;
    const Epilogue& e;
    Acc alpha, beta;
    int m, n;

    // One warp stores a ROWS x COLS block of accumulators that lies in shared memory as [ROWS][STRIDE],
    // clipped to the matrix: first each lane finishes one element at a time, in place, neighbours along D's
    // contiguous dimension; then whole vectors of up to D_VEC elements go out. row and col are multiples of
    // the block's size. The rolled loops hold the epilogue's code and registers, however long it is, to
    // one or two copies.
    template <int ROWS, int COLS, int STRIDE>
    __device__ __forceinline__ void store_block(Acc* block, long long batch, int row, int col, int lane) const {
        constexpr bool ALONG_ROWS = D_INNER == 1;
        constexpr int INNER = ALONG_ROWS ? ROWS : COLS;
        __syncwarp();
#pragma unroll 2
        for (int i = lane; i < ROWS * COLS; i += 32) {
            int r = ALONG_ROWS ? i % INNER : i / INNER, s = ALONG_ROWS ? i / INNER : i % INNER;
            if (row + r < m && col + s < n) {
                Acc& x = block[r * STRIDE + s];
                x = finish(x, alpha, beta, c, e, batch, row + r, col + s);
            }
        }
        __syncwarp();
        constexpr int VEC = smaller((int)D_VEC, INNER);
#pragma unroll 1
        for (int i = lane * VEC; i < ROWS * COLS; i += 32 * VEC) {
            int r = ALONG_ROWS ? i % INNER : i / INNER, s = ALONG_ROWS ? i / INNER : i % INNER;
            if (row + r >= m || col + s >= n) continue;
            Vector<VEC> out;
#pragma unroll
            for (int j = 0; j < VEC; ++j) {
                out.set(j, from_acc(ALONG_ROWS ? block[(r + j) * STRIDE + s] : block[r * STRIDE + s + j]));
            }
            store_pieces<VEC>(d.at(batch, row + r, col + s), out, ALONG_ROWS ? m - (row + r) : n - (col + s));
        }
        __syncwarp();
    }
};
