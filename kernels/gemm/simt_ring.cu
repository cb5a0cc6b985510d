// simt_ring: `simt` whose tiles come by asynchronous copies.
//
// Idea: in `simt` a tile passes through registers, which takes a store for every load, the registers, and a
// barrier that all wait at with nothing to do. Here STAGES tiles lie in a ring in shared memory and up to
// STAGES - 1 of them are under way. An operand that is contiguous along k is turned round by copies of 4 bytes,
// eight along k by four rows a warp: whole sectors on one side, all banks on the other. Fragments are read one
// step ahead, across the barrier too: behind it a warp still has a whole step of multiply-adds in hand. Blocks of 128
// threads fit an SM three times; one's barrier is another's turn.
//
// Bound: the FMA pipe, 132 SMs x 128 lanes x 2 x 1.755 GHz = 59 TFLOP/s. For 64 multiply-adds a thread with
// 8 x 8 outputs issues four 16-byte reads of shared memory, two thirds of a copy and a few instructions for the
// loop: as compiled, 512 of some 600 instructions a step of eight k are multiply-adds, 85 %. With 16 x 8 outputs
// the share is larger, at half the warps.
//
// Run: smith bench gemm --problem m=4096,n=4096,k=4096,dtype=f32,layout=nn --candidate simt_ring

#include "async_copy.cuh"
#include "split_k.cuh"

constexpr int THREADS_M = BM / TM, THREADS_N = BN / TN, BLOCK_THREADS = THREADS_M * THREADS_N;
constexpr int LANES_M = 4, LANES_N = 8;
constexpr int RUN = 4;  // outputs of a thread that lie side by side
static_assert(THREADS_N % LANES_N == 0 && THREADS_M % LANES_M == 0, "a block is made of whole warps");
static_assert(TM % RUN == 0 && TN % RUN == 0 && BK % 8 == 0 && sizeof(T) == 4, "whole runs of f32");
// Blocks that an SM has registers for: a thread needs some 140 with 8 x 8 outputs.
constexpr int BLOCKS = TM * TN < 64 ? smaller(768 / BLOCK_THREADS, 8) : TM == 16 ? 1 : 384 / BLOCK_THREADS;

// A tile of one operand, [BK][PITCH]. LINES: along the rows of the tile, 16 bytes a copy where they allow it;
// else eight of k by four rows of the operand a warp, 4 bytes a copy.
template <bool LINES, int OPERAND_VEC, int MN>
struct Tile {
    static constexpr int VEC = LINES && OPERAND_VEC >= 4 ? 4 : 1;
    static constexpr int PITCH = MN + 4;
    static constexpr int COPIES = MN * BK / VEC, ROUNDS = (COPIES + BLOCK_THREADS - 1) / BLOCK_THREADS;
    static_assert(COPIES >= BLOCK_THREADS ? COPIES % BLOCK_THREADS == 0 : true, "whole rounds");
    // From round to round a thread moves down k, or down the rows and, where these end, on to the next eight of k.
    static constexpr int ROWS_A_ROUND = LINES ? 0 : BLOCK_THREADS / 8;
    static constexpr int ROUNDS_A_COLUMN = LINES ? 1 : smaller(MN / (LINES ? MN : ROWS_A_ROUND), ROUNDS);
    static constexpr int K_A_TURN = LINES ? BLOCK_THREADS / (MN / VEC) : 8;
    static_assert(LINES ? BLOCK_THREADS % (MN / VEC) == 0 || ROUNDS == 1 : MN % ROWS_A_ROUND == 0, "whole columns");

    const T* source;  // this thread's first copy of the next tile
    long long mn_stride, k_stride;
    unsigned place;   // where it goes in a stage
    int mn_left, kk;  // what follows it in the matrix; its place along k

