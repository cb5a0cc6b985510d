// The last of several blocks to arrive finishes what they began, in one launch.
#pragma once

// Called by one thread of each of `count` blocks, after it wrote what the last one shall read. True in the
// last; the counter is back at 0 then. Acquire and release order this thread's accesses, and through a
// barrier those of the others.
__device__ __forceinline__ bool arrive(unsigned* counter, unsigned count) {
    unsigned before;
    asm volatile("atom.acq_rel.gpu.global.inc.u32 %0, [%1], %2;"
                 : "=r"(before)
                 : "l"(counter), "r"(count - 1)
                 : "memory");
    return before == count - 1;
}

// What another block wrote: from L2.
__device__ __forceinline__ float read_partial(const float* p) { return __ldcg(p); }
__device__ __forceinline__ double read_partial(const double* p) { return __ldcg(p); }
__device__ __forceinline__ unsigned read_partial(const unsigned* p) { return __ldcg(p); }
__device__ __forceinline__ unsigned long long read_partial(const unsigned long long* p) { return __ldcg(p); }

// Where `count` positions lie behind as many values in the workspace, which has 16 bytes for each and 16 more.
__device__ __forceinline__ Index* positions_after(Acc* values, long long count) {
    return (Index*)(values + (count + count % 2));
}
