// wgmma_fp8: Hopper's warpgroup matrix instructions on eight-bit floats.
//
// Idea: `wgmma` with operands of one byte. A stage is again 128 bytes of k, 128 numbers now, and an instruction
// takes 32 of them in the time of 16 of two bytes: twice the flops for the same bytes of shared memory. Both
// operands lie along k, since only 16-bit ones may be transposed on the way.
//
// The instructions keep 13 bits behind the leading one of a sum and cut off the rest. So there are two forms:
//
//   PROMOTE 1: a stage's sums start from zero and are added to the total in registers, rounded as f32. One
//   warpgroup adds while the other one multiplies. Two sets of sums: tiles of 128 x 192 at most.
//   PROMOTE 0: sums stay where they are, for problems that ask for compute=fast: what a library calls fast
//   accumulation. Tiles of 128 x 256 and 256 x 128.
//
// The rest is as in `wgmma`: one producer thread, a ring of STAGES, persistent blocks, bands of GROUP rows of
// clusters, CLUSTER_M x CLUSTER_N blocks that share an operand; outputs in boxes through shared memory and the
// copy engine (INLINE 1), or from a rolled loop (INLINE 0), which takes any D and any epilogue.
//
// Bound: 8192 flops a clock and SM, 1980 TFLOP/s at 1.83 GHz; power leaves 1250 to 1400 on real numbers. Shared
// memory as in `wgmma`: 80 bytes a clock for 64 x 256, 96 for 64 x 128. L2: 128 x 256 needs 48 bytes a clock and
// SM, 32 in a cluster of two, and about 30 are there. Promotion: 64 additions a thread for each 512 clocks.
//
// Run: smith bench gemm --problem m=4096,n=4096,k=4096,dtype=bf16,inputs=e4m3,compute=fast,layout=nt --candidate wgmma_fp8_fast

#include "hopper.cuh"
#include "wgmma_fp8.cuh"

// --- the shape of a block ---

constexpr int CONSUMERS = 2;                // warpgroups that multiply
constexpr int SLABS = BM / 64 / CONSUMERS;  // of 64 rows, each warpgroup
constexpr int BLOCK_THREADS = 128 * (1 + CONSUMERS);
constexpr int SUMS = BN / 2;                // registers of a thread for a slab
constexpr int BK = 128, STEPS = 4;          // k of a stage, and instructions for it
constexpr int CLUSTER = CLUSTER_M * CLUSTER_N;
static_assert(BM % 128 == 0 && SLABS * SUMS * (1 + PROMOTE) <= 192, "sums stay in registers");

constexpr int PRODUCER_REGISTERS = 40, CONSUMER_REGISTERS = 232;

// --- shared memory: the ring, each warpgroup's outputs, barriers ---

constexpr unsigned BYTES_A = BM * 128, BYTES_B = BN * 128, STAGE_BYTES = BYTES_A + BYTES_B;
constexpr unsigned SLAB = 64 * 128;  // 64 rows
constexpr unsigned OUTPUTS_AT = STAGES * STAGE_BYTES, OUTPUT_BYTES = 2 * SLAB;
constexpr unsigned BARRIERS_AT = OUTPUTS_AT + CONSUMERS * OUTPUT_BYTES;

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

// --- the producer ---

// Sends for the `part`-th of PARTS of one operand's tile, for every block in `blocks`.
template <int ROWS, int PARTS>
__device__ __forceinline__ void fetch(unsigned to, const TensorMap* map, unsigned barrier, int row, int k, int z,
                                      int part, unsigned short blocks) {
    constexpr int EACH = ROWS / PARTS;
    static_assert(EACH % 8 == 0 && EACH <= 256, "whole atoms, one box");
    if constexpr (PARTS == 1) {
        copy_box(to, map, barrier, k, row, z);
    } else {
        copy_box_to(to + part * (EACH * 128), map, barrier, k, row + part * EACH, z, blocks);
    }
}

// --- outputs ---

