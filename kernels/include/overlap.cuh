// Launches that overlap (programmatic dependent launch): the next one begins while this one works, and waits
// where it needs what those ahead of it leave behind.
#pragma once

__device__ __forceinline__ void launch_next() { asm volatile("griddepcontrol.launch_dependents;" ::: "memory"); }

// Until the launches ahead have ended and what they wrote can be seen. Before it nothing may be written, and
// nothing read but what is settled: operands that no launch writes which may still be running.
__device__ __forceinline__ void wait_for_launches() { asm volatile("griddepcontrol.wait;" ::: "memory"); }

// 16 bytes. Read-only loads (memory.cuh) have no place behind a wait: what they read counts as constant for the
// whole launch, and the assembler was seen to move them ahead of it.
__device__ __forceinline__ void load_16(unsigned* word, const void* p) {
    asm volatile("ld.global.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(word[0]), "=r"(word[1]), "=r"(word[2]), "=r"(word[3])
                 : "l"(p)
                 : "memory");
}
// The same for what is used once: leaves L1 to others.
__device__ __forceinline__ void load_stream_16(unsigned* word, const void* p) {
    asm volatile("ld.global.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(word[0]), "=r"(word[1]), "=r"(word[2]), "=r"(word[3])
                 : "l"(p)
                 : "memory");
}
