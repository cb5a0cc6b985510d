// wgmma_f32x3: f32 products, as accurate as f32 arithmetic makes them, on matrix units that know bf16.
//
// Idea: an f32 number is the exact sum of three bf16 ones, high + middle + low. Of the nine products of parts
// three are below f32's last bit; the other six are sums of exact products. Two launches:
//
//   split: reads A and B in any layout and writes their parts, rows along k, a step of 32 k after the other,
//   swizzled the way matrix units want them and filled up with zeros to whole tiles.
//   gemm: persistent blocks of one producer and two warpgroups that multiply, like `wgmma`. A stage is
//   a step of both operands, three parts each, that arrive by plain bulk copies: no descriptors, no tails.
//
// Matrix units cut their sums off instead of rounding them, and a sum of thousands of numbers that were all
// cut off drifts. So the six products of a step start from zero, the small ones first, and a step's sum is
// added to the total in registers, rounded as ever. One warpgroup adds while another one multiplies.
//
// Infinities have no parts, and numbers within 2^-8 of f32's largest round up to one. Either shows as a sum
// that is not finite: those few outputs are computed again with ordinary multiply-adds from A and B.
//
// CLUSTER_M x CLUSTER_N blocks share an operand, tiles are walked in bands of GROUP rows, as in `wgmma`.
// INLINE 1: outputs go in pairs straight from registers, epilogue spelt out; 0: in a rolled loop, any D.
//
// Bound: six bf16 products, 165 TFLOP/s at 1.83 GHz; power leaves 110 to 130. cuBLAS's f32 has 59 as its roof.
// A step of 128 x 128 takes 1536 clocks of the matrix units and 48 KB, 32 bytes a clock and SM from L2; shared
// memory gives 96 bytes a clock to the instructions and takes 32. The split moves ten bytes an element.
//
// Run: smith bench gemm --problem m=4096,n=4096,k=4096,dtype=f32,compute=f32x3 --candidate wgmma_f32x3

// The parts are bf16 and lie along k, whatever A and B are: so the instructions' types are those.
#define DTYPE_BF16 1
constexpr bool A_ALONG_K = A_INNER != 1, B_ALONG_K = B_INNER != 0;
#undef A_INNER
#undef B_INNER
#define A_INNER 0
#define B_INNER 1
#include "bf16_parts.cuh"
#include "bulk_copy.cuh"
#include "hopper.cuh"
#include "wgmma.cuh"

// --- split ---

constexpr int SPLIT_ROWS = 64, SPLIT_K = 2 * PART_STEP, SPLIT_THREADS = 256;

// 64 rows by 64 of k of one operand; `along_row` and `along_k` are strides. Outside of the operand are zeros.
template <bool ALONG_K>
__device__ __forceinline__ void split_tile(float (&tile)[SPLIT_ROWS][SPLIT_K + 1], const T* from, long long along_row,
                                           long long along_k, int row, int first_k, int rows, int k,
                                           unsigned char* parts, int padded_rows, int steps) {
    // A thread stays in one column along k, or in one row, and takes every fourth number of it.
    constexpr int APART = SPLIT_THREADS / SPLIT_K;
    static_assert(SPLIT_ROWS == SPLIT_K, "a tile is square");
    int thread = (int)threadIdx.x, fixed = thread % SPLIT_K, moving = thread / SPLIT_K;
    int r = ALONG_K ? moving : fixed, kk = ALONG_K ? fixed : moving;
    const T* place = from + (row + r) * along_row + (first_k + kk) * along_k;
    bool inside = ALONG_K ? first_k + kk < k : row + r < rows;
    int left = inside ? (ALONG_K ? rows - (row + r) : k - (first_k + kk)) : 0;
#pragma unroll
    for (int i = 0; i < SPLIT_K / APART; ++i) {
        float x = i * APART < left ? *place : 0.0f;
        (ALONG_K ? tile[r + i * APART][kk] : tile[r][kk + i * APART]) = x;
        place = advance(place, APART * (ALONG_K ? along_row : along_k));
    }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < 2; ++i) {
        int step = first_k / PART_STEP + i, row_of_tile = thread / 4, eighth = thread % 4;
        if (step >= steps) break;
        float x[8];
#pragma unroll
        for (int j = 0; j < 8; ++j) x[j] = tile[row_of_tile][i * PART_STEP + eighth * 8 + j];
#pragma unroll
        for (int part = 0; part < PARTS; ++part) {
            unsigned word[4];
#pragma unroll
            for (int j = 0; j < 4; ++j) word[j] = take_part(x[2 * j], x[2 * j + 1]);
            store_global<16>(parts + part_place(step, part, padded_rows, row + row_of_tile, eighth), word);
        }
    }
    __syncthreads();
}