// D in boxes of 64 rows and 128 bytes of columns, or, contiguous along m, of 128 bytes of rows.
constexpr int BOX_COLS = sizeof(T) == 2 ? 64 : 32;
constexpr bool ALIGNED = D_VEC * (int)sizeof(T) == 16;
constexpr bool BOXES = INLINE == 1 && ALIGNED && BN % BOX_COLS == 0 && (D_INNER == 0 || (D_INNER == 1 && sizeof(T) == 2));
constexpr bool READS = HAS_BETA || sizeof(Epilogue) >= sizeof(Matrix<const T>);

// Where D has a form that the copy engine knows, its descriptor is an argument, else a zero is.
template <bool KNOWN>
struct MapOfD {
    using Type = TensorMap;
};
template <>
struct MapOfD<false> {
    using Type = int;
};
using DMap = MapOfD<ALIGNED && D_INNER != 2>::Type;

__device__ __forceinline__ unsigned pack(float low, float high) {
    unsigned both = 0;
#if DTYPE_F16
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
#elif DTYPE_BF16
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
#endif
    return both;
}

// COLS columns of a slab, box by box, through two buffers in turns: one is filled while the other is stored.
template <int COLS, class Map>
__device__ __forceinline__ void store_boxes(float (&sums)[COLS / 2], const Output& out, const Map& map, unsigned memory,
                                            int row, int col, int z, int group, int thread, int& turn) {
    int warp = thread / 32, lane = thread % 32;
    auto value = [&](int i, int at_row, int at_col) {
        if (READS && !(at_row < out.m && at_col < out.n)) return 0.0f;
        return finish(sums[i], out.alpha, out.beta, out.c, out.e, z, at_row, at_col);
    };
    int first_row = row + warp * 16 + lane / 4, first_col = col + lane % 4 * 2;
#pragma unroll
    for (int box = 0; box < COLS / BOX_COLS; ++box, turn ^= 1) {
        unsigned buffer = memory + turn * SLAB;
        if (thread == 0) store_wait_read<1>();
        named_sync(1 + group, 128);
#pragma unroll
        for (int j = box * (BOX_COLS / 8); j < (box + 1) * (BOX_COLS / 8); j += 2) {
            float x[8];
#pragma unroll
            for (int i = 0; i < 8; ++i) {
                x[i] = value(j * 4 + i, first_row + i / 2 % 2 * 8, first_col + (j + i / 4) * 8 + i % 2);
            }
            int column = j % (BOX_COLS / 8);
            if constexpr (sizeof(T) == 2) {
                unsigned words[4] = {pack(x[0], x[1]), pack(x[2], x[3]), pack(x[4], x[5]), pack(x[6], x[7])};
                // This lane's row of the four matrices: upper and lower eight rows of columns j, then of j + 1.
                int eight = warp * 2 + lane / 8 % 2, column_of_lane = column + lane / 16;
                if constexpr (D_INNER == 0) {
                    int r = eight * 8 + lane % 8;
                    store_matrices(buffer + r * 128 + ((column_of_lane ^ lane % 8) * 16), words);
                } else {
                    int r = column_of_lane * 8 + lane % 8;
                    store_matrices_transposed(buffer + r * 128 + ((eight ^ lane % 8) * 16), words);
                }
            } else {
#pragma unroll
                for (int i = 0; i < 4; ++i) {
                    int r = warp * 16 + i % 2 * 8 + lane / 4, sixteen = (column + i / 2) * 2 + lane % 4 / 2;
                    asm volatile("st.shared.v2.f32 [%0], {%1, %2};" ::"r"(
                                     buffer + r * 128 + ((sixteen ^ r % 8) * 16) + lane % 2 * 8),
                                 "f"(x[2 * i]), "f"(x[2 * i + 1])
                                 : "memory");
                }
            }
        }
        fence_async();
        named_sync(1 + group, 128);
        if (thread == 0) {
            int at_col = col + box * BOX_COLS;
            if (row < out.m && at_col < out.n) {
                if constexpr (sizeof(Map) == sizeof(TensorMap)) {
                    store_box(&map, buffer, D_INNER == 0 ? at_col : row, D_INNER == 0 ? row : at_col, z);
                }
            }
            store_commit();
        }
    }
}

