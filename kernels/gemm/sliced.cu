// sliced: small products. The warps of a block own one small tile together and share out its sum.
//
// Idea: where tiles do not fill the machine, time is latency, not work. A block owns BM x BN outputs, and
// each of its WARPS warps (of CLUSTER blocks, if there are even fewer tiles) adds up the whole tile over a
// slice of k of its own. A warp has its own ring of STAGES steps in shared memory, filled by cp.async:
// nearly always the whole slice is under way before the first multiply-add, and the main loop has no
// barrier, so it waits for one trip to memory where `simt` waits for one a step. The epilogue's inputs
// travel along. Then the partial tiles meet in shared memory, once, and are added up in a fixed order.
//
// A lane has TM x TN outputs. Where the tile has fewer than 32 times as many, LANES_K groups of lanes take
// turns at quads of k. Operands keep their order from global memory; a lane reads four values at once,
// along k or along m or n, and rows are padded so that the eight lanes of a quarter of a warp, or those
// that differ, start in different banks. Of neighbouring lanes one bit goes along m and one along n: each
// 16-byte read is shared by a pair.
//
// Bound: latency. Launch 1.2 us, one trip to L2 0.6 us, then what an SM takes in, (BM + BN) * k / CLUSTER
// values at some 50 bytes a clock, while its FMA pipe does BM * BN * k / CLUSTER / 128 clocks of work; a
// barrier or two and the store, 0.3 us. 256 x 128 x 784: 128 blocks of 16 x 16, 100 KB and 1568 clocks each.
//
// Run: smith bench gemm --problem m=256,n=128,k=784,dtype=f32,layout=nt,epilogue=bias+relu --candidate sliced

#include "async_copy.cuh"

constexpr int BLOCK_THREADS = WARPS * 32;
constexpr int TM = WIDE || (BM * BN >= 256 && BM >= BN) ? 8 : 4;
constexpr int TN = WIDE || (BM * BN >= 256 && BM < BN) ? 8 : 4;
constexpr int LANES_M = BM / TM;
constexpr int LANES_N = BN / TN;
constexpr int LANES_K = 32 / (LANES_M * LANES_N);
constexpr int QUAD = 4;                                // what a lane reads at once
constexpr int GRAIN = QUAD * LANES_K;                  // what a warp multiplies at once, along k
constexpr int STEP = BM * BN <= 256 ? 32 : 16;         // what a stage holds, along k
constexpr int GRAINS = STEP / GRAIN;
constexpr int OUTPUTS = BM * BN, SHARE = OUTPUTS / CLUSTER;
static_assert(LANES_M >= 2 && LANES_N >= 2 && LANES_M * LANES_N * LANES_K == 32 && STEP % GRAIN == 0, "whole warps");

// The dimension along which an operand is contiguous: K, its other one (M for A, N for B), or neither.
enum Contiguous { ALONG_K, ALONG_MN, NOWHERE };
constexpr Contiguous A_CONTIGUOUS = A_INNER == 0 ? ALONG_K : A_INNER == 1 ? ALONG_MN : NOWHERE;
constexpr Contiguous B_CONTIGUOUS = B_INNER == 0 ? ALONG_MN : B_INNER == 1 ? ALONG_K : NOWHERE;

struct alignas(16) Run {
    float value[QUAD];
};

// A warp's view of its slice of one operand: MN x STEP values a stage, in shared memory as [STEP][PITCH] if
// contiguous along m or n, else as [MN][PITCH].
template <Contiguous CONTIGUOUS, int OPERAND_VEC, int MN, int LANES_MN, int COUNT>
struct Slice {
    static constexpr bool ALONG = CONTIGUOUS == ALONG_MN;
    static constexpr int INNER = ALONG ? MN : STEP, OUTER = ALONG ? STEP : MN;
    static constexpr int VEC = smaller(OPERAND_VEC, QUAD);
    static constexpr int PITCH = ALONG ? MN + (LANES_K > 1 ? QUAD : 0) : STEP + (LANES_K > 2 ? 2 * LANES_K : QUAD);
    static constexpr int FLOATS = OUTER * PITCH;
    static constexpr int OUTER_A_ROUND = 32 / (INNER / VEC);
    static constexpr int ROUNDS = OUTER / OUTER_A_ROUND;
    static_assert(INNER / VEC <= 32 && OUTER % OUTER_A_ROUND == 0, "whole rows or columns a round");

