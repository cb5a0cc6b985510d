// skinny: linear layers of up to 64 rows, weights stored n x k, in tensor cores straight from global memory.
//
// Idea: every weight is used once, so nothing is gained by a stop in shared memory. The sum over k may go in
// any order, if only both operands agree: lane t of a quad takes k = 8t ... 8t + 7 of each 32, sixteen bytes,
// of its row, and these are its parts of two mma instructions. No ldmatrix, no barrier, no address arithmetic:
// a warp has UNROLL pieces of each of COLS columns of B under way before its first instruction. It asks for the
// next ones in one go, since 64 bytes of eight rows are little for HBM: one by one cost a seventh of the speed.
// Where no launch ahead writes B (b_settled), its first pieces are under way while those still work: in a chain
// of layers the launch, the trip to memory and the last blocks of the layer before cost next to nothing.
//
// A warp owns MT x COLS outputs over a slice of k; WARPS_K warps of a block, and CLUSTER blocks, share a sum.
// WARPS_N warps lie side by side along n and read the same A: out of L1, or with NEAR_A out of shared memory,
// where it is brought once, blocks stay to walk along n, and half of the pieces are asked for while the other
// half is used.
//
// Bound: HBM, n * k * 2 / 4.3 TB/s, and latency: launch 1.2 us, a trip to HBM 0.9, the meeting of the warps 0.3.
// A costs (MT / COLS) times the bytes of B out of L1 or shared memory, or of L2 where k is shared out finely:
// 16 x 896 x 4864 is 78 KB of B and 156 KB of A an SM. MT = 8 leaves half of each instruction unused, which
// costs nothing that anybody waits for.
//
// Run: smith bench gemm --problem m=16,n=896,k=4864,dtype=f16,layout=nt --candidate skinny

#include "async_copy.cuh"
#include "late_loads.cuh"
#include "mma.cuh"
#include "overlap.cuh"

constexpr int WARPS = WARPS_N * WARPS_K;
constexpr int BLOCK_THREADS = WARPS * 32;
constexpr int PIECE = 32;                    // of k: sixteen bytes for each lane of a quad
constexpr int TILES = MT > 16 ? MT / 16 : 1; // of sixteen rows
constexpr int HEIGHT = MT == 8 ? 1 : 2;      // their eights
constexpr int WIDE = COLS / 8;
constexpr int BURST = NEAR_A ? UNROLL / 2 : UNROLL;
static_assert(UNROLL % BURST == 0, "whole bursts");
constexpr int BN = WARPS_N * COLS;
constexpr int OUTPUTS = MT * BN;
// A warp that shares its sum with no other stores its outputs alone, else a block does, its part of them.
constexpr bool OWN = WARPS_K * CLUSTER == 1;
constexpr int STORE_COLS = OWN ? COLS : BN, STORE_THREADS = OWN ? 32 : BLOCK_THREADS;
constexpr int SHARE = MT * STORE_COLS / CLUSTER;
static_assert(MT % 8 == 0 && COLS % 8 == 0 && OUTPUTS % CLUSTER == 0, "whole instructions");
// A partial tile's pitch: the four rows that half a warp stores lie in different banks.
constexpr int PITCH = BN % 32 == 8 || BN % 32 == 24 ? BN : BN + 8;

// What the epilogue reads of this thread's outputs, C and the first inputs, is asked for along with the
// operands, where it is little.
constexpr int NEAR_C = HAS_BETA ? 1 : 0;
constexpr int INPUTS = (int)(sizeof(Epilogue) / sizeof(Matrix<const T>));
constexpr int ROUNDS = (SHARE + STORE_THREADS - 1) / STORE_THREADS;
constexpr int NEAR = ROUNDS * (NEAR_C + smaller(INPUTS, 3)) <= 4 ? NEAR_C + smaller(INPUTS, 3) : 0;

struct Piece {
    unsigned word[4];
};

__device__ __forceinline__ void load_shared_16(unsigned* word, unsigned from) {
    asm volatile("ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(word[0]), "=r"(word[1]), "=r"(word[2]), "=r"(word[3])
                 : "r"(from)
                 : "memory");
}

