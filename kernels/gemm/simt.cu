// simt: register tiles on the ordinary cores.
//
// Idea: a block computes BM x BN outputs, a thread TM x TN of them. The tiles of A and B for BK steps of
// the sum lie in shared memory, in Acc and with m and n contiguous, so that a thread reads its fragments
// with 16-byte loads and spends TM * TN multiply-adds on TM + TN values. While one tile is computed
// with, the next is on its way from global memory to registers and then into the other half of shared
// memory: one barrier a tile.
//
// A warp is 8 threads along n and 4 along m: its fragment loads touch 128 and 64 bytes, no bank twice.
// A thread's outputs are runs of RUN values that lie a whole block's width of threads apart, for the
// same reason.
//
// Bound: the FMA pipe, 132 SMs x 128 lanes x 2 x 1.755 GHz = 59 TFLOP/s in f32 (half of it in f64). A
// warp with TM = TN = 8 reads four times 64 to 128 bytes for 64 multiply-adds, so shared memory is busy at
// most every other clock; 16 x 8 outputs a thread read a quarter less, at half the warps an SM.
//
// Run: smith bench gemm --problem m=4096,n=4096,k=4096,dtype=f32,layout=nn --candidate simt

#include "split_k.cuh"

constexpr int THREADS_M = BM / TM;
constexpr int THREADS_N = BN / TN;
constexpr int BLOCK_THREADS = THREADS_M * THREADS_N;
constexpr int LANES_N = 8;
constexpr int LANES_M = 4;
static_assert(THREADS_N % LANES_N == 0 && THREADS_M % LANES_M == 0, "a block is made of whole warps");

constexpr int WIDE = 16 / (int)sizeof(Acc);
constexpr int RUN_M = smaller(TM, WIDE);
constexpr int RUN_N = smaller(TN, WIDE);

// The dimension along which an operand is contiguous: K, its other one (M for A, N for B), or neither.
enum Contiguous { ALONG_K, ALONG_MN, NOWHERE };
constexpr Contiguous A_CONTIGUOUS = A_INNER == 0 ? ALONG_K : A_INNER == 1 ? ALONG_MN : NOWHERE;
constexpr Contiguous B_CONTIGUOUS = B_INNER == 0 ? ALONG_MN : B_INNER == 1 ? ALONG_K : NOWHERE;

// Moves an MN x BK tile of one operand from global memory to registers (fetch) and on to shared memory
// (stash), where it lies as [BK][STRIDE].
template <Contiguous CONTIGUOUS, int OPERAND_VEC, int MN>
struct Mover {
    static constexpr int INNER = CONTIGUOUS == ALONG_MN ? MN : BK;
    static constexpr int VEC = smaller(OPERAND_VEC, smaller(INNER, 16 / (int)sizeof(T)));
    static constexpr int VECTORS = MN * BK / VEC;
    static constexpr int ROUNDS = (VECTORS + BLOCK_THREADS - 1) / BLOCK_THREADS;
    // One run of padding where a thread writes down a column: it moves neighbours to other banks.
    static constexpr int STRIDE = MN + (CONTIGUOUS == ALONG_MN ? 0 : WIDE);

    Vector<VEC> held[ROUNDS];

    // A thread moves the vectors at the same inner place of every OUTER_A_ROUND-th row or column.
    static constexpr int OUTER_A_ROUND = BLOCK_THREADS / (INNER / VEC);
    static_assert(BLOCK_THREADS % (INNER / VEC) == 0, "whole rows or columns a round");

    const T* source;  // this thread's first vector of the next tile
    long long round_stride, k_stride;
    int inner, outer;
    int mn_left;  // how much of the matrix follows the tile's origin

    __device__ __forceinline__ void start(const T* origin, long long mn_stride, long long along_k, int mn_remaining) {
        inner = (int)threadIdx.x % (INNER / VEC) * VEC;
        outer = (int)threadIdx.x / (INNER / VEC);
        long long outer_stride = CONTIGUOUS == ALONG_MN ? along_k : mn_stride;
        long long inner_stride = CONTIGUOUS == NOWHERE ? along_k : 1;
        source = origin + (outer * outer_stride + inner * inner_stride);
        round_stride = OUTER_A_ROUND * outer_stride;
        k_stride = CONTIGUOUS == ALONG_K ? 1 : along_k;
        mn_left = mn_remaining;
    }

