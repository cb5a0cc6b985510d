// naive: one thread computes one output.
//
// Idea: the definition, D[i][j] = sum over p of A[i][p] B[p][j], read straight from global memory.
// A warp takes 32 outputs along D's contiguous dimension, so that stores coalesce, and so do the loads
// of whichever operand is contiguous there; the other operand is one address for the whole warp.
//
// Bound: the load pipe. A multiply-add costs two loads, and an SM starts 32 lanes of loads a clock:
// 132 SMs x 16 multiply-adds x 1.755 GHz = 7.4 TFLOP/s at best, an eighth of the f32 peak, and less
// whenever L1 misses or an operand is strided.
//
// Run: smith bench gemm --problem m=512,n=512,k=512,dtype=f32,layout=nn --candidate naive

constexpr int BLOCK_M = D_INNER == 1 ? 32 : ROWS;
constexpr int BLOCK_N = D_INNER == 1 ? ROWS : 32;

extern "C" __global__ void __launch_bounds__(32 * ROWS)
    gemm(Matrix<const T> a, Matrix<const T> b, Matrix<const T> c, Matrix<T> d, int m, int n, int k, int batch,
         Acc alpha, Acc beta, Epilogue e) {
    int tiles_n = ceil_div(n, BLOCK_N);
    int fast = threadIdx.x % 32, slow = threadIdx.x / 32;
    int row = blockIdx.x / tiles_n * BLOCK_M + (D_INNER == 1 ? fast : slow);
    int col = blockIdx.x % tiles_n * BLOCK_N + (D_INNER == 1 ? slow : fast);
    if (row >= m || col >= n) return;

    for (long long z = blockIdx.z; z < batch; z += gridDim.z) {
        const T* pa = a.at(z, row, 0);
        const T* pb = b.at(z, 0, col);
        Acc acc = 0;
#pragma unroll 4
        for (int p = 0; p < k; ++p) {
            acc += to_acc(*pa) * to_acc(*pb);
            pa += a.col_stride;
            pb += b.row_stride;
        }
        *d.at(z, row, col) = from_acc(finish(acc, alpha, beta, c, e, z, row, col));
    }
}
