// mma: tensor cores through mma.sync, fed by a pipeline of asynchronous copies.
//
// Idea: a block computes BM x BN outputs, a warp WM x WN of them in instructions of 16 x 8 x 32 bytes.
// cp.async keeps STAGES - 1 tiles of BK steps in flight, zero-filling what lies outside the matrix.
// Tiles keep the order that they have in global memory; ldmatrix, transposing where that order is m or n
// contiguous, turns rows of shared memory into fragments. Rows are padded by 16 bytes, which puts eight of
// them in different banks and leaves every address a base and a constant: an exclusive-or swizzle would
// save the bytes and cost the registers that a 64 x 64 warp tile does not have. A's fragments are read
// one step ahead of their use, B's one pair ahead.
//
// f32 problems in compute mode tf32 use the same path with inputs rounded to nearest on their way from
// shared memory into fragments. ldmatrix cannot transpose 32-bit elements: those fragments are read word
// by word, four rows of eight words over all banks, thanks to 32 bytes of padding.
//
// Operands that no 4-byte copy can fetch (16-bit elements, odd alignment or no contiguous dimension) go
// through registers, right but slower.
//
// Bound: the issue rate of mma.sync on Hopper, about 62 % of what wgmma reaches: near 600 TFLOP/s in
// 16-bit, 300 in tf32. A 64 x 64 warp tile reads 4 KB of fragments for 32 instructions of 4096 flops, 32
// flops a byte: at 128 bytes a clock and SM that feeds 950 TFLOP/s, a 64 x 32 tile 630, a 32 x 32 tile 475.
//
// Run: smith bench gemm --problem m=4096,n=4096,k=4096,dtype=f16,layout=nn --candidate mma

#include "async_copy.cuh"
#include "mma.cuh"
#include "split_k.cuh"

constexpr int WARPS_M = BM / WM;
constexpr int WARPS_N = BN / WN;
constexpr int BLOCK_THREADS = WARPS_M * WARPS_N * 32;
constexpr int PER_CHUNK = 16 / (int)sizeof(T);
constexpr int STEP = 2 * PER_CHUNK;  // k values an instruction consumes: 32 bytes
constexpr int STEPS = BK / STEP;
static_assert(STEPS % 2 == 0, "two sets of fragments take turns, the first one with each tile's first step");
static_assert(STAGES >= 2 && WM % 16 == 0 && WN % 16 == 0, "whole instructions");

// The dimension along which an operand is contiguous: K, its other one (M for A, N for B), or neither.
enum Contiguous { ALONG_K, ALONG_MN, NOWHERE };
constexpr Contiguous A_CONTIGUOUS = A_INNER == 0 ? ALONG_K : A_INNER == 1 ? ALONG_MN : NOWHERE;
constexpr Contiguous B_CONTIGUOUS = B_INNER == 0 ? ALONG_MN : B_INNER == 1 ? ALONG_K : NOWHERE;

// One operand's tile in shared memory: [MN][BK], or [BK][MN] when the operand is contiguous along MN.
template <Contiguous CONTIGUOUS, int VEC, int MN>
struct Tile {
    static constexpr bool TRANSPOSED = CONTIGUOUS == ALONG_MN;
    static constexpr int ROWS = TRANSPOSED ? BK : MN;
    static constexpr int CHUNKS = (TRANSPOSED ? MN : BK) / PER_CHUNK;  // of 16 bytes, a row
    static constexpr int PADDING = TRANSPOSED && sizeof(T) == 4 ? 32 : 16;
    static constexpr int PITCH = CHUNKS * 16 + PADDING;  // bytes from row to row
    static constexpr int BYTES = ROWS * PITCH;
    static_assert(BLOCK_THREADS % CHUNKS == 0, "a thread copies the same chunk of several rows");

    // --- from global to shared memory ---

    static constexpr int ROWS_A_ROUND = BLOCK_THREADS / CHUNKS;
    static constexpr int ROUNDS = (ROWS + ROWS_A_ROUND - 1) / ROWS_A_ROUND;

