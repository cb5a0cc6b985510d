// Copies of plain runs of bytes by Hopper's copy engine (PTX ISA, "cp.async.bulk"): no descriptor, 16-byte
// aligned, counted at a barrier in shared memory.
#pragma once

__device__ __forceinline__ void copy_bytes(unsigned to, const void* from, unsigned bytes, unsigned barrier) {
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(to),
                 "l"(from), "r"(bytes), "r"(barrier)
                 : "memory");
}

// The same to every block of the cluster whose bit is set in `blocks`, at the same place in each.
__device__ __forceinline__ void copy_bytes_to(unsigned to, const void* from, unsigned bytes, unsigned barrier,
                                              unsigned short blocks) {
    asm volatile(
        "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [%0], [%1], %2, [%3], %4;"
        ::"r"(to), "l"(from), "r"(bytes), "r"(barrier), "h"(blocks)
        : "memory");
}

// What launches before this one wrote to global memory becomes visible to the copy engine; a wait for them comes
// first.
__device__ __forceinline__ void fence_async_global() { asm volatile("fence.proxy.async.global;" ::: "memory"); }