extern "C" __global__ void __launch_bounds__(SPLIT_THREADS, 4)
    split(Matrix<const T> a, Matrix<const T> b, unsigned char* parts, int m, int n, int k, int batch, int rows_a,
          int rows_b) {
    __shared__ float tile[SPLIT_ROWS][SPLIT_K + 1];
    // The products may start; they wait for the parts.
    launch_next();
    int steps = ceil_div(k, PART_STEP), row = (int)blockIdx.y * SPLIT_ROWS, first_k = (int)blockIdx.x * SPLIT_K;
    long long bytes_a = (long long)steps * PARTS * rows_a * 64, bytes_b = (long long)steps * PARTS * rows_b * 64;
    for (int z = (int)blockIdx.z; z < batch; z += (int)gridDim.z) {
        if (row < rows_a) {
            split_tile<A_ALONG_K>(tile, a.at(z, 0, 0), a.row_stride, a.col_stride, row, first_k, m, k,
                                  parts + z * bytes_a, rows_a, steps);
        } else {
            split_tile<B_ALONG_K>(tile, b.at(z, 0, 0), b.col_stride, b.row_stride, row - rows_a, first_k, n, k,
                                  parts + batch * bytes_a + z * bytes_b, rows_b, steps);
        }
    }
}

// --- the shape of a block ---

constexpr int CONSUMERS = BM / 64;  // warpgroups that multiply, 64 rows each
constexpr int BLOCK_THREADS = 128 * (1 + CONSUMERS);
constexpr int SUMS = BN / 2;        // registers of a thread, twice
constexpr int CLUSTER = CLUSTER_M * CLUSTER_N;
static_assert(CONSUMERS == 2 && BN % 32 == 0 && BN <= 192, "sums stay in registers");

constexpr int PRODUCER_REGISTERS = 40, CONSUMER_REGISTERS = 232;

// --- shared memory: the ring, a strip of outputs for each warp, barriers ---

constexpr unsigned PART_A = BM * 64, PART_B = BN * 64, BYTES_A = PARTS * PART_A, STAGE_BYTES = PARTS * (PART_A + PART_B);
constexpr int STRIP = 32, STRIP_STRIDE = STRIP + 8, STRIP_FLOATS = 16 * STRIP_STRIDE;
constexpr unsigned STRIPS_AT = STAGES * STAGE_BYTES;
constexpr unsigned BARRIERS_AT = STRIPS_AT + CONSUMERS * 4 * STRIP_FLOATS * 4;

__device__ __forceinline__ unsigned filled(unsigned memory, int stage) { return memory + BARRIERS_AT + stage * 8; }
__device__ __forceinline__ unsigned freed(unsigned memory, int stage) {
    return memory + BARRIERS_AT + (STAGES + stage) * 8;
}

// Where along the ring a warpgroup is.
struct Ring {
    int stage = 0;
    unsigned phase = 0;

    __device__ __forceinline__ void advance() {
        if (++stage == STAGES) {
            stage = 0;
            phase ^= 1;
        }
    }
};

// --- tiles ---

struct Tile {
    int row, col, z;
};