    const T* source;           // this thread's first element of the next tile
    long long k_stride;        // one step along K
    long long row_stride;      // one row of the tile
    long long element_stride;  // one element of a chunk
    int row, chunk;            // this thread's first row, and its chunk
    int mn_left;               // how much of the matrix follows the tile's origin

    __device__ __forceinline__ void start(const T* origin, long long mn_stride, long long along_k, int mn_remaining) {
        row = (int)threadIdx.x / CHUNKS;
        chunk = (int)threadIdx.x % CHUNKS;
        k_stride = CONTIGUOUS == ALONG_K ? 1 : along_k;
        row_stride = TRANSPOSED ? along_k : mn_stride;
        element_stride = CONTIGUOUS == NOWHERE ? along_k : 1;
        source = origin + (row * row_stride + chunk * PER_CHUNK * element_stride);
        mn_left = mn_remaining;
    }

    // Starts copying the next tile; k_left steps of the sum remain, possibly none.
    __device__ __forceinline__ void copy(unsigned tile, int k_left) {
        int rows_left = TRANSPOSED ? k_left : mn_left;
        int inner_left = (TRANSPOSED ? mn_left : k_left) - chunk * PER_CHUNK;
        const T* from = source;
#pragma unroll
        for (int i = 0; i < ROUNDS; ++i, from = advance(from, ROWS_A_ROUND * row_stride)) {
            int r = row + i * ROWS_A_ROUND;
            if (ROWS % ROWS_A_ROUND != 0 && r >= ROWS) break;
            copy_chunk(tile + r * PITCH + chunk * 16, from, r < rows_left ? inner_left : 0);
        }
        source += BK * k_stride;
    }

    // The first `count` elements of a chunk, zeros after them.
    __device__ __forceinline__ void copy_chunk(unsigned to, const T* from, int count) const {
        constexpr int PIECE = CONTIGUOUS == NOWHERE ? 1 : smaller(VEC, PER_CHUNK);
        constexpr int BYTES_A_PIECE = PIECE * (int)sizeof(T);
        if constexpr (BYTES_A_PIECE >= 4) {
#pragma unroll
            for (int i = 0; i < PER_CHUNK / PIECE; ++i) {
                int valid = min(max(count - i * PIECE, 0), PIECE) * (int)sizeof(T);
                const T* piece = PIECE > 1 ? from + i * PIECE : from + i * element_stride;
                copy_async<BYTES_A_PIECE>(to + i * BYTES_A_PIECE, piece, valid);
            }
        } else {
            Vector<PER_CHUNK> held;
            if (count >= PER_CHUNK) {
                load_pieces<PER_CHUNK, 1, false>(held, from, element_stride);
            } else {
                held.clear();
#pragma unroll
                for (int i = 0; i < PER_CHUNK; ++i) {
                    if (i < count) held.set(i, from[i * element_stride]);
                }
            }
            store_shared_16(to, held.word);
        }
    }

    // --- from shared memory to fragments ---

    // The 16 x STEP block at (mn, step * STEP), as four matrices of 8 rows by half a step. For A they come
    // as the instruction wants them: both rows of the first half, then both of the second. For B the two
    // halves of rows mn .. mn + 7 come first, so that each fragment of B is a pair of adjacent registers.
    template <bool FOR_B>
    __device__ __forceinline__ static void read(unsigned (&r)[4], unsigned tile, int mn, int step, int lane) {
        auto row_of = [](int matrix) { return (FOR_B ? matrix / 2 : matrix % 2) * 8; };
        auto half_of = [](int matrix) { return FOR_B ? matrix % 2 : matrix / 2; };
        int matrix = lane / 8, within = lane % 8;
        if constexpr (!TRANSPOSED) {
            load_matrices(r, tile + (mn + row_of(matrix) + within) * PITCH + (step * 2 + half_of(matrix)) * 16);
        } else if constexpr (sizeof(T) == 2) {
            int at_k = step * STEP + half_of(matrix) * 8 + within;
            load_matrices_transposed(r, tile + at_k * PITCH + (mn + row_of(matrix)) * 2);
        } else {
            int g = lane / 4, t = lane % 4;
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                int at_k = step * STEP + half_of(i) * 4 + t;
                r[i] = load_shared_4(tile + at_k * PITCH + (mn + row_of(i) + g) * 4);
            }
        }
        if constexpr (sizeof(T) == 4) {
#pragma unroll
            for (int i = 0; i < 4; ++i) r[i] = round_to_tf32(r[i]);
        }
    }
};

