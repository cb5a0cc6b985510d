// sliced_mma: small and skinny products of 16-bit numbers. As in `sliced`, the warps of a block own one small
// tile together and share out its sum; here they multiply in tensor cores.
//
// Idea: where tiles do not fill the machine, or A has few rows, time is a trip to memory and not work. A block
// owns BM x BN outputs, and each of its WARPS warps (of CLUSTER blocks, if there are even fewer tiles) adds up
// the whole tile over a slice of k of its own. A warp has its own ring of STAGES steps of DEPTH k in shared
// memory, filled by cp.async: nearly always the whole slice is under way before the first instruction, and the
// main loop has no barrier. What the epilogue reads is asked for in the same moment. Then the partial tiles
// meet in shared memory, once, and are added up in a fixed order.
//
// Operands keep their order from global memory; ldmatrix, transposing where that order is along m or n, turns
// rows of shared memory into fragments. A row is an odd number of 16-byte pieces long, so eight rows lie in
// different banks. BN = 8 is the instruction's own width: 896 columns of a weight become 112 blocks.
//
// Bound: latency. Launch 1.2 us, one trip to HBM 0.9 us or to L2 0.6, then what an SM takes in,
// (BM + BN) * k * 2 / CLUSTER bytes at some 50 a clock; a barrier and the store, 0.3 us. 16 x 896 x 896: 112
// blocks of 16 x 8, 43 KB each. Wide layers are a stream of B, n * k * 2 / 4.3 TB/s: two blocks an SM.
//
// Run: smith bench gemm --problem m=16,n=896,k=896,dtype=f16,layout=nt --candidate sliced_mma

#include "async_copy.cuh"
#include "mma.cuh"

constexpr int BLOCK_THREADS = WARPS * 32;
constexpr int STEP = DEPTH;  // what a stage holds, along k
constexpr int GRAIN = 32;    // what a warp multiplies at once, along k: two instructions deep
constexpr int OUTPUTS = BM * BN, SHARE = OUTPUTS / CLUSTER;
static_assert(BM % 16 == 0 && (BN == 8 || BN % 16 == 0), "whole instructions");

// The dimension along which an operand is contiguous: K or its other one (M for A, N for B).
enum Contiguous { ALONG_K, ALONG_MN };
constexpr Contiguous A_CONTIGUOUS = A_INNER == 0 ? ALONG_K : ALONG_MN;
constexpr Contiguous B_CONTIGUOUS = B_INNER == 1 ? ALONG_K : ALONG_MN;

// A warp's view of its slice of one operand: MN x STEP values a stage, in shared memory as [STEP][MN] if
// contiguous along m or n, else as [MN][STEP].
template <Contiguous CONTIGUOUS, int OPERAND_VEC, int MN>
struct Slice {
    static constexpr bool ALONG = CONTIGUOUS == ALONG_MN;
    static constexpr int INNER = ALONG ? MN : STEP, OUTER = ALONG ? STEP : MN;
    static constexpr int VEC = smaller(OPERAND_VEC, 8);
    static constexpr int PITCH = (INNER / 8 | 1) * 16;  // bytes from row to row
    static constexpr int BYTES = OUTER * PITCH;
    static constexpr int PIECES = INNER / VEC;          // copies a row
    static constexpr int OUTER_A_ROUND = 32 / PIECES;
    static constexpr int ROUNDS = OUTER / OUTER_A_ROUND;
    static_assert(VEC >= 2 && PIECES <= 32 && OUTER % OUTER_A_ROUND == 0, "whole rows a round");

    const T* source;  // this lane's first vector of the next stage
    long long round_stride, step_stride;
    int inner, outer;
    int mn_left;  // how much of the matrix follows the tile's origin

    __device__ __forceinline__ void start(const T* origin, long long mn_stride, long long k_stride, int mn_remaining,
                                          int lane) {
        inner = lane % PIECES * VEC;
        outer = lane / PIECES;
        long long outer_stride = ALONG ? k_stride : mn_stride;
        source = origin + (outer * outer_stride + inner);
        round_stride = OUTER_A_ROUND * outer_stride;
        step_stride = STEP * (ALONG ? k_stride : 1);
        mn_left = mn_remaining;
    }

