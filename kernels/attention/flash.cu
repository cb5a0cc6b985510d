// flash: tiles of queries and keys on the matrix units, scores never leave the registers.
//
// Idea: FlashAttention-2 (Dao 2023). A block takes BM queries of a head, a warp ROWS of them with all their scores
// and results, so that maxima and sums are taken within four lanes. K and V come by BN keys through rings of STAGES
// tiles of shared memory (cp.async). For each tile: S = Q K^T; the running maximum moves, what was summed up so
// far is scaled by 2^(old - new); weights are packed as the first operand of the next product just as they lie
// (an accumulator's two neighbours are a register of A); O += P V. Sums of weights are taken from the f32
// weights, not from those that are rounded for V.
//
// Tiles that the triangle hides are neither copied nor multiplied; only those on its edge are masked, by
// replacing scores. There a hidden V is still multiplied by a weight of 0.
//
// Rows of shared memory are padded by 16 bytes: eight of them are in different banks.
//
// Bound: the issue rate of mma.sync on Hopper, about 62 % of what wgmma reaches, less the exponentials: at head
// 128 sixteen a clock and multiprocessor take half as long as the products.
//
// Run: smith bench attention --problem batch=4,heads=16,queries=2048,keys=2048,head=128,dtype=f16 --candidate flash
#include "attention.cuh"
#include "async_copy.cuh"
#include "mma.cuh"

constexpr int THREADS = WARPS * 32;
constexpr int ROWS = BM / WARPS;         // queries of a warp
constexpr int PARTS = ROWS / 16;         // of which an instruction takes 16
constexpr int CHUNKS = HEAD / 8;         // of 16 bytes, a row
constexpr int PITCH = HEAD * 2 + 16;     // bytes from row to row
constexpr unsigned TILE_BYTES = BN * PITCH;
constexpr int PENDING = 2 * STAGES - 2;  // groups of copies behind the one that is waited for
constexpr bool Q_STAYS = PARTS * HEAD <= 128;  // fragments of Q in at most 32 registers
static_assert(PARTS * 16 * WARPS == BM && BN % 16 == 0 && HEAD % 16 == 0, "whole instructions");

// Starts copying a tile of COUNT rows: those before `left`, zeros after them. Threads that whole rows of a round
// leave over have nothing to do.
template <int COUNT>
__device__ __forceinline__ void copy_rows(unsigned to, const T* from, long long row_stride, int left) {
    constexpr int ROWS_A_ROUND = THREADS / CHUNKS, ROUNDS = (COUNT + ROWS_A_ROUND - 1) / ROWS_A_ROUND;
    const int chunk = (int)threadIdx.x % CHUNKS;
    int row = (int)threadIdx.x / CHUNKS;
    if (THREADS % CHUNKS != 0 && row >= ROWS_A_ROUND) return;
    const T* piece = from + row * row_stride + chunk * 8;
#pragma unroll
    for (int i = 0; i < ROUNDS; ++i, row += ROWS_A_ROUND, piece = advance(piece, ROWS_A_ROUND * row_stride)) {
        if (COUNT % ROWS_A_ROUND != 0 && row >= COUNT) break;
        copy_async<16>(to + row * PITCH + chunk * 16, piece, row < left ? 16 : 0);
    }
}

// Sixteen queries and numbers of Q as A.
__device__ __forceinline__ void read_q(unsigned (&a)[4], unsigned tile, int row, int step, int lane) {
    int matrix = lane / 8;
    load_matrices(a, tile + (row + matrix % 2 * 8 + lane % 8) * PITCH + (step * 2 + matrix / 2) * 16);
}

// Sixteen keys and numbers of K, as B of two instructions: keys are its columns.
__device__ __forceinline__ void read_k(unsigned (&b)[4], unsigned tile, int key, int step, int lane) {
    int matrix = lane / 8;
    load_matrices(b, tile + (key + matrix / 2 * 8 + lane % 8) * PITCH + (step * 2 + matrix % 2) * 16);
}

// Sixteen keys and numbers of V, as B of two instructions: keys are its rows.
__device__ __forceinline__ void read_v(unsigned (&b)[4], unsigned tile, int key, int number, int lane) {
    int matrix = lane / 8;
    load_matrices_transposed(b, tile + (key + matrix % 2 * 8 + lane % 8) * PITCH + (number + matrix / 2 * 8) * 2);
}

// Two numbers rounded to T, the first in the lower half.
__device__ __forceinline__ unsigned pack(float low, float high) {
    unsigned word;
#if DTYPE_F16
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
#else
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
#endif
    return word;
}