using TileA = Tile<A_CONTIGUOUS, A_VEC, BM>;
using TileB = Tile<B_CONTIGUOUS, B_VEC, BN>;
constexpr unsigned STAGE_BYTES = TileA::BYTES + TileB::BYTES;
static_assert(BLOCK_THREADS / 32 * 16 * (WN + 8) * 4 <= STAGES * STAGE_BYTES, "outputs pass through the same memory");

// A warp's fragments of one step: all of A's, 16 rows each, and one of B's WN / 16 pairs.
constexpr int ROWS_OF_FRAGMENTS = WM / 16;
constexpr int PAIRS_OF_FRAGMENTS = WN / 16;

__device__ __forceinline__ void read_a(unsigned (&a)[ROWS_OF_FRAGMENTS][4], unsigned stage, int warp_m, int step,
                                       int lane) {
#pragma unroll
    for (int i = 0; i < ROWS_OF_FRAGMENTS; ++i) {
        TileA::read<false>(a[i], stage, warp_m * WM + i * 16, step, lane);
    }
}
__device__ __forceinline__ void read_b(unsigned (&b)[4], unsigned stage, int warp_n, int pair, int step, int lane) {
    TileB::read<true>(b, stage + TileA::BYTES, warp_n * WN + pair * 16, step, lane);
}

// Blocks that run together should share operands: walk the tiles in bands of GROUP rows of tiles, down
// each band's columns.
__device__ __forceinline__ void place_tile(int index, int tiles_m, int tiles_n, int& tile_m, int& tile_n) {
    int band = index / (GROUP * tiles_n);
    int height = smaller((int)GROUP, tiles_m - band * GROUP);
    int within = index - band * GROUP * tiles_n;
    tile_m = band * GROUP + within % height;
    tile_n = within / height;
}

