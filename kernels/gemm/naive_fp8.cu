// naive_fp8: one thread computes one output of a product of eight-bit floats.
//
// Idea: `naive` with numbers that are decoded as they are read, in any layout. The sums are f32's own, so it
// is what the matrix units' shorter sums are compared with.
//
// Bound: the load pipe, as in `naive`, and two conversions a number.
//
// Run: smith bench gemm --problem m=512,n=512,k=512,dtype=bf16,inputs=e4m3,layout=nn --candidate naive_fp8

#include "fp8.cuh"

constexpr int BLOCK_M = D_INNER == 1 ? 32 : ROWS;
constexpr int BLOCK_N = D_INNER == 1 ? ROWS : 32;

template <bool IS_E4M3>
__device__ __forceinline__ float decode(unsigned char code) {
    float x, none;
    decode_pair<IS_E4M3>(code, x, none);
    return x;
}

extern "C" __global__ void __launch_bounds__(32 * ROWS)
    gemm(Matrix<const unsigned char> a, Matrix<const unsigned char> b, Matrix<const T> c, Matrix<T> d, int m, int n,
         int k, int batch, Acc alpha, Acc beta, Epilogue e) {
    int tiles_n = ceil_div(n, BLOCK_N);
    int fast = threadIdx.x % 32, slow = threadIdx.x / 32;
    int row = blockIdx.x / tiles_n * BLOCK_M + (D_INNER == 1 ? fast : slow);
    int col = blockIdx.x % tiles_n * BLOCK_N + (D_INNER == 1 ? slow : fast);
    if (row >= m || col >= n) return;

    for (long long z = blockIdx.z; z < batch; z += gridDim.z) {
        const unsigned char *pa = a.at(z, row, 0), *pb = b.at(z, 0, col);
        float acc = 0;
#pragma unroll 4
        for (int p = 0; p < k; ++p) {
            acc = fmaf(decode<A_E4M3>(*pa), decode<B_E4M3>(*pb), acc);
            pa += a.col_stride;
            pb += b.row_stride;
        }
        *d.at(z, row, col) = from_acc(finish(acc, alpha, beta, c, e, z, row, col));
    }
}