struct Tiles {
    int down, across, count;  // of clusters
    int row_rank, col_rank;   // this block's place in its cluster

    __device__ __forceinline__ Tiles(int m, int n, int batch, unsigned rank) {
        down = ceil_div(m, BM * CLUSTER_M);
        across = ceil_div(n, BN * CLUSTER_N);
        count = down * across * batch;
        row_rank = (int)rank % CLUSTER_M;
        col_rank = (int)rank / CLUSTER_M;
    }

    // Bands of GROUP rows, down each band's columns.
    __device__ __forceinline__ Tile at(int index) const {
        int z = index / (down * across);
        index -= z * (down * across);
        int band = index / (GROUP * across);
        int height = smaller((int)GROUP, down - band * GROUP);
        int within = index - band * GROUP * across;
        int i = band * GROUP + within % height, j = within / height;
        return {(i * CLUSTER_M + row_rank) * BM, (j * CLUSTER_N + col_rank) * BN, z};
    }
};

// Sends for the `share`-th of SHARES of one operand's tile, part by part, for every block in `blocks`.
template <int ROWS, int SHARES>
__device__ __forceinline__ void fetch(unsigned to, const unsigned char* from, int rows, long long step, int row,
                                      unsigned barrier, int share, unsigned short blocks) {
    constexpr int EACH = ROWS / SHARES;
    static_assert(EACH % 8 == 0, "whole atoms");
#pragma unroll
    for (int part = 0; part < PARTS; ++part) {
        const unsigned char* place = from + ((step * PARTS + part) * rows + row + share * EACH) * 64;
        unsigned there = to + part * (ROWS * 64) + share * (EACH * 64);
        if constexpr (SHARES == 1) {
            copy_bytes(there, place, EACH * 64, barrier);
        } else {
            copy_bytes_to(there, place, EACH * 64, barrier, blocks);
        }
    }
}

// --- outputs ---

__device__ __forceinline__ bool is_finite(float x) { return x * 0.0f == 0.0f; }

// What a warp's 16 rows by BN columns of sums become.
struct Sums {
    const Output& out;
    const Matrix<const T>&a, &b;
    int k;

    // Two neighbours a lane and eight columns: four lanes write 32 bytes of each of eight rows.
    __device__ __forceinline__ void store_pairs(float (&sums)[SUMS], int z, int row, int col, int lane) const {
        int c = col + lane % 4 * 2;
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            int r = row + lane / 4 + half * 8;
            if (r >= out.m) continue;
#pragma unroll
            for (int j = 0; j < BN / 8; ++j) {
                if (c + j * 8 >= out.n) continue;
                Vector<2> pair;
                pair.clear();
#pragma unroll
                for (int i = 0; i < 2; ++i) {
                    if (c + j * 8 + i >= out.n) continue;
                    pair.set(i, from_acc(finish(sums[j * 4 + half * 2 + i], out.alpha, out.beta, out.c, out.e, z, r,
                                                c + j * 8 + i)));
                }
                store_pieces<2>(out.d.at(z, r, c + j * 8), pair, out.n - (c + j * 8));
            }
        }
    }

    // Strips of 32 columns through the warp's own memory. The sums move up to where the rolled loop reads them.
    __device__ __forceinline__ void store_strips(float (&sums)[SUMS], float* block, bool whole, int z, int row, int col,
                                                 int lane) const {
        constexpr int EACH = STRIP / 2;
#pragma unroll 1
        for (int strip = 0; strip < BN / STRIP; ++strip) {
            float* to = block + lane / 4 * STRIP_STRIDE + lane % 4 * 2;
#pragma unroll
            for (int j = 0; j < STRIP / 8; ++j) {
                *reinterpret_cast<float2*>(to + j * 8) = make_float2(sums[4 * j], sums[4 * j + 1]);
                *reinterpret_cast<float2*>(to + j * 8 + 8 * STRIP_STRIDE) = make_float2(sums[4 * j + 2], sums[4 * j + 3]);
            }
            if (!whole) repair(block, z, row, col + strip * STRIP, lane);
            out.store_block<16, STRIP, STRIP_STRIDE>(block, z, row, col + strip * STRIP, lane);
#pragma unroll
            for (int i = 0; i + EACH < SUMS; ++i) sums[i] = sums[i + EACH];
        }
    }

    // Sums that are not finite, by multiply-adds from the operands.
    __device__ __forceinline__ void repair(float* block, int z, int row, int col, int lane) const {
        __syncwarp();
#pragma unroll 1
        for (int i = lane; i < 16 * STRIP; i += 32) {
            int r = row + i / STRIP, s = col + i % STRIP;
            float& x = block[i / STRIP * STRIP_STRIDE + i % STRIP];
            if (r >= out.m || s >= out.n || is_finite(x)) continue;
            const T *of_a = a.at(z, r, 0), *of_b = b.at(z, 0, s);
            float sum = 0.0f;
#pragma unroll 1
            for (int kk = 0; kk < k; ++kk, of_a += a.col_stride, of_b += b.row_stride) sum = fmaf(*of_a, *of_b, sum);
            x = sum;
        }
    }
};