extern "C" __global__ void __launch_bounds__(BLOCK_THREADS, 1)
    gemm(Matrix<const T> a, Matrix<const T> b, Matrix<const T> c, Matrix<T> d, int m, int n, int k, int batch,
         Acc alpha, Acc beta, Epilogue e, Acc* workspace, unsigned* counters) {
    extern __shared__ __align__(128) unsigned char shared_memory[];
    unsigned stages = shared_address(shared_memory);

    int tiles_m = ceil_div(m, BM), tiles_n = ceil_div(n, BN);
    int tile_m, tile_n;
    place_tile((int)blockIdx.x, tiles_m, tiles_n, tile_m, tile_n);
    int row0 = tile_m * BM, col0 = tile_n * BN;

    int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32;
    int warp_m = warp % WARPS_M, warp_n = warp / WARPS_M;

    // This split's share of the sum, in whole steps of BK.
    int split = blockIdx.y;
    int share = ceil_div(ceil_div(k, BK), SPLIT_K) * BK;
    int k_begin = smaller(split * share, k), k_end = smaller(k_begin + share, k);

    for (long long z = blockIdx.z; z < batch; z += gridDim.z) {
        float acc[WM / 16][WN / 8][4] = {};

        TileA tile_a;
        TileB tile_b;
        tile_a.start(a.at(z, row0, k_begin), a.row_stride, a.col_stride, m - row0);
        tile_b.start(b.at(z, k_begin, col0), b.col_stride, b.row_stride, n - col0);
        int k_left = k_end - k_begin;  // of the next tile to copy

        // Past the end of the sum nothing is copied, but the (empty) group counts.
        auto copy_next = [&](unsigned stage) {
            if (k_left > 0) {
                tile_a.copy(stage, k_left);
                tile_b.copy(stage + TileA::BYTES, k_left);
                k_left -= BK;
            }
            copy_async_commit();
        };
#pragma unroll
        for (int s = 0; s < STAGES - 1; ++s) copy_next(stages + s * STAGE_BYTES);
        copy_async_wait<STAGES - 2>();
        __syncthreads();

        // A's fragments are read a step ahead, B's a pair ahead: two sets of each take turns.
        unsigned fragment_a[2][ROWS_OF_FRAGMENTS][4], fragment_b[2][4];
        read_a(fragment_a[0], stages, warp_m, 0, lane);
        read_b(fragment_b[0], stages, warp_n, 0, 0, lane);
        unsigned reading = stages;                               // the stage that is computed with
        unsigned writing = stages + (STAGES - 1) * STAGE_BYTES;  // the stage computed with before it
#pragma unroll 1
        for (int k0 = k_begin; k0 < k_end; k0 += BK) {
#pragma unroll
            for (int step = 0; step < STEPS; ++step) {
#pragma unroll
                for (int pair = 0; pair < PAIRS_OF_FRAGMENTS; ++pair) {
                    bool last_pair = pair == PAIRS_OF_FRAGMENTS - 1;
                    if (last_pair) {
                        if (step == STEPS - 1) {  // this warp has read all of the stage: on to the next
                            writing = reading;
                            reading += STAGE_BYTES;
                            if (reading == stages + STAGES * STAGE_BYTES) reading = stages;
                            copy_async_wait<STAGES - 2>();
                            __syncthreads();
                        }
                        read_a(fragment_a[(step + 1) % 2], reading, warp_m, (step + 1) % STEPS, lane);
                    }
                    int turn = step * PAIRS_OF_FRAGMENTS + pair;
                    read_b(fragment_b[(turn + 1) % 2], reading, warp_n, last_pair ? 0 : pair + 1,
                           last_pair ? (step + 1) % STEPS : step, lane);
                    if (turn == 0) copy_next(writing);
                    unsigned(&now)[4] = fragment_b[turn % 2];
#pragma unroll
                    for (int i = 0; i < ROWS_OF_FRAGMENTS; ++i) {
                        mma_step(acc[i][2 * pair], fragment_a[step % 2][i], now[0], now[1]);
                        mma_step(acc[i][2 * pair + 1], fragment_a[step % 2][i], now[2], now[3]);
                    }
                }
            }
        }
        copy_async_wait<0>();
        __syncthreads();

        if constexpr (SPLIT_K > 1) {
            long long tile = z * tiles_m * tiles_n + tile_m * tiles_n + tile_n;
            auto& flat = reinterpret_cast<float(&)[WM * WN / 32]>(acc);
            if (!sum_splits<WM * WN / 32, BLOCK_THREADS>(flat, workspace, counters, tile, split, SPLIT_K)) continue;
        }
        // A warp's outputs go through its own shared memory, 16 rows at a time.
        constexpr int STRIDE = WN + 8;
        float* block = reinterpret_cast<float*>(shared_memory) + warp * (16 * STRIDE);
        Output out{c, d, e, alpha, beta, m, n};
#pragma unroll
        for (int i = 0; i < WM / 16; ++i) {
            float* at = block + lane / 4 * STRIDE + lane % 4 * 2;
#pragma unroll
            for (int j = 0; j < WN / 8; ++j) {
                *reinterpret_cast<float2*>(at + j * 8) = make_float2(acc[i][j][0], acc[i][j][1]);
                *reinterpret_cast<float2*>(at + j * 8 + 8 * STRIDE) = make_float2(acc[i][j][2], acc[i][j][3]);
            }
            out.store_block<16, WN, STRIDE>(block, z, row0 + warp_m * WM + i * 16, col0 + warp_n * WN, lane);
        }
        __syncthreads();
    }
}
