// Loads for kernels that overlap with the launches ahead of them (overlap.cuh).
#pragma once

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

// --- into L2, before the wait ---
//
// This reads nothing, so it may come before the wait: what the launches ahead still write replaces in L2 what is
// brought there. What lies there already costs next to nothing; what does not would queue behind the weights that
// this launch and the next ones have asked for, 2 us of HBM's work.

__device__ __forceinline__ void bring(const void* p) { asm volatile("prefetch.global.L2 [%0];" ::"l"(p)); }

// The first `rows` rows of a matrix whose k elements of a row lie side by side, each line once, by the first blocks
// of a row of the grid.
__device__ __forceinline__ void bring_rows(const Matrix<const T>& a, long long z, int rows, int k, int threads) {
    constexpr int BLOCKS = 128, LINE = 128 / sizeof(T);
    if (blockIdx.x >= BLOCKS) return;
    for (int row = threadIdx.x; row < rows; row += threads) {
        const T* from = a.at(z, row, 0);
        // A row may begin anywhere in a line, so there is one more to touch.
        for (int at = blockIdx.x * LINE; at < k + LINE; at += smaller((int)gridDim.x, BLOCKS) * LINE) {
            bring(from + smaller(at, k - 1));
        }
    }
}
