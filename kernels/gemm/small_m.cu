// small_m: products with at most eight rows of A, the linear layers of decoding.
//
// Idea: every weight is used m times and then never again, so the kernel is a stream of B. Each thread
// issues all of its 16-byte loads (UNROLL of them for each of ROWS columns of B) before the first
// multiply-add, bypassing L1, which keeps A. Sums stay in Acc.
//
// B contiguous along k (weights stored n x k, "nt"): LANES lanes share ROWS columns and walk along k;
// shuffles add up the lanes. B contiguous along n ("nn"): LANES lanes lie side by side along n with one
// vector of columns each, the others take other values of k. Either way WARPS_K warps of a block, and
// SPLIT_K blocks, share one sum: it takes enough warps to keep 25 KB a SM in flight, however small n is.
//
// MT >= m is the number of accumulators a column: one kernel serves m = MT/2 + 1 ... MT.
//
// Bound: HBM, n * k * sizeof(T) / 4.3 TB/s; 9728 x 896 in f16 is 17.4 MB, 4.05 us, and launch and drain add
// about 1.5. At m = 8 the FMA pipe comes close: 10 weights a clock and SM times (8 FMA + conversions).
//
// Run: smith bench gemm --problem m=1,n=9728,k=896,dtype=f16,layout=nt --candidate small_m

#include "split_k.cuh"

constexpr int BLOCK_THREADS = WARPS * 32;
constexpr int GROUPS = 32 / LANES;            // groups of lanes in a warp
constexpr int WARPS_N = WARPS / WARPS_K;      // warps side by side along n
constexpr bool ALONG_N = B_INNER == 0;
constexpr int CHUNK = 16 / (int)sizeof(T);    // weights in a load, along k
constexpr int WARP_COLS = ALONG_N ? LANES * (int)B_VEC : GROUPS * ROWS;
constexpr int BLOCK_COLS = WARPS_N * WARP_COLS;
constexpr int BLOCK_OUTPUTS = MT * BLOCK_COLS;
static_assert(WARPS % WARPS_K == 0 && 32 % LANES == 0 && LANES >= CHUNK, "whole warps and groups");

// One warp's sums, over its share of k, for the columns of its lanes.
struct Streams {
    const T* a;  // row 0 of this batch entry
    long long a_row, a_col;
    const T* b;
    long long b_row, b_col;
    int m, n, k;
    int share, shares;  // this warp's share of k, of how many

    // acc[r][i]: column col + r, row i. The lanes of a group hold parts of the sum.
    __device__ __forceinline__ void along_k(Acc (&acc)[ROWS][MT], int col, int lane) const {
        constexpr int VEC_A = A_INNER == 0 ? smaller((int)A_VEC, CHUNK) : 1;
        constexpr int VEC_B = B_INNER == 1 ? smaller((int)B_VEC, CHUNK) : 1;
        constexpr bool AHEAD = MT * UNROLL <= 8;  // room for all of A's vectors at once
        const long long a_step = A_INNER == 0 ? 1 : a_col, b_step = B_INNER == 1 ? 1 : b_row;
        int in_group = lane % LANES;
        int chunks = k / CHUNK;

        const T* column[ROWS];
#pragma unroll
        for (int r = 0; r < ROWS; ++r) column[r] = b + (long long)(col + r) * b_col;

        for (int first = share * (UNROLL * LANES); first < chunks; first += shares * (UNROLL * LANES)) {
            Vector<CHUNK> weight[UNROLL][ROWS], input[AHEAD ? UNROLL : 1][MT];
#pragma unroll
            for (int u = 0; u < UNROLL; ++u) {
                int chunk = first + u * LANES + in_group;
#pragma unroll
                for (int r = 0; r < ROWS; ++r) {
                    weight[u][r].clear();
                    if (chunk < chunks && col + r < n) {
                        load_pieces<CHUNK, VEC_B, true>(weight[u][r], column[r] + chunk * CHUNK * b_step, b_step);
                    }
                }
            }
            auto load_input = [&](int u) {
                int chunk = first + u * LANES + in_group;
#pragma unroll
                for (int i = 0; i < MT; ++i) {
                    Vector<CHUNK>& x = input[AHEAD ? u : 0][i];
                    x.clear();
                    if (chunk < chunks && i < m) {
                        load_pieces<CHUNK, VEC_A, false>(x, a + (i * a_row + chunk * CHUNK * a_step), a_step);
                    }
                }
            };
            if constexpr (AHEAD) {
#pragma unroll
                for (int u = 0; u < UNROLL; ++u) load_input(u);
            }
#pragma unroll
            for (int u = 0; u < UNROLL; ++u) {
                if constexpr (!AHEAD) load_input(u);
#pragma unroll
                for (int j = 0; j < CHUNK; ++j) {
                    Acc w[ROWS];
#pragma unroll
                    for (int r = 0; r < ROWS; ++r) w[r] = weight[u][r].get(j);
#pragma unroll
                    for (int i = 0; i < MT; ++i) {
                        Acc x = input[AHEAD ? u : 0][i].get(j);
#pragma unroll
                        for (int r = 0; r < ROWS; ++r) acc[r][i] += w[r] * x;
                    }
                }
            }
        }

        // The k % CHUNK values that fill no vector: a lane each.
        int p = chunks * CHUNK + in_group;
        if (share == 0 && p < k) {
#pragma unroll
            for (int r = 0; r < ROWS; ++r) {
                if (col + r >= n) break;
                Acc w = to_acc(column[r][p * b_row]);
#pragma unroll
                for (int i = 0; i < MT; ++i) {
                    if (i < m) acc[r][i] += w * to_acc(a[i * a_row + p * a_col]);
                }
            }
        }
#pragma unroll
        for (int r = 0; r < ROWS; ++r) {
#pragma unroll
            for (int i = 0; i < MT; ++i) {
#pragma unroll
                for (int distance = LANES / 2; distance > 0; distance /= 2) {
                    acc[r][i] += __shfl_xor_sync(0xffffffffu, acc[r][i], distance);
                }
            }
        }
    }