    // Sends for the next stage, of which the slice has k_left values; the rest becomes zeros. Whole stages,
    // the most, need no comparisons.
    __device__ __forceinline__ void fetch(unsigned stage, int k_left) {
        unsigned to = stage + outer * PITCH + inner * 2;
        const T* p = source;
        if (k_left >= STEP && mn_left >= MN) {
#pragma unroll
            for (int i = 0; i < ROUNDS; ++i, p += round_stride) {
                copy_async<VEC * 2>(to + i * (OUTER_A_ROUND * PITCH), p, VEC * 2);
            }
        } else {
            int outer_left = (ALONG ? k_left : mn_left) - outer;
            int valid = (ALONG ? mn_left : k_left) - inner;
            valid = valid < 0 ? 0 : valid > VEC ? VEC : valid;
#pragma unroll 2
            for (int i = 0; i < ROUNDS; ++i, p += round_stride) {
                copy_async<VEC * 2>(to + i * (OUTER_A_ROUND * PITCH), p,
                                    i * OUTER_A_ROUND < outer_left ? valid * 2 : 0);
            }
        }
        source += step_stride;
    }

    // The matrix of 8 along m or n by 8 of k at (mn, k), as ldmatrix wants this lane's row of it.
    static __device__ __forceinline__ unsigned row_address(unsigned stage, int mn, int k, int within) {
        return ALONG ? stage + (k + within) * PITCH + mn * 2 : stage + (mn + within) * PITCH + k * 2;
    }
    static __device__ __forceinline__ void read(unsigned (&r)[4], unsigned row) {
        if constexpr (ALONG) {
            load_matrices_transposed(r, row);
        } else {
            load_matrices(r, row);
        }
    }
};

using SliceA = Slice<A_CONTIGUOUS, (int)A_VEC, BM>;
using SliceB = Slice<B_CONTIGUOUS, (int)B_VEC, BN>;
constexpr int STAGE = SliceA::BYTES + SliceB::BYTES;
// A partial tile's pitch: the four rows that half a warp stores lie in different banks.
constexpr int PARTIAL = BN == 8 ? 8 : BN + 8;
// A warp's partial tile replaces its ring.
constexpr int LEAST = BM * PARTIAL * 4, RING = STAGES * STAGE > LEAST ? STAGES * STAGE : LEAST;
// What the epilogue reads, for the outputs that this block stores, in their order: C and the first inputs.
constexpr int NEAR_C = HAS_BETA ? 1 : 0;
constexpr int INPUTS = (int)(sizeof(Epilogue) / sizeof(Matrix<const T>));
constexpr int NEAR_INPUTS = smaller(INPUTS, 3);
// Whether a second block like this one would not fit beside it. Then blocks of the next launch that come
// early only stand in the way of what else runs: they are let in once the last values are here.
constexpr bool ALONE = WARPS * RING + 8 * SHARE + 4 * OUTPUTS > 227 * 1024 / 2;

__device__ __forceinline__ int output_row(int o) { return D_INNER == 1 ? o % BM : o / BN; }
__device__ __forceinline__ int output_col(int o) { return D_INNER == 1 ? o / BM : o % BN; }

// The same view of the copy in shared memory, which holds output `first` at its beginning. As a number, so
// that the compiler does no arithmetic on addresses outside of shared memory.
__device__ __forceinline__ Matrix<const T> near_view(const T* copy, int first, int row0, int col0) {
    long long row_stride = D_INNER == 1 ? 1 : BN, col_stride = D_INNER == 1 ? BM : 1;
    unsigned long long address = reinterpret_cast<unsigned long long>(copy);
    address -= (first + row0 * row_stride + col0 * col_stride) * (long long)sizeof(T);
    asm volatile("" : "+l"(address));
    return {reinterpret_cast<const T*>(address), 0, row_stride, col_stride};
}

