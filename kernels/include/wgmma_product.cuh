// The product kernel of `wgmma` (gemm/wgmma.cu has its idea), for operands that the copy engine reads: A_INNER and
// B_INNER say along what they lie.
#pragma once
#include "hopper.cuh"
#include "wgmma.cuh"

// --- the shape of a block ---

constexpr int CONSUMERS = PINGPONG || BM == 256 ? 2 : BM / 64;    // warpgroups that multiply
constexpr int SLABS = PINGPONG ? BM / 64 : BM / 64 / CONSUMERS;  // of 64 rows, each warpgroup
constexpr int BLOCK_THREADS = 128 * (1 + CONSUMERS);
constexpr int SUMS = BN / 2;                     // registers of a thread for a slab
constexpr int BK = 128 / (int)sizeof(T);         // what a stage holds, along k
constexpr int STEPS = 4;                         // of 32 bytes, in that
constexpr int PLANE = CLUSTER_M * CLUSTER_N, CLUSTER = PLANE * CLUSTER_K;
static_assert(BM % 64 == 0 && SLABS * SUMS <= 128 && BN % 16 == 0, "sums stay in registers");

// Registers a thread, once the roles are known: all of an SM's between the producer and the others.
constexpr int PRODUCER_REGISTERS = CONSUMERS == 2 ? 40 : 32;
constexpr int CONSUMER_REGISTERS = CONSUMERS == 2 ? 232 : 160;

constexpr bool A_ALONG_K = A_INNER == 0, B_ALONG_K = B_INNER == 1;
static_assert(sizeof(T) == 2 || (A_ALONG_K && B_ALONG_K), "32-bit operands lie along k");

// --- shared memory: the ring, each warpgroup's outputs, barriers ---

constexpr unsigned BYTES_A = BM * 128, BYTES_B = BN * 128, STAGE_BYTES = BYTES_A + BYTES_B;
constexpr unsigned SLAB = 64 * 128;              // 64 rows, or 64 columns of BK rows
constexpr unsigned OUTPUTS_AT = STAGES * STAGE_BYTES, OUTPUT_BYTES = 2 * SLAB;

// Blocks that share a sum: FINISHERS of them finish a part of the tile's columns each, and get the others'
// sums of it, four registers of 128 threads at a time.
constexpr int FINISHERS = BN / 64 % CLUSTER_K == 0 ? CLUSTER_K : 1;
constexpr int PART = BN / FINISHERS, PART_SUMS = PART / 2;
constexpr unsigned QUAD_BYTES = 128 * 16, SENT_BYTES = CONSUMERS * SLABS * (PART_SUMS / 4) * QUAD_BYTES;
constexpr unsigned EXCHANGE_AT = OUTPUTS_AT + CONSUMERS * OUTPUT_BYTES;
constexpr unsigned EXCHANGE_BYTES = (CLUSTER_K - 1) * SENT_BYTES;
constexpr unsigned BARRIERS_AT = EXCHANGE_AT + EXCHANGE_BYTES;
static_assert(!PINGPONG || CLUSTER_K == 1, "in turns, a tile is one block's");

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
    __device__ __forceinline__ void skip(int steps) {
        int to = stage + steps;
        phase ^= to / STAGES & 1;
        stage = to % STAGES;
    }
};

__device__ __forceinline__ unsigned filled(unsigned memory, int stage) { return memory + BARRIERS_AT + stage * 8; }
__device__ __forceinline__ unsigned freed(unsigned memory, int stage) {
    return memory + BARRIERS_AT + (STAGES + stage) * 8;
}
__device__ __forceinline__ unsigned exchanged(unsigned memory) { return memory + BARRIERS_AT + 2 * STAGES * 8; }

// --- tiles ---

struct Tile {
    int row, col, z;
};

struct Tiles {
    int down, across, count;  // of clusters
    int row_rank, col_rank;   // this block's place in its cluster
    int plane;                // the first rank of those that share operands with it