    // acc[j][i]: column col + j, row i, for the B_VEC columns of this lane. The lanes LANES apart hold
    // parts of the sum.
    __device__ __forceinline__ void along_n(Acc (&acc)[B_VEC][MT], int col, int lane) const {
        constexpr int VEC = (int)B_VEC;
        int columns = n - col;
        const T* from = b + col;
        for (int first = (share * GROUPS + lane / LANES) * UNROLL; first < k; first += shares * (GROUPS * UNROLL)) {
            Vector<VEC> weight[UNROLL];
#pragma unroll
            for (int u = 0; u < UNROLL; ++u) {
                const T* p = from + (first + u) * b_row;
                weight[u].clear();
                if (first + u < k) {
                    if (columns >= VEC) {
                        load_pieces<VEC, VEC, true>(weight[u], p, 1);
                    } else {
#pragma unroll
                        for (int j = 0; j < VEC; ++j) {
                            if (j < columns) weight[u].set(j, p[j]);
                        }
                    }
                }
            }
#pragma unroll
            for (int u = 0; u < UNROLL; ++u) {
#pragma unroll
                for (int i = 0; i < MT; ++i) {
                    Acc x = i < m && first + u < k ? to_acc(a[i * a_row + (first + u) * a_col]) : Acc(0);
#pragma unroll
                    for (int j = 0; j < VEC; ++j) acc[j][i] += weight[u].get(j) * x;
                }
            }
        }
#pragma unroll
        for (int j = 0; j < VEC; ++j) {
#pragma unroll
            for (int i = 0; i < MT; ++i) {
#pragma unroll
                for (int distance = 16; distance >= LANES; distance /= 2) {
                    acc[j][i] += __shfl_xor_sync(0xffffffffu, acc[j][i], distance);
                }
            }
        }
    }
};

extern "C" __global__ void __launch_bounds__(BLOCK_THREADS, 1)
    gemm(Matrix<const T> a, Matrix<const T> b, Matrix<const T> c, Matrix<T> d, int m, int n, int k, int batch,
         Acc alpha, Acc beta, Epilogue e, Acc* workspace, unsigned* counters) {
    __shared__ Acc partial[WARPS_K][MT][BLOCK_COLS];

    int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32;
    int warp_k = warp % WARPS_K, warp_n = warp / WARPS_K;
    int col0 = (int)blockIdx.x * BLOCK_COLS;
    int split = blockIdx.y;

    for (long long z = blockIdx.z; z < batch; z += gridDim.z) {
        Streams streams{a.at(z, 0, 0), a.row_stride, a.col_stride, b.at(z, 0, 0), b.row_stride, b.col_stride,
                        m, n, k, split * WARPS_K + warp_k, SPLIT_K * WARPS_K};
        if constexpr (ALONG_N) {
            Acc acc[B_VEC][MT] = {};
            int first = warp_n * WARP_COLS + lane % LANES * (int)B_VEC;
            streams.along_n(acc, col0 + first, lane);
            if (lane < LANES) {
#pragma unroll
                for (int j = 0; j < (int)B_VEC; ++j) {
#pragma unroll
                    for (int i = 0; i < MT; ++i) partial[warp_k][i][first + j] = acc[j][i];
                }
            }
        } else {
            Acc acc[ROWS][MT] = {};
            int first = warp_n * WARP_COLS + lane / LANES * ROWS;
            streams.along_k(acc, col0 + first, lane);
            if (lane % LANES == 0) {
#pragma unroll
                for (int r = 0; r < ROWS; ++r) {
#pragma unroll
                    for (int i = 0; i < MT; ++i) partial[warp_k][i][first + r] = acc[r][i];
                }
            }
        }
        __syncthreads();

        // From here on a thread owns outputs: first the block's warps, then the blocks, in fixed order.
        auto block_sum = [&](int output) {
            Acc sum = partial[0][output / BLOCK_COLS][output % BLOCK_COLS];
#pragma unroll
            for (int w = 1; w < WARPS_K; ++w) sum += partial[w][output / BLOCK_COLS][output % BLOCK_COLS];
            return sum;
        };
        auto store = [&](int output, Acc sum) {
            int row = output / BLOCK_COLS, col = col0 + output % BLOCK_COLS;
            if (row < m && col < n) *d.at(z, row, col) = from_acc(finish(sum, alpha, beta, c, e, z, row, col));
        };
        if constexpr (SPLIT_K == 1) {
            for (int o = threadIdx.x; o < BLOCK_OUTPUTS; o += BLOCK_THREADS) store(o, block_sum(o));
        } else {
            long long tile = z * gridDim.x + blockIdx.x;
            Acc* sums = workspace + tile * (SPLIT_K * BLOCK_OUTPUTS);
            for (int o = threadIdx.x; o < BLOCK_OUTPUTS; o += BLOCK_THREADS) {
                sums[split * BLOCK_OUTPUTS + o] = block_sum(o);
            }
            if (arrive_last(counters + tile, SPLIT_K)) {
                for (int o = threadIdx.x; o < BLOCK_OUTPUTS; o += BLOCK_THREADS) {
                    Acc sum = 0;
#pragma unroll
                    for (int s = 0; s < SPLIT_K; ++s) sum += load_shared_by_blocks(sums + s * BLOCK_OUTPUTS + o);
                    store(o, sum);
                }
            }
        }
        __syncthreads();
    }
}
