// cluster: a cluster of BLOCKS blocks keeps one row in registers.
//
// Idea: a row that one block could hold leaves a multiprocessor with that block alone, which reads, waits and
// writes in turns. Spread over a cluster, several rows in different phases share each multiprocessor. Blocks
// exchange their sums through distributed shared memory, a cluster barrier for each merge.
//
// Bound: HBM: 8192 x 32768 f32 is 2.15 GB, 494 us. A multiprocessor holds 128 KB of rows in registers.
//
// Run: smith bench row --problem kind=softmax,rows=8192,columns=32768,x0=f32,out=f32 --candidate cluster
#include "row_resident.cuh"

__device__ __forceinline__ void cluster_barrier() {
    asm volatile("barrier.cluster.arrive.release.aligned;\n\tbarrier.cluster.wait.acquire.aligned;" ::: "memory");
}

__device__ __forceinline__ unsigned cluster_rank() {
    unsigned rank;
    asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    return rank;
}

// The number that block `rank` of the cluster has where this block has `mine`.
__device__ __forceinline__ float remote(const float* mine, unsigned rank) {
    unsigned address = (unsigned)__cvta_generic_to_shared(mine), mapped;
    float x;
    asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(mapped) : "r"(address), "r"(rank));
    asm volatile("ld.shared::cluster.f32 %0, [%1];" : "=f"(x) : "r"(mapped) : "memory");
    return x;
}
__device__ __forceinline__ double remote(const double* mine, unsigned rank) {
    unsigned address = (unsigned)__cvta_generic_to_shared(mine), mapped;
    double x;
    asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(mapped) : "r"(address), "r"(rank));
    asm volatile("ld.shared::cluster.f64 %0, [%1];" : "=d"(x) : "r"(mapped) : "memory");
    return x;
}

// Merges of a cluster: in a block, then every block reads all of them. Each merge has a slot of its own.
struct Team {
    Sum* sums;
    Largest* largest;
    Acc* slots;
    mutable int next;

    __device__ __forceinline__ const Acc* publish(Acc x) const {
        Acc* slot = slots + next++;
        if (threadIdx.x == 0) *slot = x;
        cluster_barrier();
        return slot;
    }
    __device__ __forceinline__ Acc sum(Acc x) const {
        const Acc* slot = publish(merge_team<THREADS>(Sum{x}, sums, Sum::merge).value);
        Acc total = 0;
#pragma unroll
        for (int b = 0; b < BLOCKS; ++b) total += remote(slot, b);
        return total;
    }
    __device__ __forceinline__ Acc max(Acc x) const {
        const Acc* slot = publish(merge_team<THREADS>(Largest{x}, largest, Largest::merge).value);
        Acc total = -infinity();
#pragma unroll
        for (int b = 0; b < BLOCKS; ++b) total = ks_max(total, remote(slot, b));
        return total;
    }
};

extern "C" __global__ void __launch_bounds__(THREADS) row(const __grid_constant__ Arrays a) {
    __shared__ Sum sums[THREADS / 32];
    __shared__ Largest largest[THREADS / 32];
    __shared__ Acc slots[2];
    wait_for_earlier_launches();
    Index member = cluster_rank() * THREADS + threadIdx.x;
    resident_row<THREADS * BLOCKS, VECTORS>(a, blockIdx.x / BLOCKS, member, Team{sums, largest, slots, 0});
    // No block leaves while another may read its slots.
    cluster_barrier();
}