    __device__ __forceinline__ Tiles(int m, int n, int batch, unsigned rank) {
        plane = CLUSTER_K == 1 ? 0 : (int)rank / PLANE * PLANE;
        rank -= plane;
        down = ceil_div(m, BM * CLUSTER_M);
        across = ceil_div(n, BN * CLUSTER_N);
        count = down * across * batch;
        row_rank = CLUSTER_M == 1 ? 0 : (int)rank % CLUSTER_M;
        col_rank = CLUSTER_N == 1 ? 0 : (int)rank / CLUSTER_M;
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

// Sends for a part of one operand's tile, the `part`-th of PARTS, for every block in `blocks`.
template <bool ALONG_K, int MN, int PARTS>
__device__ __forceinline__ void fetch(unsigned to, const TensorMap* map, unsigned barrier, int mn, int k, int z,
                                      int part, unsigned short blocks) {
    auto copy = [&](unsigned place, int inner, int outer) {
        if constexpr (PARTS == 1) {
            copy_box(place, map, barrier, inner, outer, z);
        } else {
            copy_box_to(place, map, barrier, inner, outer, z, blocks);
        }
    };
    if constexpr (ALONG_K) {
        constexpr int ROWS = MN / PARTS;
        static_assert(MN % PARTS == 0 && ROWS % 8 == 0 && ROWS <= 256, "whole atoms, one box");
        copy(to + part * (ROWS * 128), k, mn + part * ROWS);
    } else {
        constexpr int ROWS = BK / PARTS;
        static_assert(MN % 64 == 0 && ROWS % 8 == 0, "whole blocks and atoms");
#pragma unroll
        for (int i = 0; i < MN / 64; ++i) copy(to + i * SLAB + part * (ROWS * 128), mn + i * 64, k + part * ROWS);
    }
}

// --- outputs ---

// D in boxes of 64 rows and 128 bytes of columns, or, contiguous along m, of 128 bytes of rows.
constexpr int BOX_COLS = sizeof(T) == 2 ? 64 : 32;
constexpr bool ALIGNED = D_VEC * (int)sizeof(T) == 16;
constexpr bool ROWS_OF_D = INLINE == 2 && ALIGNED && D_INNER == 0 && sizeof(T) == 2 && PART % 32 == 0;
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

// COLS columns of a slab straight from registers: four lanes hold eight columns of a row, so each of them
// gets eight of 32, 16 bytes, and the warp stores 64 bytes of each of eight rows.
template <int COLS>
__device__ __forceinline__ void store_rows(float (&sums)[COLS / 2], const Output& out, int row, int col, int z,
                                           int thread) {
    int warp = thread / 32, lane = thread % 32, t = lane % 4;
    int first_row = row + warp * 16 + lane / 4, first_col = col + t * 2;
#pragma unroll
    for (int j = 0; j < COLS / 8; j += 4) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            int r = first_row + half * 8;
            unsigned word[4];
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                float x[2];
#pragma unroll
                for (int s = 0; s < 2; ++s) {
                    int c = first_col + (j + i) * 8 + s;
                    x[s] = READS && !(r < out.m && c < out.n) ? 0.0f
                                                              : finish(sums[(j + i) * 4 + half * 2 + s], out.alpha,
                                                                       out.beta, out.c, out.e, z, r, c);
                }
                word[i] = pack(x[0], x[1]);
            }
            // Transposes the four words of four lanes: pairs first, then pairs of pairs.
#pragma unroll
            for (int step = 1; step < 4; step *= 2) {
                bool high = t & step;
#pragma unroll
                for (int i = 0; i < 4; ++i) {
                    if (i & step) continue;
                    unsigned sent = high ? word[i] : word[i + step];
                    unsigned got = __shfl_xor_sync(0xffffffffu, sent, step);
                    if (high) {
                        word[i] = got;
                    } else {
                        word[i + step] = got;
                    }
                }
            }
            int c = col + (j + t) * 8;
            if (r < out.m && c < out.n) {
                Vector<8> whole;
#pragma unroll
                for (int i = 0; i < 4; ++i) whole.word[i] = word[i];
                store_pieces<8>(out.d.at(z, r, c), whole, out.n - c);
            }
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

// --- a sum shared by the blocks of a cluster ---

__device__ __forceinline__ float (&part_of(float (&sums)[SLABS][SUMS], int slab, int part))[PART_SUMS] {
    return reinterpret_cast<float(&)[PART_SUMS]>(sums[slab][part * PART_SUMS]);
}

// Where sums of another block lie: its place among the others, a warpgroup of it, four registers of a slab.
__device__ __forceinline__ unsigned exchange_place(int slot, int group, int slab, int quad, int thread) {
    int quads = ((slot * CONSUMERS + group) * SLABS + slab) * (PART_SUMS / 4) + quad;
    return EXCHANGE_AT + quads * QUAD_BYTES + thread * 16;
}

// To each other block what it finishes.
__device__ __forceinline__ void send(float (&sums)[SLABS][SUMS], unsigned memory, unsigned rank, int rank_k, int group,
                                     int thread) {
#pragma unroll
    for (int part = 0; part < FINISHERS; ++part) {
        if (part == rank_k) continue;
        unsigned there = rank % PLANE + part * PLANE;
        unsigned to = address_in(memory, there), barrier = address_in(exchanged(memory), there);
        int slot = rank_k - (rank_k > part ? 1 : 0);
#pragma unroll
        for (int i = 0; i < SLABS; ++i) {
#pragma unroll
            for (int quad = 0; quad < PART_SUMS / 4; ++quad) {
                send_16(to + exchange_place(slot, group, i, quad, thread), barrier, part_of(sums, i, part) + quad * 4);
            }
        }
    }
}

// Adds what the others have sent, in their order.
__device__ __forceinline__ void receive(float (&sums)[SLABS][SUMS], int part, unsigned memory, int group, int thread) {
    barrier_wait(exchanged(memory), 0);
#pragma unroll
    for (int slot = 0; slot < CLUSTER_K - 1; ++slot) {
#pragma unroll
        for (int i = 0; i < SLABS; ++i) {
#pragma unroll
            for (int quad = 0; quad < PART_SUMS / 4; ++quad) {
                float4 x = load_shared_16(memory + exchange_place(slot, group, i, quad, thread));
                float* to = part_of(sums, i, part) + quad * 4;
                to[0] += x.x, to[1] += x.y, to[2] += x.z, to[3] += x.w;
            }
        }
    }
}

extern "C" __global__ void __launch_bounds__(BLOCK_THREADS, 1)
    gemm(const __grid_constant__ TensorMap map_a, const __grid_constant__ TensorMap map_b,
         const __grid_constant__ DMap map_d, Matrix<const T> c, Matrix<T> d, int m, int n, int k, int batch,
         int batch_step_a, int batch_step_b, Acc alpha, Acc beta, Epilogue e, int a_settled, int b_settled) {
    extern __shared__ __align__(1024) unsigned char shared_memory[];
    unsigned memory = shared_address(shared_memory);

    unsigned rank = CLUSTER > 1 ? cluster_rank() : 0;
    int thread = (int)threadIdx.x % 128;
    // The same in a whole warp, and the compiler knows it: what follows from it needs no vector registers.
    int warpgroup = __shfl_sync(0xffffffffu, (int)threadIdx.x / 128, 0);

    if (threadIdx.x == 0) {
        fetch_map(&map_a);
        fetch_map(&map_b);
#pragma unroll 1
        for (int s = 0; s < STAGES; ++s) {
            barrier_init(filled(memory, s), 1);
            // Every warp that reads what this block sends for gives the stage back to it.
            barrier_init(freed(memory, s), 4 * (PINGPONG ? 1 : CONSUMERS) * (CLUSTER_M + CLUSTER_N - 1));
        }
        if constexpr (CLUSTER_K > 1) {
            barrier_init(exchanged(memory), 1);
            barrier_expect(exchanged(memory), EXCHANGE_BYTES);
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
    // This block's share of the sum, in whole steps. There is at least one.
    int all_steps = ceil_div(k, BK), rank_k = CLUSTER_K == 1 ? 0 : (int)rank / PLANE;
    int steps = all_steps / CLUSTER_K + (rank_k < all_steps % CLUSTER_K ? 1 : 0);
    int first_step = rank_k * (all_steps / CLUSTER_K) + smaller(rank_k, all_steps % CLUSTER_K);
    int first = (int)blockIdx.x / CLUSTER, stride = (int)gridDim.x / CLUSTER;

    if (warpgroup == 0) {
        if constexpr (CONSUMERS > 1) give_registers<PRODUCER_REGISTERS>();
        if (thread == 0) {
            unsigned short row_mates = 0, col_mates = 0;  // the blocks that share A, and B
#pragma unroll
            for (int i = 0; i < CLUSTER_N; ++i) row_mates |= 1u << (tiles.plane + tiles.row_rank + i * CLUSTER_M);
#pragma unroll
            for (int i = 0; i < CLUSTER_M; ++i) col_mates |= 1u << (tiles.plane + tiles.col_rank * CLUSTER_M + i);
            auto begin = [&](const Ring& ring) {
                barrier_wait(freed(memory, ring.stage), ring.phase ^ 1);
                barrier_expect(filled(memory, ring.stage), STAGE_BYTES);
            };
            auto fetch_a = [&](const Ring& ring, const Tile& tile, int step) {
                fetch<A_ALONG_K, BM, CLUSTER_N>(memory + ring.stage * STAGE_BYTES, &map_a, filled(memory, ring.stage),
                                                tile.row, step * BK, tile.z * batch_step_a, tiles.col_rank, row_mates);
            };
            auto fetch_b = [&](const Ring& ring, const Tile& tile, int step) {
                fetch<B_ALONG_K, BN, CLUSTER_M>(memory + ring.stage * STAGE_BYTES + BYTES_A, &map_b,
                                                filled(memory, ring.stage), tile.col, step * BK, tile.z * batch_step_b,
                                                tiles.row_rank, col_mates);
            };
            Ring ring;
            // Stages that B alone was sent for ahead of time: the first tile's.
            int ahead = 0;
            if (!b_settled) {
                wait_for_launches();
#ifdef PACKED
                // Ordinary stores of the launch ahead, read by the copy engine.
                asm volatile("fence.proxy.async.global;" ::: "memory");
#endif
            } else if (!a_settled) {
                ahead = first < tiles.count ? smaller((int)STAGES, steps) : 0;
                Ring to;
#pragma unroll 1
                for (int s = 0; s < ahead; ++s, to.advance()) {
                    begin(to);
                    fetch_b(to, tiles.at(first), first_step + s);
                }
                wait_for_launches();
            }
#pragma unroll 1
            for (int index = first; index < tiles.count; index += stride) {
                Tile tile = tiles.at(index);
#pragma unroll 1
                for (int step = first_step; step < first_step + steps; ++step, ring.advance()) {
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
            if constexpr (PLANE > 1) {
#pragma unroll 1
                for (int s = 0; s < STAGES; ++s, ring.advance()) {
                    barrier_wait(freed(memory, ring.stage), ring.phase ^ 1);
                }
            }
        }
    } else {
        if constexpr (CONSUMERS > 1) take_registers<CONSUMER_REGISTERS>();
        int group = warpgroup - 1, warp = thread / 32, lane = thread % 32;
        // What this warp has read may be overwritten, by every block that sends to this one.
        auto give_back = [&](int stage) {
            if constexpr (PLANE == 1) {
                if (lane == 0) barrier_arrive(freed(memory, stage));
            } else if (lane < CLUSTER_M + CLUSTER_N - 1) {
                int other = lane - CLUSTER_N;  // after those of this row, the rest of this column
                unsigned to = lane < CLUSTER_N
                                  ? tiles.row_rank + lane * CLUSTER_M
                                  : tiles.col_rank * CLUSTER_M + other + (other >= tiles.row_rank ? 1 : 0);
                barrier_arrive_at(freed(memory, stage), tiles.plane + to);
            }
        };

        Output out{c, d, e, alpha, beta, m, n};
        int first_slab = PINGPONG ? 0 : group * SLABS;
        unsigned outputs = memory + OUTPUTS_AT + group * OUTPUT_BYTES;
        Ring ring;
        // Whose turn it is to multiply: numbered barriers 3 and 4. The first turn is given away.
        if (PINGPONG && group == 1) named_arrive(3, 256);
        int turn = 0, box_turn = 0;
#pragma unroll 1
        for (int index = first; index < tiles.count; index += stride, ++turn) {
            if (PINGPONG && turn % 2 != group) {
                ring.skip(steps);
                continue;
            }
            if constexpr (PINGPONG) named_sync(3 + group, 256);
            float sums[SLABS][SUMS];
            int last = 0;
#pragma unroll 1
            for (int step = 0; step < steps; ++step, ring.advance()) {
                barrier_wait(filled(memory, ring.stage), ring.phase);
                unsigned stage = memory + ring.stage * STAGE_BYTES;
                unsigned long long tile_a = describe(stage + first_slab * SLAB, SLAB);
                unsigned long long tile_b = describe(stage + BYTES_A, SLAB);
                matrix_fence();
#pragma unroll
                for (int s = 0; s < STEPS; ++s) {
#pragma unroll
                    for (int i = 0; i < SLABS; ++i) {
                        matrix_step<BN>(sums[i], tile_a + (A_ALONG_K ? s * 2 : s * 128) + i * (SLAB / 16),
                                        tile_b + (B_ALONG_K ? s * 2 : s * 128), step + s);
                    }
                }
                matrix_commit();
                if (step > 0) {
                    matrix_wait<1>();
                    give_back(last);
                }
                last = ring.stage;
            }
            if constexpr (PINGPONG) named_arrive(4 - group, 256);
            matrix_wait<0>();
            give_back(last);

            // From here on D is written, and C and the epilogue's inputs are read.
            wait_for_launches();
            Tile tile = tiles.at(index);
            int row = tile.row + first_slab * 64;
            if constexpr (CLUSTER_K > 1) send(sums, memory, rank, rank_k, group, thread);
#pragma unroll
            for (int part = 0; part < FINISHERS; ++part) {
                if (CLUSTER_K > 1 && rank_k != part) continue;
                if constexpr (CLUSTER_K > 1) receive(sums, part, memory, group, thread);
                int col = tile.col + part * PART;
                if constexpr (BOXES) {
#pragma unroll
                    for (int i = 0; i < SLABS; ++i) {
                        store_boxes<PART>(part_of(sums, i, part), out, map_d, outputs, row + i * 64, col, tile.z, group,
                                          thread, box_turn);
                    }
                } else if constexpr (ROWS_OF_D) {
#pragma unroll
                    for (int i = 0; i < SLABS; ++i) {
                        store_rows<PART>(part_of(sums, i, part), out, row + i * 64, col, tile.z, thread);
                    }
                } else {
                    float* block =
                        reinterpret_cast<float*>(shared_memory + OUTPUTS_AT + group * OUTPUT_BYTES) + warp * (16 * 40);
                    if constexpr (FINISHERS == 1) {
                        store_strips<BN>(reinterpret_cast<float(&)[SLABS * SUMS]>(sums), out, block, row + warp * 16,
                                         col, tile.z, lane);
                    } else {
#pragma unroll
                        for (int i = 0; i < SLABS; ++i) {
                            store_strips<PART>(part_of(sums, i, part), out, block, row + i * 64 + warp * 16, col, tile.z,
                                               lane);
                        }
                    }
                }
            }
        }
        if (BOXES && thread == 0) store_wait_read<0>();
    }
    // A block stays as long as others of its cluster may send to it.
    if constexpr (CLUSTER > 1) cluster_meet();
}