    __device__ __forceinline__ bool idle(int round) const {
        return VECTORS % BLOCK_THREADS != 0 && outer + round * OUTER_A_ROUND >= MN * BK / INNER;
    }

    // The next tile; k_left steps of the sum remain.
    __device__ __forceinline__ void fetch(int k_left) {
        int outer_left = CONTIGUOUS == ALONG_MN ? k_left : mn_left;
        int inner_left = (CONTIGUOUS == ALONG_MN ? mn_left : k_left) - inner;
        const T* p = source;
#pragma unroll
        for (int i = 0; i < ROUNDS; ++i, p = advance(p, round_stride)) {
            if (idle(i)) continue;
            int count = outer + i * OUTER_A_ROUND < outer_left ? inner_left : 0;
            held[i].clear();
            if (count >= VEC) {
                load_pieces<VEC, VEC, false>(held[i], p, 0);
            } else if (VEC > 1) {
#pragma unroll
                for (int j = 0; j < VEC; ++j) {
                    if (j < count) held[i].set(j, p[j]);
                }
            }
        }
        source += BK * k_stride;
    }

    __device__ __forceinline__ void stash(Acc* tile) const {
#pragma unroll
        for (int i = 0; i < ROUNDS; ++i) {
            if (idle(i)) continue;
            if constexpr (CONTIGUOUS == ALONG_MN) {
                constexpr int RUN = smaller(VEC, WIDE);
#pragma unroll
                for (int j = 0; j < VEC; j += RUN) {
                    struct alignas(RUN * sizeof(Acc)) Run {
                        Acc value[RUN];
                    } run;
#pragma unroll
                    for (int h = 0; h < RUN; ++h) run.value[h] = held[i].get(j + h);
                    *reinterpret_cast<Run*>(tile + (outer + i * OUTER_A_ROUND) * STRIDE + inner + j) = run;
                }
            } else {
#pragma unroll
                for (int j = 0; j < VEC; ++j) tile[(inner + j) * STRIDE + outer + i * OUTER_A_ROUND] = held[i].get(j);
            }
        }
    }
};

using MoverA = Mover<A_CONTIGUOUS, A_VEC, BM>;
using MoverB = Mover<B_CONTIGUOUS, B_VEC, BN>;
constexpr int TILE_A = BK * MoverA::STRIDE;
constexpr int TILE_B = BK * MoverB::STRIDE;

// COUNT values in runs of RUN, the runs DISTANCE apart.
template <int COUNT, int RUN, int DISTANCE>
__device__ __forceinline__ void read_fragment(Acc (&fragment)[COUNT], const Acc* from) {
    struct alignas(RUN * sizeof(Acc)) Run {
        Acc value[RUN];
    };
#pragma unroll
    for (int i = 0; i < COUNT; i += RUN) {
        Run run = *reinterpret_cast<const Run*>(from + i / RUN * DISTANCE);
#pragma unroll
        for (int j = 0; j < RUN; ++j) fragment[i + j] = run.value[j];
    }
}