// Slabs of COLS columns, a strip at a time, through a warp's own memory. The sums move up to where the rolled
// loop reads them.
template <int COLS, int COUNT>
__device__ __forceinline__ void store_strips(float (&sums)[COUNT], const Output& out, float* block, int row, int col,
                                             int z, int lane) {
    constexpr int STRIP = COLS % 32 == 0 ? 32 : 16, STRIDE = STRIP + 8, EACH = STRIP / 2;
#pragma unroll 1
    for (int strip = 0; strip < COUNT / EACH; ++strip) {
        int slab = strip / (COLS / STRIP), at = strip % (COLS / STRIP) * STRIP;
        float* to = block + lane / 4 * STRIDE + lane % 4 * 2;
#pragma unroll
        for (int j = 0; j < STRIP / 8; ++j) {
            *reinterpret_cast<float2*>(to + j * 8) = make_float2(sums[4 * j], sums[4 * j + 1]);
            *reinterpret_cast<float2*>(to + j * 8 + 8 * STRIDE) = make_float2(sums[4 * j + 2], sums[4 * j + 3]);
        }
        out.store_block<16, STRIP, STRIDE>(block, z, row + slab * 64, col + at, lane);
#pragma unroll
        for (int i = 0; i + EACH < COUNT; ++i) sums[i] = sums[i + EACH];
    }
}

// A stage's products: into d, which starts from zero where `add` says so for the first of them.
__device__ __forceinline__ void multiply(float (&d)[SLABS][SUMS], unsigned long long tile_a, unsigned long long tile_b,
                                         int add) {
    matrix_fence();
#pragma unroll
    for (int s = 0; s < STEPS; ++s) {
#pragma unroll
        for (int i = 0; i < SLABS; ++i) {
            fp8_step<BN>(d[i], tile_a + s * 2 + i * (SLAB / 16), tile_b + s * 2, add + s);
        }
    }
    matrix_commit();
}