__device__ __forceinline__ int output_row(int o) { return D_INNER == 1 ? o % MT : o / STORE_COLS; }
__device__ __forceinline__ int output_col(int o) { return D_INNER == 1 ? o / MT : o % STORE_COLS; }

__device__ __forceinline__ void cluster_arrive() { asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory"); }
__device__ __forceinline__ void cluster_wait() { asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory"); }

__device__ __forceinline__ void store_in_cluster(const float* here, int block, float x) {
    unsigned there;
    asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(shared_address(here)), "r"(block));
    asm volatile("st.shared::cluster.f32 [%0], %1;" ::"r"(there), "f"(x) : "memory");
}

// The same view of a copy in shared memory, which holds output `first` at its beginning. As a number, so that
// the compiler does no arithmetic on addresses outside of shared memory.
__device__ __forceinline__ Matrix<const T> near_view(const T* copy, int first, int col0) {
    long long row_stride = D_INNER == 1 ? 1 : STORE_COLS, col_stride = D_INNER == 1 ? MT : 1;
    unsigned long long address = reinterpret_cast<unsigned long long>(copy);
    address -= (first + col0 * col_stride) * (long long)sizeof(T);
    asm volatile("" : "+l"(address));
    return {reinterpret_cast<const T*>(address), 0, row_stride, col_stride};
}

extern "C" __global__ void __launch_bounds__(BLOCK_THREADS, 1)
    gemm(Matrix<const T> a, Matrix<const T> b, Matrix<const T> c, Matrix<T> d, int m, int n, int k, Acc alpha,
         Acc beta, Epilogue e, int b_settled) {
    extern __shared__ __align__(16) unsigned char shared_memory[];
    float* partial = reinterpret_cast<float*>(shared_memory);  // [WARPS_K][MT][PITCH]
    float* gathered = partial + WARPS_K * MT * PITCH;          // [CLUSTER][SHARE]
    T* near = reinterpret_cast<T*>(gathered + (CLUSTER > 1 ? OUTPUTS : 0));  // [NEAR][SHARE], for each that stores
    constexpr unsigned NEAR_A_AT =
        (WARPS_K * MT * PITCH + (CLUSTER > 1 ? OUTPUTS : 0)) * 4 + NEAR * SHARE * (OWN ? WARPS : 1) * 2;

    launch_next();
    if constexpr (CLUSTER > 1) cluster_arrive();

    int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32;
    int warp_n = warp % WARPS_N, warp_k = warp / WARPS_N;
    int g = lane / 4, t = lane % 4;
    int thread = OWN ? lane : (int)threadIdx.x;
    if constexpr (OWN) near += warp * (NEAR * SHARE);
    int rank = (int)blockIdx.x % CLUSTER;
    int block = (int)blockIdx.x / CLUSTER, blocks = (int)gridDim.x / CLUSTER;
    long long z = blockIdx.y;

    // This warp's slice: whole pieces, the same number as the others' or one more.
    constexpr unsigned SLICES = WARPS_K * CLUSTER;
    unsigned pieces = (unsigned)ceil_div(k, PIECE);
    unsigned each = pieces / SLICES, over = pieces % SLICES;
    auto begin = [&](unsigned slice) { return (int)(slice * each + smaller(slice, over)); };
    int block_first = begin(rank * WARPS_K);
    int first = begin(rank * WARPS_K + warp_k), last = begin(rank * WARPS_K + warp_k + 1);

    long long b_stride = 8 * b.col_stride, a_stride = 8 * a.row_stride;
    const T* from_a = a.at(z, g, 0) + t * 8;
    // In shared memory the two rows that a quarter of a warp reads lie half a bank line apart.
    unsigned a_pitch = (WARPS_K * (each + (over > 0)) | 1) * 64;
    unsigned near_a = shared_address(shared_memory) + NEAR_A_AT;
    unsigned from_near_a = near_a + g * a_pitch + t * 16;

    auto load_b = [&](Piece (&piece)[WIDE], int in_block, int p) {
        int col = in_block * BN + warp_n * COLS + g;
        const T* from = b.at(z, 0, col) + t * 8 + (long long)p * PIECE;
        bool inside = p < last && p * PIECE + t * 8 < k;
#pragma unroll
        for (int j = 0; j < WIDE; ++j) {
            piece[j] = {};
            if (inside && col + j * 8 < n) load_stream_16(piece[j].word, from + j * b_stride);
        }
    };
    auto load_a = [&](Piece& piece, int i, int p) {
        piece = {};
        if constexpr (NEAR_A) {
            if (p < last) load_shared_16(piece.word, from_near_a + i * 8 * a_pitch + (p - block_first) * 64);
        } else if (p < last && p * PIECE + t * 8 < k && i * 8 + g < m) {
            load_16(piece.word, from_a + i * a_stride + (long long)p * PIECE);
        }
    };

    bring_rows(a, z, m, k, BLOCK_THREADS);
    if (!b_settled) wait_for_launches();
    Piece piece_b[UNROLL][WIDE];
#pragma unroll
    for (int u = 0; u < UNROLL; ++u) load_b(piece_b[u], block, first + u);
    wait_for_launches();
    if constexpr (NEAR_A) {
        int here = begin(rank * WARPS_K + WARPS_K) - block_first;
        for (int row = warp; row < MT; row += WARPS) {
            const T* from = a.at(z, row, 0) + (long long)block_first * PIECE;
            for (int chunk = lane; chunk < here * 4; chunk += 32) {
                bool inside = row < m && block_first * PIECE + chunk * 8 < k;
                copy_async<16>(near_a + row * a_pitch + chunk * 16, from + chunk * 8, inside ? 16 : 0);
            }
        }
        copy_async_commit();
    }
    if constexpr (CLUSTER > 1) cluster_wait();
    bool arriving = true;

#pragma unroll 1
    for (; block * BN < n; block += blocks) {
        int col0 = block * BN + (OWN ? warp_n * COLS : 0);
        T ahead[NEAR > 0 ? NEAR * ROUNDS : 1];
        const Matrix<const T>* inputs = reinterpret_cast<const Matrix<const T>*>(&e);
        if constexpr (NEAR > 0) {
#pragma unroll
            for (int r = 0; r < ROUNDS; ++r) {
                int o = thread + r * STORE_THREADS;
                int row = output_row(rank * SHARE + o), to = col0 + output_col(rank * SHARE + o);
#pragma unroll
                for (int x = 0; x < NEAR; ++x) {
                    const Matrix<const T>& from = x < NEAR_C ? c : inputs[x - NEAR_C];
                    if (o < SHARE && row < m && to < n) ahead[r * NEAR + x] = *from.at(z, row, to);
                }
            }
        }
        if (NEAR_A && arriving) {
            copy_async_wait<0>();
            __syncthreads();
            arriving = false;
        }

        float acc[TILES][WIDE][4] = {};
        // Sixteen rows, or eight, by a piece of k.
        auto multiply = [&](int i, const Piece (&pa)[HEIGHT], const Piece (&pb)[WIDE]) {
#pragma unroll
            for (int half = 0; half < 4; half += 2) {
                unsigned fragment[4] = {pa[0].word[half], 0, pa[0].word[half + 1], 0};
                if constexpr (HEIGHT > 1) {
                    fragment[1] = pa[1].word[half];
                    fragment[3] = pa[1].word[half + 1];
                }
#pragma unroll
                for (int j = 0; j < WIDE; ++j) mma_step(acc[i][j], fragment, pb[j].word[half], pb[j].word[half + 1]);
            }
        };
#pragma unroll 1
        for (int p = first; p < last; p += UNROLL) {
            bool more = p + UNROLL < last;
            int next_block = NEAR_A && !more ? block + blocks : block, next = more ? p + UNROLL : first;
            bool again = NEAR_A ? next_block * BN < n : more;
            // A is asked for AHEAD tiles before it is used: all of it at once if that is little, a piece of all
            // rows out of L1, and one tile out of shared memory.
            constexpr int TURNS = UNROLL * TILES, AHEAD = TURNS * HEIGHT <= 8 ? TURNS : NEAR_A ? 1 : TILES;
            constexpr int SETS = smaller(AHEAD + 1, TURNS);
            Piece piece_a[SETS][HEIGHT];
            auto load_turn = [&](int turn) {
#pragma unroll
                for (int h = 0; h < HEIGHT; ++h) {
                    load_a(piece_a[turn % SETS][h], turn % TILES * HEIGHT + h, p + turn / TILES);
                }
            };
#pragma unroll
            for (int turn = 0; turn < AHEAD; ++turn) load_turn(turn);
#pragma unroll
            for (int turn = 0; turn < TURNS; ++turn) {
                if (turn + AHEAD < TURNS) load_turn(turn + AHEAD);
                multiply(turn % TILES, piece_a[turn % SETS], piece_b[turn / TILES]);
                if (again && (turn + 1) % (BURST * TILES) == 0) {
#pragma unroll
                    for (int u = (turn + 1) / TILES - BURST; u < (turn + 1) / TILES; ++u) {
                        load_b(piece_b[u], next_block, next + u);
                    }
                }
            }
        }

        float* mine = partial + warp_k * (MT * PITCH) + g * PITCH + warp_n * COLS + t * 2;
#pragma unroll
        for (int i = 0; i < TILES; ++i) {
#pragma unroll
            for (int j = 0; j < WIDE; ++j) {
                float* at = mine + i * (16 * PITCH) + j * 8;
                *reinterpret_cast<float2*>(at) = make_float2(acc[i][j][0], acc[i][j][1]);
                if constexpr (HEIGHT > 1) {
                    *reinterpret_cast<float2*>(at + 8 * PITCH) = make_float2(acc[i][j][2], acc[i][j][3]);
                }
            }
        }
        if constexpr (NEAR > 0) {
#pragma unroll
            for (int r = 0; r < ROUNDS; ++r) {
                int o = thread + r * STORE_THREADS;
#pragma unroll
                for (int x = 0; x < NEAR; ++x) {
                    if (o < SHARE) near[x * SHARE + o] = ahead[r * NEAR + x];
                }
            }
        }
        if constexpr (OWN) {
            __syncwarp();
        } else {
            __syncthreads();
        }

        // The warps, first slice first.
        auto block_sum = [&](int o) {
            const float* from = partial + output_row(o) * PITCH + output_col(o) + (OWN ? warp_n * COLS : 0);
            float sum = from[0];
#pragma unroll
            for (int w = 1; w < WARPS_K; ++w) sum += from[w * (MT * PITCH)];
            return sum;
        };
        // The blocks: each gets the others' sums for its share of the outputs.
        if constexpr (CLUSTER > 1) {
#pragma unroll 4
            for (int o = threadIdx.x; o < OUTPUTS; o += BLOCK_THREADS) {
                store_in_cluster(gathered + rank * SHARE + o % SHARE, o / SHARE, block_sum(o));
            }
            __syncwarp();
            cluster_arrive();
            cluster_wait();
        }

        Matrix<const T> near_c = c;
        Epilogue near_e = e;
        if constexpr (NEAR > 0) {
            if constexpr (NEAR_C > 0) near_c = near_view(near, rank * SHARE, col0);
#pragma unroll
            for (int x = 0; x < NEAR - NEAR_C; ++x) {
                reinterpret_cast<Matrix<const T>*>(&near_e)[x] = near_view(near + (NEAR_C + x) * SHARE, rank * SHARE, col0);
            }
        }
#pragma unroll 2
        for (int o = thread; o < SHARE; o += STORE_THREADS) {
            float sum = 0;
            if constexpr (CLUSTER > 1) {
#pragma unroll
                for (int r = 0; r < CLUSTER; ++r) sum += gathered[r * SHARE + o];
            } else {
                sum = block_sum(o);
            }
            int row = output_row(rank * SHARE + o), to = col0 + output_col(rank * SHARE + o);
            if (row < m && to < n) *d.at(z, row, to) = from_acc(finish(sum, alpha, beta, near_c, near_e, z, row, to));
        }
        if constexpr (!NEAR_A) break;
        // The next block's sums take the place of these.
        if constexpr (OWN) {
            __syncwarp();
        } else if constexpr (CLUSTER > 1) {
            cluster_arrive();
            cluster_wait();
        } else {
            __syncthreads();
        }
    }
}
