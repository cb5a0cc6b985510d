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
    // clipped to the matrix, in vectors of up to D_VEC elements along D's contiguous dimension. row and
    // col are multiples of the block's size. Going through shared memory costs little, coalesces, and
    // lets one rolled loop hold the epilogue's code and registers, however long the epilogue is.
    template <int ROWS, int COLS, int STRIDE>
    __device__ __forceinline__ void store_block(const Acc* block, long long batch, int row, int col, int lane) const {
        constexpr bool ALONG_ROWS = D_INNER == 1;
        constexpr int INNER = ALONG_ROWS ? ROWS : COLS;
        constexpr int VEC = smaller((int)D_VEC, INNER);
        constexpr int VECTORS = ROWS * COLS / VEC;
#pragma unroll 1
        for (int v = lane; v < VECTORS; v += 32) {
            int inner = v % (INNER / VEC) * VEC, outer = v / (INNER / VEC);
            int r = ALONG_ROWS ? inner : outer, s = ALONG_ROWS ? outer : inner;
            if (row + r >= m || col + s >= n) continue;
            int count = ALONG_ROWS ? m - (row + r) : n - (col + s);
            Vector<VEC> out;
#pragma unroll
            for (int i = 0; i < VEC; ++i) {
                int ri = ALONG_ROWS ? r + i : r, si = ALONG_ROWS ? s : s + i;
                Acc x = 0;
                if (i < count) {
                    x = finish(block[ri * STRIDE + si], alpha, beta, c, e, batch, row + ri, col + si);
                }
                out.set(i, from_acc(x));
            }
            store_pieces<VEC>(d.at(batch, row + r, col + s), out, count);
        }
    }
};