extern "C" __global__ void __launch_bounds__(BLOCK_THREADS, 1)
    gemm(const unsigned char* parts, Matrix<const T> a, Matrix<const T> b, Matrix<const T> c, Matrix<T> d, int m, int n,
         int k, int batch, int rows_a, int rows_b, Acc alpha, Acc beta, Epilogue e) {
    extern __shared__ __align__(1024) unsigned char shared_memory[];
    unsigned memory = shared_address(shared_memory);

    unsigned rank = CLUSTER > 1 ? cluster_rank() : 0;
    int thread = (int)threadIdx.x % 128;
    // The same in a whole warp, and the compiler knows it.
    int warpgroup = __shfl_sync(0xffffffffu, (int)threadIdx.x / 128, 0);

    if (threadIdx.x == 0) {
#pragma unroll 1
        for (int s = 0; s < STAGES; ++s) {
            barrier_init(filled(memory, s), 1);
            // Every warp that reads what this block sends for gives the stage back to it.
            barrier_init(freed(memory, s), 4 * CONSUMERS * (CLUSTER_M + CLUSTER_N - 1));
        }
        barrier_init_fence();
    }
    if constexpr (CLUSTER > 1) {
        cluster_meet();
    } else {
        __syncthreads();
    }

    Tiles tiles(m, n, batch, rank);
    int steps = ceil_div(k, PART_STEP);
    int first = (int)blockIdx.x / CLUSTER, stride = (int)gridDim.x / CLUSTER;

    if (warpgroup == 0) {
        give_registers<PRODUCER_REGISTERS>();
        if (thread == 0) {
            wait_for_launches();
            fence_async_global();
            unsigned short row_mates = 0, col_mates = 0;  // the blocks that share A, and B
#pragma unroll
            for (int i = 0; i < CLUSTER_N; ++i) row_mates |= 1u << (tiles.row_rank + i * CLUSTER_M);
#pragma unroll
            for (int i = 0; i < CLUSTER_M; ++i) col_mates |= 1u << (tiles.col_rank * CLUSTER_M + i);
            const unsigned char* parts_b = parts + (long long)batch * steps * (PARTS * 64) * rows_a;
            Ring ring;
#pragma unroll 1
            for (int index = first; index < tiles.count; index += stride) {
                Tile tile = tiles.at(index);
                long long first_step = (long long)tile.z * steps;
#pragma unroll 1
                for (int step = 0; step < steps; ++step, ring.advance()) {
                    unsigned barrier = filled(memory, ring.stage);
                    unsigned to = memory + ring.stage * STAGE_BYTES;
                    barrier_wait(freed(memory, ring.stage), ring.phase ^ 1);
                    barrier_expect(barrier, STAGE_BYTES);
                    fetch<BM, CLUSTER_N>(to, parts, rows_a, first_step + step, tile.row, barrier, tiles.col_rank,
                                         row_mates);
                    fetch<BN, CLUSTER_M>(to + BYTES_A, parts_b, rows_b, first_step + step, tile.col, barrier,
                                         tiles.row_rank, col_mates);
                }
            }
            // Until every stage has been given back, arrivals at this block's barriers are under way.
            if constexpr (CLUSTER > 1) {
#pragma unroll 1
                for (int s = 0; s < STAGES; ++s, ring.advance()) {
                    barrier_wait(freed(memory, ring.stage), ring.phase ^ 1);
                }
            }
        }
    } else {
        take_registers<CONSUMER_REGISTERS>();
        int group = warpgroup - 1, warp = thread / 32, lane = thread % 32;
        wait_for_launches();
        // What this warp has read may be overwritten, by every block that sends to this one.
        auto give_back = [&](int stage) {
            if constexpr (CLUSTER == 1) {
                if (lane == 0) barrier_arrive(freed(memory, stage));
            } else if (lane < CLUSTER_M + CLUSTER_N - 1) {
                int other = lane - CLUSTER_N;  // after those of this row, the rest of this column
                unsigned to = lane < CLUSTER_N
                                  ? tiles.row_rank + lane * CLUSTER_M
                                  : tiles.col_rank * CLUSTER_M + other + (other >= tiles.row_rank ? 1 : 0);
                barrier_arrive_at(freed(memory, stage), to);
            }
        };

        Output out{c, d, e, alpha, beta, m, n};
        Sums finished{out, a, b, k};
        float* block = reinterpret_cast<float*>(shared_memory + STRIPS_AT) + (group * 4 + warp) * STRIP_FLOATS;
        Ring ring;
#pragma unroll 1
        for (int index = first; index < tiles.count; index += stride) {
            float sums[SUMS], of_step[SUMS];
#pragma unroll
            for (int i = 0; i < SUMS; ++i) sums[i] = 0.0f;
#pragma unroll 1
            for (int step = 0; step < steps; ++step, ring.advance()) {
                barrier_wait(filled(memory, ring.stage), ring.phase);
                unsigned stage = memory + ring.stage * STAGE_BYTES;
                unsigned long long of_a = describe_parts(stage + group * (64 * 64));
                unsigned long long of_b = describe_parts(stage + BYTES_A);
                // Parts of A and of B: 0 high, 1 middle, 2 low; small products first.
                constexpr int A_PART[6] = {2, 0, 1, 1, 0, 0}, B_PART[6] = {0, 2, 1, 0, 1, 0};
                matrix_fence();
#pragma unroll
                for (int i = 0; i < 6; ++i) {
#pragma unroll
                    for (int s = 0; s < 2; ++s) {
                        matrix_step<BN>(of_step, of_a + A_PART[i] * (PART_A / 16) + s * 2,
                                        of_b + B_PART[i] * (PART_B / 16) + s * 2, i + s);
                    }
                }
                matrix_commit();
                matrix_wait<0>();
                give_back(ring.stage);
#pragma unroll
                for (int i = 0; i < SUMS; ++i) sums[i] += of_step[i];
            }

            Tile tile = tiles.at(index);
            int row = tile.row + group * 64 + warp * 16;
            float probe = 0.0f;
#pragma unroll
            for (int i = 0; i < SUMS; ++i) probe = fmaf(sums[i], 0.0f, probe);
            bool whole = __all_sync(0xffffffffu, probe == 0.0f);
            if (INLINE == 1 && whole) {
                finished.store_pairs(sums, tile.z, row, tile.col, lane);
            } else {
                finished.store_strips(sums, block, whole, tile.z, row, tile.col, lane);
            }
        }
    }
    // A block stays as long as others of its cluster may send to it.
    if constexpr (CLUSTER > 1) cluster_meet();
}