    const T* source;  // this lane's first vector of the next stage
    long long round_stride, step_stride;
    int inner, outer;
    int mn_left;  // how much of the matrix follows the tile's origin

    __device__ __forceinline__ void start(const T* origin, long long mn_stride, long long k_stride, int mn_remaining,
                                          int lane) {
        inner = lane % (INNER / VEC) * VEC;
        outer = lane / (INNER / VEC);
        long long outer_stride = ALONG ? k_stride : mn_stride;
        long long inner_stride = CONTIGUOUS == NOWHERE ? k_stride : 1;
        source = origin + (outer * outer_stride + inner * inner_stride);
        round_stride = OUTER_A_ROUND * outer_stride;
        step_stride = STEP * (CONTIGUOUS == ALONG_K ? 1 : k_stride);
        mn_left = mn_remaining;
    }

    // Sends for the next stage, of which the slice has k_left values; the rest becomes zeros. Whole stages,
    // the most, need no comparisons.
    __device__ __forceinline__ void fetch(unsigned stage, int k_left) {
        unsigned to = stage + (outer * PITCH + inner) * 4;
        const T* p = source;
        if (k_left >= STEP && mn_left >= MN) {
#pragma unroll
            for (int i = 0; i < ROUNDS; ++i, p += round_stride) {
                copy_async<VEC * 4>(to + i * (OUTER_A_ROUND * PITCH * 4), p, VEC * 4);
            }
        } else {
            int outer_left = (ALONG ? k_left : mn_left) - outer;
            int valid = (ALONG ? mn_left : k_left) - inner;
            valid = valid < 0 ? 0 : valid > VEC ? VEC : valid;
#pragma unroll 2
            for (int i = 0; i < ROUNDS; ++i, p += round_stride) {
                copy_async<VEC * 4>(to + i * (OUTER_A_ROUND * PITCH * 4), p,
                                    i * OUTER_A_ROUND < outer_left ? valid * 4 : 0);
            }
        }
        source += step_stride;
    }

    // The row or column of the tile that is the i-th of a lane's.
    static __device__ __forceinline__ int place(int i, int lane_mn) {
        return ALONG ? i / QUAD * (LANES_MN * QUAD) + lane_mn * QUAD + i % QUAD : i * LANES_MN + lane_mn;
    }

    // Where a lane's first quad of k lies in a stage, and how far it is to the next grain.
    static __device__ __forceinline__ int origin(int lane_mn, int lane_k) {
        return ALONG ? lane_k * QUAD * PITCH + lane_mn * QUAD : lane_mn * PITCH + lane_k * QUAD;
    }
    static constexpr int GRAIN_STRIDE = ALONG ? GRAIN * PITCH : GRAIN;

    // One quad of k, for each row or column of a lane.
    static __device__ __forceinline__ void read(float (&fragment)[COUNT][QUAD], const float* quad) {
#pragma unroll
        for (int i = 0; i < COUNT; ++i) {
            // i counts rows or columns, or runs of them: first along k, then along m or n.
            const float* from = quad + (ALONG ? i % QUAD * PITCH + i / QUAD * (LANES_MN * QUAD) : i * (LANES_MN * PITCH));
            Run run = *reinterpret_cast<const Run*>(from);
#pragma unroll
            for (int j = 0; j < QUAD; ++j) {
                if constexpr (ALONG) {
                    fragment[i / QUAD * QUAD + j][i % QUAD] = run.value[j];
                } else {
                    fragment[i][j] = run.value[j];
                }
            }
        }
    }
};