extern "C" __global__ void __launch_bounds__(BLOCK_THREADS, 1)
    gemm(Matrix<const T> a, Matrix<const T> b, Matrix<const T> c, Matrix<T> d, int m, int n, int k, int batch,
         Acc alpha, Acc beta, Epilogue e, Acc* workspace, unsigned* counters) {
    extern __shared__ __align__(16) unsigned char shared_memory[];
    Acc* tiles_a = reinterpret_cast<Acc*>(shared_memory);
    Acc* tiles_b = tiles_a + 2 * TILE_A;

    // Tiles go down the columns of the grid first: neighbours share B's tile and read A's once.
    int tiles_m = ceil_div(m, BM), tiles_n = ceil_div(n, BN);
    int row0 = (int)blockIdx.x % tiles_m * BM;
    int col0 = (int)blockIdx.x / tiles_m * BN;

    int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32;
    int thread_m = warp / (THREADS_N / LANES_N) * LANES_M + lane / LANES_N;
    int thread_n = warp % (THREADS_N / LANES_N) * LANES_N + lane % LANES_N;

    // This split's share of the sum, in whole steps of BK.
    int split = blockIdx.y;
    int share = ceil_div(ceil_div(k, BK), SPLIT_K) * BK;
    int k_begin = smaller(split * share, k), k_end = smaller(k_begin + share, k);

    for (long long z = blockIdx.z; z < batch; z += gridDim.z) {
        MoverA move_a;
        MoverB move_b;
        Acc acc[TM / RUN_M][TN / RUN_N][RUN_M][RUN_N] = {};

        move_a.start(a.at(z, row0, k_begin), a.row_stride, a.col_stride, m - row0);
        move_b.start(b.at(z, k_begin, col0), b.col_stride, b.row_stride, n - col0);
        auto fetch = [&](int k0) {
            move_a.fetch(k_end - k0);
            move_b.fetch(k_end - k0);
        };
        if (k_begin < k_end) {
            fetch(k_begin);
            move_a.stash(tiles_a);
            move_b.stash(tiles_b);
        }
        __syncthreads();

        int half = 0;
#pragma unroll 1
        for (int k0 = k_begin; k0 < k_end; k0 += BK) {
            bool more = k0 + BK < k_end;
            if (more) fetch(k0 + BK);

            const Acc* from_a = tiles_a + half * TILE_A + thread_m * RUN_M;
            const Acc* from_b = tiles_b + half * TILE_B + thread_n * RUN_N;
#pragma unroll
            for (int p = 0; p < BK; ++p) {
                Acc fragment_a[TM], fragment_b[TN];
                read_fragment<TM, RUN_M, THREADS_M * RUN_M>(fragment_a, from_a + p * MoverA::STRIDE);
                read_fragment<TN, RUN_N, THREADS_N * RUN_N>(fragment_b, from_b + p * MoverB::STRIDE);
#pragma unroll
                for (int i = 0; i < TM; ++i) {
#pragma unroll
                    for (int j = 0; j < TN; ++j) {
                        acc[i / RUN_M][j / RUN_N][i % RUN_M][j % RUN_N] += fragment_a[i] * fragment_b[j];
                    }
                }
            }

            half ^= 1;
            if (more) {
                move_a.stash(tiles_a + half * TILE_A);
                move_b.stash(tiles_b + half * TILE_B);
            }
            __syncthreads();
        }

        if constexpr (SPLIT_K > 1) {
            long long tile = z * tiles_m * tiles_n + blockIdx.x;
            auto& flat = reinterpret_cast<Acc(&)[TM * TN]>(acc);
            if (!sum_splits<TM * TN, BLOCK_THREADS>(flat, workspace, counters, tile, split, SPLIT_K)) continue;
        }
        // A warp's outputs are blocks of RUN_M x RUN_N runs; each goes through the warp's own shared memory.
        constexpr int ROWS = LANES_M * RUN_M, COLS = LANES_N * RUN_N, STRIDE = COLS + WIDE;
        Acc* block = tiles_a + warp * (ROWS * STRIDE);
        Output out{c, d, e, alpha, beta, m, n};
#pragma unroll
        for (int i = 0; i < TM / RUN_M; ++i) {
#pragma unroll
            for (int j = 0; j < TN / RUN_N; ++j) {
#pragma unroll
                for (int p = 0; p < RUN_M; ++p) {
#pragma unroll
                    for (int q = 0; q < RUN_N; ++q) {
                        block[(lane / LANES_N * RUN_M + p) * STRIDE + lane % LANES_N * RUN_N + q] = acc[i][j][p][q];
                    }
                }
                out.store_block<ROWS, COLS, STRIDE>(
                    block, z, row0 + i * THREADS_M * RUN_M + warp / (THREADS_N / LANES_N) * ROWS,
                    col0 + j * THREADS_N * RUN_N + warp % (THREADS_N / LANES_N) * COLS, lane);
            }
        }
        __syncthreads();
    }
}