extern "C" __global__ void __launch_bounds__(BLOCK_THREADS, 1)
    gemm(const __grid_constant__ TensorMap map_a, const __grid_constant__ TensorMap map_b,
         const __grid_constant__ DMap map_d, Matrix<const T> c, Matrix<T> d, int m, int n, int k, int batch,
         int batch_step_a, int batch_step_b, Acc alpha, Acc beta, Epilogue e, int a_settled, int b_settled) {
    extern __shared__ __align__(1024) unsigned char shared_memory[];
    unsigned memory = shared_address(shared_memory);

    unsigned rank = CLUSTER > 1 ? cluster_rank() : 0;
    int thread = (int)threadIdx.x % 128;
    // The same in a whole warp, and the compiler knows it.
    int warpgroup = __shfl_sync(0xffffffffu, (int)threadIdx.x / 128, 0);

    if (threadIdx.x == 0) {
        fetch_map(&map_a);
        fetch_map(&map_b);
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
    launch_next();

    Tiles tiles(m, n, batch, rank);
    int steps = ceil_div(k, BK);
    int first = (int)blockIdx.x / CLUSTER, stride = (int)gridDim.x / CLUSTER;

    if (warpgroup == 0) {
        give_registers<PRODUCER_REGISTERS>();
        if (thread == 0) {
            unsigned short row_mates = 0, col_mates = 0;  // the blocks that share A, and B
#pragma unroll
            for (int i = 0; i < CLUSTER_N; ++i) row_mates |= 1u << (tiles.row_rank + i * CLUSTER_M);
#pragma unroll
            for (int i = 0; i < CLUSTER_M; ++i) col_mates |= 1u << (tiles.col_rank * CLUSTER_M + i);
            auto begin = [&](const Ring& ring) {
                barrier_wait(freed(memory, ring.stage), ring.phase ^ 1);
                barrier_expect(filled(memory, ring.stage), STAGE_BYTES);
            };
            auto fetch_a = [&](const Ring& ring, const Tile& tile, int step) {
                fetch<BM, CLUSTER_N>(memory + ring.stage * STAGE_BYTES, &map_a, filled(memory, ring.stage), tile.row,
                                     step * BK, tile.z * batch_step_a, tiles.col_rank, row_mates);
            };
            auto fetch_b = [&](const Ring& ring, const Tile& tile, int step) {
                fetch<BN, CLUSTER_M>(memory + ring.stage * STAGE_BYTES + BYTES_A, &map_b, filled(memory, ring.stage),
                                     tile.col, step * BK, tile.z * batch_step_b, tiles.row_rank, col_mates);
            };
            Ring ring;
            // Stages that B alone was sent for ahead of time, as in wgmma.cu.
            int ahead = 0;
            if (!b_settled) {
                wait_for_launches();
            } else if (!a_settled) {
                ahead = first < tiles.count ? smaller((int)STAGES, steps) : 0;
                Ring to;
#pragma unroll 1
                for (int s = 0; s < ahead; ++s, to.advance()) {
                    begin(to);
                    fetch_b(to, tiles.at(first), s);
                }
                wait_for_launches();
            }
#pragma unroll 1
            for (int index = first; index < tiles.count; index += stride) {
                Tile tile = tiles.at(index);
#pragma unroll 1
                for (int step = 0; step < steps; ++step, ring.advance()) {
                    if (ahead > 0) {
                        --ahead;
                    } else {
                        begin(ring);
                        fetch_b(ring, tile, step);
                    }
                    fetch_a(ring, tile, step);
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
        int first_slab = group * SLABS, box_turn = 0;
        unsigned outputs = memory + OUTPUTS_AT + group * OUTPUT_BYTES;
        Ring ring;
#pragma unroll 1
        for (int index = first; index < tiles.count; index += stride) {
            float sums[SLABS][SUMS];
            if constexpr (PROMOTE) {
                float of_stage[SLABS][SUMS];
#pragma unroll
                for (int i = 0; i < SLABS * SUMS; ++i) sums[i / SUMS][i % SUMS] = 0.0f;
#pragma unroll 1
                for (int step = 0; step < steps; ++step, ring.advance()) {
                    barrier_wait(filled(memory, ring.stage), ring.phase);
                    unsigned stage = memory + ring.stage * STAGE_BYTES;
                    multiply(of_stage, describe(stage + first_slab * SLAB, SLAB), describe(stage + BYTES_A, SLAB), 0);
                    matrix_wait<0>();
                    give_back(ring.stage);
#pragma unroll
                    for (int i = 0; i < SLABS * SUMS; ++i) sums[i / SUMS][i % SUMS] += of_stage[i / SUMS][i % SUMS];
                }
            } else {
                int last = 0;
#pragma unroll 1
                for (int step = 0; step < steps; ++step, ring.advance()) {
                    barrier_wait(filled(memory, ring.stage), ring.phase);
                    unsigned stage = memory + ring.stage * STAGE_BYTES;
                    multiply(sums, describe(stage + first_slab * SLAB, SLAB), describe(stage + BYTES_A, SLAB), step);
                    if (step > 0) {
                        matrix_wait<1>();
                        give_back(last);
                    }
                    last = ring.stage;
                }
                matrix_wait<0>();
                give_back(last);
            }

            // From here on D is written, and C and the epilogue's inputs are read.
            wait_for_launches();
            Tile tile = tiles.at(index);
            int row = tile.row + first_slab * 64;
            if constexpr (BOXES) {
#pragma unroll
                for (int i = 0; i < SLABS; ++i) {
                    store_boxes<BN>(sums[i], out, map_d, outputs, row + i * 64, tile.col, tile.z, group, thread,
                                    box_turn);
                }
            } else {
                float* block =
                    reinterpret_cast<float*>(shared_memory + OUTPUTS_AT + group * OUTPUT_BYTES) + warp * (16 * 40);
                store_strips<BN>(reinterpret_cast<float(&)[SLABS * SUMS]>(sums), out, block, row + warp * 16, tile.col,
                                 tile.z, lane);
            }
        }
        if (BOXES && thread == 0) store_wait_read<0>();
    }
    // A block stays as long as others of its cluster may send to it.
    if constexpr (CLUSTER > 1) cluster_meet();
}