using SliceA = Slice<A_CONTIGUOUS, (int)A_VEC, BM, LANES_M, TM>;
using SliceB = Slice<B_CONTIGUOUS, (int)B_VEC, BN, LANES_N, TN>;
constexpr int STAGE = SliceA::FLOATS + SliceB::FLOATS;
// One column of padding: neither rows nor columns of a partial tile lie in one bank.
constexpr int PARTIAL = BN + 1;
// A warp's partial tile replaces its ring.
constexpr int LEAST = (BM * PARTIAL + QUAD - 1) / QUAD * QUAD, RING = STAGES * STAGE > LEAST ? STAGES * STAGE : LEAST;
// Whether a second block like this one would not fit beside it. Then blocks of the next launch that come
// early only stand in the way of what else runs: they are let in once the last values are here.
constexpr bool ALONE = (WARPS * RING + 5 * SHARE) * 4 > 227 * 1024 / 2;

// What the epilogue reads, for the outputs that this block stores, in their order: C and the first inputs.
constexpr int NEAR_C = HAS_BETA ? 1 : 0;
constexpr int INPUTS = (int)(sizeof(Epilogue) / sizeof(Matrix<const T>));
constexpr int NEAR_INPUTS = smaller(INPUTS, 3);

__device__ __forceinline__ int output_row(int o) { return D_INNER == 1 ? o % BM : o / BN; }
__device__ __forceinline__ int output_col(int o) { return D_INNER == 1 ? o / BM : o % BN; }

// The same view of the copy in shared memory, which holds output `first` at its beginning. As a number, so
// that the compiler does no arithmetic on addresses outside of shared memory.
__device__ __forceinline__ Matrix<const T> near_view(const float* copy, int first, int row0, int col0) {
    long long row_stride = D_INNER == 1 ? 1 : BN, col_stride = D_INNER == 1 ? BM : 1;
    unsigned long long address = reinterpret_cast<unsigned long long>(copy);
    address -= (first + row0 * row_stride + col0 * col_stride) * 4;
    asm volatile("" : "+l"(address));
    return {reinterpret_cast<const T*>(address), 0, row_stride, col_stride};
}