// Over the four lanes that hold a row.
__device__ __forceinline__ float largest_of_row(float x) {
    x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 1));
    return fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 2));
}
__device__ __forceinline__ float sum_of_row(float x) {
    x += __shfl_xor_sync(0xffffffffu, x, 1);
    return x + __shfl_xor_sync(0xffffffffu, x, 2);
}

extern "C" __global__ void __launch_bounds__(THREADS, 1)
    attention(Heads<const T> q, Heads<const T> k, Heads<const T> v, Heads<T> out, int heads, int group, int queries,
              int keys, float scale) {
    extern __shared__ __align__(128) unsigned char shared_memory[];
    const unsigned tile_q = shared_address(shared_memory);
    const unsigned tiles_k = tile_q + BM * PITCH, tiles_v = tiles_k + STAGES * TILE_BYTES;
    const int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32;

    // Of a triangle the longest rows come first.
    const int tiles = ceil_div(queries, BM);
    const int place = (int)blockIdx.x / tiles, index = (int)blockIdx.x % tiles;
    const int query0 = (CAUSAL ? tiles - 1 - index : index) * BM;
    const int head = place % heads, batch = place / heads;

    // Keys that the block's last query sees, and those that the warp's first and last do.
    const int seen = visible(smaller(query0 + BM, queries) - 1, queries, keys);
    const int row0 = query0 + warp * ROWS;
    const int seen_by_first = smaller(visible(row0, queries, keys), seen);
    const int seen_by_last = smaller(visible(row0 + ROWS - 1, queries, keys), seen);
    const int key_tiles = ceil_div(seen, BN);

    const T* from_k = k.at(batch, head / group, 0);
    const T* from_v = v.at(batch, head / group, 0);
    // Past the last tile nothing is copied, but the (empty) group counts.
    auto copy_k = [&](int t) {
        const T* from = from_k + (long long)t * BN * k.row_stride;
        if (t < key_tiles) copy_rows<BN>(tiles_k + t % STAGES * TILE_BYTES, from, k.row_stride, seen - t * BN);
        copy_async_commit();
    };
    auto copy_v = [&](int t) {
        const T* from = from_v + (long long)t * BN * v.row_stride;
        if (t < key_tiles) copy_rows<BN>(tiles_v + t % STAGES * TILE_BYTES, from, v.row_stride, seen - t * BN);
        copy_async_commit();
    };
    // Groups in the order of their use: Q and K(0), V(0), K(1), V(1), ...
    copy_rows<BM>(tile_q, q.at(batch, head, query0), q.row_stride, queries - query0);
    copy_k(0);
#pragma unroll
    for (int s = 0; s < STAGES - 1; ++s) {
        copy_v(s);
        copy_k(s + 1);
    }

    // Scores are raw products; weights are 2^(factor * (score - maximum)).
    const float factor = scale * LOG2_E;
    unsigned fragments_q[PARTS][Q_STAYS ? HEAD / 16 : 1][4];
    float o[PARTS][HEAD / 8][4] = {};
    float largest[PARTS][2], sum[PARTS][2];  // of rows g and g + 8
#pragma unroll
    for (int i = 0; i < PARTS; ++i) {
        largest[i][0] = largest[i][1] = minus_infinity();
        sum[i][0] = sum[i][1] = 0.0f;
    }

#pragma unroll 1
    for (int t = 0; t < key_tiles; ++t) {
        const int key0 = t * BN;
        const bool any = key0 < seen_by_last;
        const unsigned tile_k = tiles_k + t % STAGES * TILE_BYTES, tile_v = tiles_v + t % STAGES * TILE_BYTES;
        copy_async_wait<PENDING>();
        __syncthreads();  // K(t) is there; the warps are done with V(t - 1)
        copy_v(t + STAGES - 1);
        if constexpr (Q_STAYS) {
            if (t == 0) {
#pragma unroll
                for (int i = 0; i < PARTS; ++i) {
#pragma unroll
                    for (int step = 0; step < HEAD / 16; ++step) {
                        read_q(fragments_q[i][step], tile_q, warp * ROWS + i * 16, step, lane);
                    }
                }
            }
        }

        float s[PARTS][BN / 8][4] = {};
        if (any) {
#pragma unroll
            for (int step = 0; step < HEAD / 16; ++step) {
                constexpr bool READ = !Q_STAYS;
                const int kept = READ ? 0 : step;
                if constexpr (READ) {
#pragma unroll
                    for (int i = 0; i < PARTS; ++i) {
                        read_q(fragments_q[i][0], tile_q, warp * ROWS + i * 16, step, lane);
                    }
                }
#pragma unroll
                for (int pair = 0; pair < BN / 16; ++pair) {
                    unsigned b[4];
                    read_k(b, tile_k, pair * 16, step, lane);
#pragma unroll
                    for (int i = 0; i < PARTS; ++i) {
                        mma_step(s[i][2 * pair], fragments_q[i][kept], b[0], b[1]);
                        mma_step(s[i][2 * pair + 1], fragments_q[i][kept], b[2], b[3]);
                    }
                }
            }
        }
        copy_async_wait<PENDING>();
        __syncthreads();  // V(t) is there; the warps are done with K(t)
        copy_k(t + STAGES);
        if (!any) continue;

        if (key0 + BN > seen_by_first) {
#pragma unroll
            for (int i = 0; i < PARTS; ++i) {
#pragma unroll
                for (int e = 0; e < 4; ++e) {
                    const int row = row0 + i * 16 + e / 2 * 8 + lane / 4;
                    const int end = smaller(visible(row, queries, keys), seen) - key0 - lane % 4 * 2 - e % 2;
#pragma unroll
                    for (int n = 0; n < BN / 8; ++n) {
                        if (n * 8 >= end) s[i][n][e] = minus_infinity();
                    }
                }
            }
        }

#pragma unroll
        for (int i = 0; i < PARTS; ++i) {
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                float best = largest[i][half];
#pragma unroll
                for (int n = 0; n < BN / 8; ++n) best = fmaxf(best, fmaxf(s[i][n][2 * half], s[i][n][2 * half + 1]));
                best = largest_of_row(best);
                const float base = base_of(best), shift = base * factor;
                const float decay = power_of_two((largest[i][half] - base) * factor);
                largest[i][half] = best;
                float added = 0.0f;
#pragma unroll
                for (int n = 0; n < BN / 8; ++n) {
#pragma unroll
                    for (int e = 2 * half; e < 2 * half + 2; ++e) {
                        s[i][n][e] = power_of_two(fmaf(s[i][n][e], factor, -shift));
                        added += s[i][n][e];
                    }
                }
                sum[i][half] = fmaf(sum[i][half], decay, added);
#pragma unroll
                for (int n = 0; n < HEAD / 8; ++n) {
                    o[i][n][2 * half] *= decay;
                    o[i][n][2 * half + 1] *= decay;
                }
            }
        }

#pragma unroll
        for (int step = 0; step < BN / 16; ++step) {
            unsigned p[PARTS][4];
#pragma unroll
            for (int i = 0; i < PARTS; ++i) {
#pragma unroll
                for (int e = 0; e < 4; ++e) {
                    const float* pair = &s[i][2 * step + e / 2][e % 2 * 2];
                    p[i][e] = pack(pair[0], pair[1]);
                }
            }
#pragma unroll
            for (int pair = 0; pair < HEAD / 16; ++pair) {
                unsigned b[4];
                read_v(b, tile_v, step * 16, pair * 16, lane);
#pragma unroll
                for (int i = 0; i < PARTS; ++i) {
                    mma_step(o[i][2 * pair], p[i], b[0], b[1]);
                    mma_step(o[i][2 * pair + 1], p[i], b[2], b[3]);
                }
            }
        }
    }

    // Results go through the warp's own rows of Q's tile, which it is done with.
    unsigned char* rows = shared_memory + warp * ROWS * PITCH;
#pragma unroll
    for (int i = 0; i < PARTS; ++i) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const float inverse = 1.0f / sum_of_row(sum[i][half]);
            unsigned char* row = rows + (i * 16 + half * 8 + lane / 4) * PITCH + lane % 4 * 4;
#pragma unroll
            for (int n = 0; n < HEAD / 8; ++n) {
                *reinterpret_cast<unsigned*>(row + n * 16) =
                    pack(o[i][n][2 * half] * inverse, o[i][n][2 * half + 1] * inverse);
            }
        }
    }
    __syncwarp();
#pragma unroll
    for (int i = 0; i < ROWS * CHUNKS / 32; ++i) {
        const int at = i * 32 + lane, row = at / CHUNKS, chunk = at % CHUNKS;
        if (row0 + row >= queries) continue;
        const uint4 x = *reinterpret_cast<const uint4*>(rows + row * PITCH + chunk * 16);
        const unsigned word[4] = {x.x, x.y, x.z, x.w};
        store_global<16>(out.at(batch, head, row0 + row) + chunk * 8, word);
    }
}