    __device__ __forceinline__ void start(const T* origin, long long along_mn, long long along_k, int mn_remaining) {
        int thread = (int)threadIdx.x;
        int mn = LINES ? thread % (MN / VEC) * VEC : thread / 8;
        kk = LINES ? thread / (MN / VEC) : thread % 8;
        mn_stride = along_mn;
        k_stride = along_k;
        source = origin + (mn * along_mn + kk * along_k);
        place = (kk * PITCH + mn) * 4;
        mn_left = mn_remaining - mn;
        if (COPIES < BLOCK_THREADS && thread >= COPIES) mn_left = 0;
    }

    // The next tile, of which k_left steps remain, to a stage in shared memory. WHOLE tiles need no comparisons.
    template <bool WHOLE>
    __device__ __forceinline__ void copy(unsigned stage, int k_left) {
        const T* from = source;
#pragma unroll
        for (int i = 0; i < ROUNDS; ++i) {
            int down = i % ROUNDS_A_COLUMN * ROWS_A_ROUND, on = i / ROUNDS_A_COLUMN * K_A_TURN;
            int left = kk + on < k_left ? smaller(mn_left - down, VEC) : 0;
            if (COPIES >= BLOCK_THREADS || kk < BK) {
                int bytes = WHOLE ? VEC * 4 : left > 0 ? left * 4 : 0;
                copy_async<VEC * 4>(stage + place + (on * PITCH + down) * 4, from, bytes);
            }
            bool turns = (i + 1) % ROUNDS_A_COLUMN == 0;
            if (i + 1 < ROUNDS) {
                from = advance(from, turns ? K_A_TURN * k_stride - down * mn_stride : ROWS_A_ROUND * mn_stride);
            }
        }
        source += BK * k_stride;
    }
};

using TileA = Tile<A_INNER == 1, A_VEC, BM>;
using TileB = Tile<B_INNER == 0, B_VEC, BN>;
constexpr int FLOATS_A = BK * TileA::PITCH, FLOATS = FLOATS_A + BK * TileB::PITCH;

// COUNT values in runs, the runs DISTANCE apart.
template <int COUNT, int DISTANCE>
__device__ __forceinline__ void read_fragment(float (&fragment)[COUNT], const float* from) {
#pragma unroll
    for (int i = 0; i < COUNT; i += RUN) {
        float4 run = *reinterpret_cast<const float4*>(from + i / RUN * DISTANCE);
        fragment[i] = run.x, fragment[i + 1] = run.y, fragment[i + 2] = run.z, fragment[i + 3] = run.w;
    }
}