// Adds up over the groups of lanes. An exchange halves what a lane holds; the return value is which of its
// outputs are left, at the beginning of acc.
template <int GROUPS, int HALF>
__device__ __forceinline__ int share_out(float (&acc)[TM * TN], int lane_k) {
    if constexpr (GROUPS == 0) {
        return 0;
    } else {
        bool high = lane_k & GROUPS;
#pragma unroll
        for (int i = 0; i < HALF; ++i) {
            float sent = high ? acc[i] : acc[i + HALF], kept = high ? acc[i + HALF] : acc[i];
            acc[i] = kept + __shfl_xor_sync(0xffffffffu, sent, GROUPS * LANES_M * LANES_N);
        }
        return (high ? HALF : 0) + share_out<GROUPS / 2, HALF / 2>(acc, lane_k);
    }
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
    float* rings = reinterpret_cast<float*>(shared_memory);
    float* near = rings + WARPS * RING;                // [NEAR_C + NEAR_INPUTS][SHARE]
    float* gathered = near + 4 * SHARE;                // [CLUSTER][SHARE]

    if constexpr (!ALONE) launch_next();
    if constexpr (CLUSTER > 1) cluster_arrive();

    int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32;
    // Bits of a lane, from the lowest: one of m, one of n, the rest of m, of n, k.
    int upper = lane / 4;
    int lane_m = lane % 2 + 2 * (upper % (LANES_M / 2));
    int lane_n = lane / 2 % 2 + 2 * (upper / (LANES_M / 2) % (LANES_N / 2));
    int lane_k = lane / (LANES_M * LANES_N);

    int rank = (int)blockIdx.x % CLUSTER;
    int row0 = (int)blockIdx.x / CLUSTER * BM, col0 = (int)blockIdx.y * BN;
    long long z = blockIdx.z;

    // This warp's slice: whole grains, the same number as the others' or one more.
    constexpr unsigned SLICES = WARPS * CLUSTER;
    unsigned slice = warp * CLUSTER + rank;
    unsigned grains_in_all = (unsigned)ceil_div(k, GRAIN);
    unsigned each = grains_in_all / SLICES, over = grains_in_all % SLICES;
    int grains = each + (slice < over);
    int k_begin = (int)(slice * each + smaller(slice, over)) * GRAIN;
    int k_end = smaller(k_begin + grains * GRAIN, k);
    int steps = (grains + GRAINS - 1) / GRAINS;

    SliceA slice_a;
    SliceB slice_b;
    slice_a.start(a.at(z, row0, k_begin), a.row_stride, a.col_stride, m - row0, lane);
    slice_b.start(b.at(z, k_begin, col0), b.col_stride, b.row_stride, n - col0, lane);
    float* ring = rings + warp * RING;
    unsigned ring_address = shared_address(ring);
    auto fetch = [&](int step, int slot) {
        unsigned stage = ring_address + slot * (STAGE * 4);
        slice_a.fetch(stage, k_end - k_begin - step * STEP);
        slice_b.fetch(stage + SliceA::FLOATS * 4, k_end - k_begin - step * STEP);
    };
    // Nothing may be read or written before the launches before have ended.
    asm volatile("griddepcontrol.wait;" ::: "memory");
#pragma unroll 1
    for (int s = 0; s < STAGES; ++s) {
        if (s < steps) fetch(s, s);
        copy_async_commit();
    }
    // Behind these stages, in a group that only the epilogue waits for: what it reads of the outputs that this
    // thread will store.
    const Matrix<const T>* inputs = reinterpret_cast<const Matrix<const T>*>(&e);
#pragma unroll
    for (int x = 0; x < NEAR_C + NEAR_INPUTS; ++x) {
        const Matrix<const T>& from = x < NEAR_C ? c : inputs[x - NEAR_C];
#pragma unroll 1
        for (int o = threadIdx.x; o < SHARE; o += BLOCK_THREADS) {
            int row = row0 + output_row(rank * SHARE + o), col = col0 + output_col(rank * SHARE + o);
            if (row < m && col < n) copy_async<4>(shared_address(near + x * SHARE + o), from.at(z, row, col), 4);
        }
    }
    copy_async_commit();

    float acc[TM * TN] = {};
    const float* first_a = ring + SliceA::origin(lane_m, lane_k);
    const float* first_b = ring + SliceA::FLOATS + SliceB::origin(lane_n, lane_k);
    int slot = 0;
#pragma unroll 1
    for (int step = 0; step < steps; ++step) {
        // The first STAGES steps lie before the epilogue's group, those after them behind it.
        if (step < STAGES) {
            copy_async_wait<STAGES>();
        } else {
            copy_async_wait<STAGES - 1>();
        }
        __syncwarp();
        const float* quad_a = first_a + slot * STAGE;
        const float* quad_b = first_b + slot * STAGE;
        int here = smaller(grains - step * GRAINS, GRAINS);
#pragma unroll 2
        for (int g = 0; g < here; ++g) {
            float fragment_a[TM][QUAD], fragment_b[TN][QUAD];
            SliceA::read(fragment_a, quad_a + g * SliceA::GRAIN_STRIDE);
            SliceB::read(fragment_b, quad_b + g * SliceB::GRAIN_STRIDE);
#pragma unroll
            for (int q = 0; q < QUAD; ++q) {
#pragma unroll
                for (int i = 0; i < TM; ++i) {
#pragma unroll
                    for (int j = 0; j < TN; ++j) acc[i * TN + j] += fragment_a[i][q] * fragment_b[j][q];
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

    int first = share_out<LANES_K / 2, TM * TN / 2>(acc, lane_k);
#pragma unroll
    for (int i = 0; i < TM * TN / LANES_K; ++i) {
        int row = SliceA::place((first + i) / TN, lane_m), col = SliceB::place((first + i) % TN, lane_n);
        ring[row * PARTIAL + col] = acc[i];
    }
    __syncthreads();

    // The warps, first slice first.
    auto block_sum = [&](int o) {
        const float* from = rings + output_row(o) * PARTIAL + output_col(o);
        float sum = from[0];
#pragma unroll
        for (int w = 1; w < WARPS; ++w) sum += from[w * RING];
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
