// wgmma_packed: `wgmma` for operands that the copy engine cannot read: starts and strides of any number of elements,
// no contiguous dimension, rows that run backwards.
//
// Idea: reading such an operand costs the multiplying blocks more than they have to spare, since each tile is read
// by many of them. So a launch before brings both operands into scratch memory once, rows along k, each row at a
// multiple of 16 bytes; then everything is as in `wgmma`. The second launch's blocks set themselves up meanwhile.
//
// Bound: that of `wgmma`, and the copy: A and B once from memory and once to L2, 2.5 us at 1024 x 1024 and
// 16 us at 4096 x 4096 in 16-bit. So a fifth of the time at 2048, a tenth at 4096, and too much below 1024.
//
// Run: smith bench gemm --problem m=4095,n=4095,k=4095,dtype=f16,layout=nt --candidate wgmma_packed

constexpr bool ALONG_K_A = A_INNER != 1, ALONG_K_B = B_INNER != 0;
// What the products see.
#undef A_INNER
#undef B_INNER
#define A_INNER 0
#define B_INNER 1
#define PACKED 1
#include "wgmma_product.cuh"

constexpr int PACK = 64, PACK_THREADS = 256;
// Odd in words: a column of a tile lies in different banks.
constexpr int PACK_PITCH = PACK + 2;

// 64 rows by 64 of k of one operand; `along_row` and `along_k` are strides. Beyond k a row is filled up with zeros.
template <bool ALONG_K>
__device__ __forceinline__ void pack_tile(unsigned short (&tile)[PACK * PACK_PITCH], const T* from,
                                          long long along_row, long long along_k, int row, int first_k, int rows,
                                          int k, T* to, int pitch) {
    // A thread stays in one column along k, or in one row, and takes every fourth number of it.
    constexpr int APART = PACK_THREADS / PACK;
    int thread = (int)threadIdx.x, fixed = thread % PACK, moving = thread / PACK;
    int r = ALONG_K ? moving : fixed, kk = ALONG_K ? fixed : moving;
    const T* place = from + (row + r) * along_row + (first_k + kk) * along_k;
    bool inside = ALONG_K ? first_k + kk < k : row + r < rows;
    int left = inside ? (ALONG_K ? rows - (row + r) : k - (first_k + kk)) : 0;
    unsigned short held[PACK / APART];
#pragma unroll
    for (int i = 0; i < PACK / APART; ++i) {
        held[i] = i * APART < left ? place->bits : (unsigned short)0;
        place = advance(place, APART * (ALONG_K ? along_row : along_k));
    }
#pragma unroll
    for (int i = 0; i < PACK / APART; ++i) {
        tile[ALONG_K ? (r + i * APART) * PACK_PITCH + kk : r * PACK_PITCH + kk + i * APART] = held[i];
    }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < PACK * PACK / 8 / PACK_THREADS; ++i) {
        int eight = thread + i * PACK_THREADS, of_row = eight / (PACK / 8), at = eight % (PACK / 8) * 8;
        if (row + of_row >= rows || first_k + at >= pitch) continue;
        unsigned word[4];
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            word[j] = *reinterpret_cast<const unsigned*>(tile + of_row * PACK_PITCH + at + 2 * j);
        }
        store_global<16>(to + (long long)(row + of_row) * pitch + first_k + at, word);
    }
    __syncthreads();
}

// Blocks down the tiles of A's rows, then of B's columns.
extern "C" __global__ void __launch_bounds__(PACK_THREADS, 4)
    pack(Matrix<const T> a, Matrix<const T> b, T* packed, int m, int n, int k, int batch, int pitch) {
    __shared__ __align__(4) unsigned short tile[PACK * PACK_PITCH];
    // The products may start; they wait for what is packed.
    launch_next();
    int first_k = (int)blockIdx.x * PACK, tiles_a = ceil_div(m, PACK), block = (int)blockIdx.y;
    for (int z = (int)blockIdx.z; z < batch; z += (int)gridDim.z) {
        if (block < tiles_a) {
            pack_tile<ALONG_K_A>(tile, a.at(z, 0, 0), a.row_stride, a.col_stride, block * PACK, first_k, m, k,
                                 packed + (long long)z * m * pitch, pitch);
        } else {
            pack_tile<ALONG_K_B>(tile, b.at(z, 0, 0), b.col_stride, b.row_stride, (block - tiles_a) * PACK, first_k, n,
                                 k, packed + ((long long)batch * m + (long long)z * n) * pitch, pitch);
        }
    }
}