extern "C" __global__ void __launch_bounds__(BLOCK_THREADS, BLOCKS)
    gemm(Matrix<const T> a, Matrix<const T> b, Matrix<const T> c, Matrix<T> d, int m, int n, int k, int batch,
         Acc alpha, Acc beta, Epilogue e, Acc* workspace, unsigned* counters) {
    extern __shared__ __align__(16) float shared_floats[];
    unsigned memory = shared_address(shared_floats);

    // Tiles go down the columns of the grid first: neighbours share B's tile and read A's once.
    int tiles_m = ceil_div(m, BM), tiles_n = ceil_div(n, BN);
    int row0 = (int)blockIdx.x % tiles_m * BM, col0 = (int)blockIdx.x / tiles_m * BN;

    int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32;
    int thread_m = warp / (THREADS_N / LANES_N) * LANES_M + lane / LANES_N;
    int thread_n = warp % (THREADS_N / LANES_N) * LANES_N + lane % LANES_N;

    // This split's share of the sum, in whole tiles.
    int split = blockIdx.y;
    int share = ceil_div(ceil_div(k, BK), SPLIT_K) * BK;
    int k_begin = smaller(split * share, k), k_end = smaller(k_begin + share, k);

    for (long long z = blockIdx.z; z < batch; z += gridDim.z) {
        TileA tile_a;
        TileB tile_b;
        tile_a.start(a.at(z, row0, k_begin), a.row_stride, a.col_stride, m - row0);
        tile_b.start(b.at(z, k_begin, col0), b.col_stride, b.row_stride, n - col0);
        bool whole = row0 + BM <= m && col0 + BN <= n;
        // The tile of which k_left steps remain, to a stage.
        auto copy = [&](int stage, int k_left) {
            if (k_left > 0) {
                unsigned to = memory + stage * (FLOATS * 4);
                if (whole && k_left >= BK) {
                    tile_a.template copy<true>(to, k_left);
                    tile_b.template copy<true>(to + FLOATS_A * 4, k_left);
                } else {
                    tile_a.template copy<false>(to, k_left);
                    tile_b.template copy<false>(to + FLOATS_A * 4, k_left);
                }
            }
            copy_async_commit();
        };
        float acc[TM][TN] = {};
        float fragment_a[2][TM], fragment_b[2][TN];
        auto read = [&](int which, int stage, int p) {
            const float* from = shared_floats + stage * FLOATS;
            read_fragment<TM, THREADS_M * RUN>(fragment_a[which], from + p * TileA::PITCH + thread_m * RUN);
            read_fragment<TN, THREADS_N * RUN>(fragment_b[which], from + FLOATS_A + p * TileB::PITCH + thread_n * RUN);
        };
        constexpr int AHEAD = (STAGES - 1) * BK;
        int k_left = k_end - k_begin;
#pragma unroll
        for (int s = 0; s < STAGES - 1; ++s) copy(s, k_left - s * BK);
        copy_async_wait<STAGES - 2>();
        __syncthreads();
        int stage = 0;
        read(0, 0, 0);

#pragma unroll 1
        for (; k_left > 0; k_left -= BK) {
            // Into the stage that the tile before was read from: nobody reads it since the barrier.
            copy(stage == 0 ? STAGES - 1 : stage - 1, k_left - AHEAD);
#pragma unroll
            for (int p = 0; p < BK; ++p) {
                if (p == BK - 1) {
                    // The next tile is here, and this one has been read by all.
                    copy_async_wait<STAGES - 2>();
                    __syncthreads();
                    stage = stage + 1 == STAGES ? 0 : stage + 1;
                }
                // Behind the last tile this reads what nobody needs.
                read((p + 1) % 2, stage, (p + 1) % BK);
#pragma unroll
                for (int i = 0; i < TM; ++i) {
#pragma unroll
                    for (int j = 0; j < TN; ++j) acc[i][j] = fmaf(fragment_a[p % 2][i], fragment_b[p % 2][j], acc[i][j]);
                }
            }
        }
        copy_async_wait<0>();
        __syncthreads();

        if constexpr (SPLIT_K > 1) {
            long long place = z * tiles_m * tiles_n + blockIdx.x;
            auto& flat = reinterpret_cast<Acc(&)[TM * TN]>(acc);
            if (!sum_splits<TM * TN, BLOCK_THREADS>(flat, workspace, counters, place, split, SPLIT_K)) continue;
        }
        // A warp's outputs are blocks of runs; each goes through the warp's own shared memory.
        constexpr int ROWS = LANES_M * RUN, COLS = LANES_N * RUN, STRIDE = COLS + 4;
        float* block = shared_floats + warp * (ROWS * STRIDE);
        Output out{c, d, e, alpha, beta, m, n};
#pragma unroll
        for (int i = 0; i < TM / RUN; ++i) {
#pragma unroll
            for (int j = 0; j < TN / RUN; ++j) {
#pragma unroll
                for (int p = 0; p < RUN; ++p) {
#pragma unroll
                    for (int q = 0; q < RUN; ++q) {
                        block[(lane / LANES_N * RUN + p) * STRIDE + lane % LANES_N * RUN + q] = acc[i * RUN + p][j * RUN + q];
                    }
                }
                out.store_block<ROWS, COLS, STRIDE>(
                    block, z, row0 + i * THREADS_M * RUN + warp / (THREADS_N / LANES_N) * ROWS,
                    col0 + j * THREADS_N * RUN + warp % (THREADS_N / LANES_N) * COLS, lane);
            }
        }
        __syncthreads();
    }
}