__device__ __forceinline__ void launch_next() { asm volatile("griddepcontrol.launch_dependents;" ::: "memory"); }
__device__ __forceinline__ void cluster_arrive() { asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory"); }
__device__ __forceinline__ void cluster_wait() { asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory"); }

__device__ __forceinline__ void store_in_cluster(const float* here, int block, float x) {
    unsigned there;
    asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(shared_address(here)), "r"(block));
    asm volatile("st.shared::cluster.f32 [%0], %1;" ::"r"(there), "f"(x) : "memory");
}

extern "C" __global__ void __launch_bounds__(BLOCK_THREADS, 1)
    gemm(Matrix<const T> a, Matrix<const T> b, Matrix<const T> c, Matrix<T> d, int m, int n, int k, Acc alpha,
         Acc beta, Epilogue e) {
    extern __shared__ __align__(16) unsigned char shared_memory[];
    float* gathered = reinterpret_cast<float*>(shared_memory + WARPS * RING);  // [CLUSTER][SHARE]
    T* near = reinterpret_cast<T*>(gathered + (CLUSTER > 1 ? OUTPUTS : 0));    // [NEAR_C + NEAR_INPUTS][SHARE]

    if constexpr (!ALONE) launch_next();
    if constexpr (CLUSTER > 1) cluster_arrive();

    int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32;
    int rank = (int)blockIdx.x % CLUSTER;
    int row0 = (int)blockIdx.x / CLUSTER * BM, col0 = (int)blockIdx.y * BN;
    long long z = blockIdx.z;

    // This warp's slice: whole grains of 16, the same number as the others' or one more.
    constexpr unsigned SLICES = WARPS * CLUSTER;
    unsigned slice = warp * CLUSTER + rank;
    unsigned grains_in_all = (unsigned)ceil_div(k, 16);
    unsigned each = grains_in_all / SLICES, over = grains_in_all % SLICES;
    int k_begin = smaller((int)(slice * each + smaller(slice, over)) * 16, k);
    int k_here = smaller((int)(each + (slice < over)) * 16, k - k_begin);
    int steps = (k_here + STEP - 1) / STEP;

    SliceA slice_a;
    SliceB slice_b;
    slice_a.start(a.at(z, row0, k_begin), a.row_stride, a.col_stride, m - row0, lane);
    slice_b.start(b.at(z, k_begin, col0), b.col_stride, b.row_stride, n - col0, lane);
    float* ring = reinterpret_cast<float*>(shared_memory + warp * RING);
    unsigned ring_address = shared_address(ring);
    auto fetch = [&](int step, int slot) {
        unsigned stage = ring_address + slot * STAGE;
        slice_b.fetch(stage + SliceA::BYTES, k_here - step * STEP);
        slice_a.fetch(stage, k_here - step * STEP);
    };
    // Nothing may be read or written before the launches before have ended.
    asm volatile("griddepcontrol.wait;" ::: "memory");
#pragma unroll 1
    for (int s = 0; s < STAGES; ++s) {
        if (s < steps) fetch(s, s);
        copy_async_commit();
    }
    // Meanwhile, what the epilogue reads of the outputs that this thread will store.
    const Matrix<const T>* inputs = reinterpret_cast<const Matrix<const T>*>(&e);
#pragma unroll
    for (int x = 0; x < NEAR_C + NEAR_INPUTS; ++x) {
        const Matrix<const T>& from = x < NEAR_C ? c : inputs[x - NEAR_C];
#pragma unroll 4
        for (int o = threadIdx.x; o < SHARE; o += BLOCK_THREADS) {
            int row = row0 + output_row(rank * SHARE + o), col = col0 + output_col(rank * SHARE + o);
            if (row < m && col < n) near[x * SHARE + o] = *from.at(z, row, col);
        }
    }

    float acc[BM / 16][BN / 8][4] = {};
    // The eight lanes of an ldmatrix's i-th matrix give its rows. A: both eights of rows of the first eight of
    // k, then of the second. B: both eights of k of the first eight columns, then of the second; with eight
    // columns in all, the four eights of k of a grain.
    int matrix = lane / 8, within = lane % 8;
    unsigned from_a = SliceA::row_address(ring_address, matrix % 2 * 8, matrix / 2 * 8, within);
    unsigned from_b = SliceB::row_address(ring_address + SliceA::BYTES, BN == 8 ? 0 : matrix / 2 * 8,
                                          BN == 8 ? matrix * 8 : matrix % 2 * 8, within);
    int slot = 0;
#pragma unroll 1
    for (int step = 0; step < steps; ++step) {
        copy_async_wait<STAGES - 1>();
        __syncwarp();
        unsigned row_a = from_a + slot * STAGE, row_b = from_b + slot * STAGE;
        int here = smaller(k_here - step * STEP, STEP);
#pragma unroll
        for (int g = 0; g < STEP; g += GRAIN) {
            if (g >= here) break;
            unsigned narrow[4];
            if constexpr (BN == 8) SliceB::read(narrow, SliceB::row_address(row_b, 0, g, 0));
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                unsigned fragment_a[BM / 16][4];
#pragma unroll
                for (int i = 0; i < BM / 16; ++i) {
                    SliceA::read(fragment_a[i], SliceA::row_address(row_a, i * 16, g + half * 16, 0));
                }
                if constexpr (BN == 8) {
#pragma unroll
                    for (int i = 0; i < BM / 16; ++i) {
                        mma_step(acc[i][0], fragment_a[i], narrow[half * 2], narrow[half * 2 + 1]);
                    }
                } else {
#pragma unroll
                    for (int j = 0; j < BN / 16; ++j) {
                        unsigned pair[4];
                        SliceB::read(pair, SliceB::row_address(row_b, j * 16, g + half * 16, 0));
#pragma unroll
                        for (int i = 0; i < BM / 16; ++i) {
                            mma_step(acc[i][2 * j], fragment_a[i], pair[0], pair[1]);
                            mma_step(acc[i][2 * j + 1], fragment_a[i], pair[2], pair[3]);
                        }
                    }
                }
            }
        }
        if (step + STAGES < steps) {
            __syncwarp();
            fetch(step + STAGES, slot);
        }
        copy_async_commit();
        slot = slot + 1 == STAGES ? 0 : slot + 1;
    }
    copy_async_wait<0>();
    __syncwarp();
    if constexpr (ALONE) launch_next();

    float* mine = ring + lane / 4 * PARTIAL + lane % 4 * 2;
#pragma unroll
    for (int i = 0; i < BM / 16; ++i) {
#pragma unroll
        for (int j = 0; j < BN / 8; ++j) {
            float* at = mine + i * (16 * PARTIAL) + j * 8;
            *reinterpret_cast<float2*>(at) = make_float2(acc[i][j][0], acc[i][j][1]);
            *reinterpret_cast<float2*>(at + 8 * PARTIAL) = make_float2(acc[i][j][2], acc[i][j][3]);
        }
    }
    __syncthreads();

    // The warps, first slice first.
    auto block_sum = [&](int o) {
        const float* from =
            reinterpret_cast<const float*>(shared_memory) + output_row(o) * PARTIAL + output_col(o);
        float sum = from[0];
#pragma unroll
        for (int w = 1; w < WARPS; ++w) sum += from[w * (RING / 4)];
        return sum;
    };
    // The blocks: each gets the others' sums for its share of the outputs.
    if constexpr (CLUSTER > 1) {
        cluster_wait();
#pragma unroll 4
        for (int o = threadIdx.x; o < OUTPUTS; o += BLOCK_THREADS) {
            store_in_cluster(gathered + rank * SHARE + o % SHARE, o / SHARE, block_sum(o));
        }
        __syncwarp();
        cluster_arrive();
        cluster_wait();
    }

    Matrix<const T> near_c = c;
    if constexpr (NEAR_C > 0) near_c = near_view(near, rank * SHARE, row0, col0);
    Epilogue near_e = e;
#pragma unroll
    for (int x = 0; x < NEAR_INPUTS; ++x) {
        reinterpret_cast<Matrix<const T>*>(&near_e)[x] =
            near_view(near + (NEAR_C + x) * SHARE, rank * SHARE, row0, col0);
    }
#pragma unroll 2
    for (int o = threadIdx.x; o < SHARE; o += BLOCK_THREADS) {
        float sum = 0;
        if constexpr (CLUSTER > 1) {
#pragma unroll
            for (int r = 0; r < CLUSTER; ++r) sum += gathered[r * SHARE + o];
        } else {
            sum = block_sum(o);
        }
        int row = row0 + output_row(rank * SHARE + o), col = col0 + output_col(rank * SHARE + o);
        if (row < m && col < n) *d.at(z, row, col) = from_acc(finish(sum, alpha, beta, near_c, near_e, z, row, col));
    }
}
