// Warpgroup-level matrix instructions on eight-bit floats: as in wgmma.cuh, 32 k an instruction, both operands
// along k. Sums are f32 registers of which the instructions keep 13 bits behind the leading one.
#pragma once
#include "wgmma.cuh"

#if A_E4M3
#define KS_FP8_A "e4m3"
#else
#define KS_FP8_A "e5m2"
#endif
#if B_E4M3
#define KS_FP8_B "e4m3"
#else
#define KS_FP8_B "e5m2"
#endif
#define KS_WGMMA_FP8(N)                                                                                        \
    asm volatile(                                                                                              \
        "{\n\t.reg .pred p;\n\tsetp.ne.b32 p, %2, 0;\n\t"                                                      \
        "wgmma.mma_async.sync.aligned.m64n" #N "k32.f32." KS_FP8_A "." KS_FP8_B " {" KS_PS_##N "}, %0, %1, p, 1, 1;\n\t}" \
        : "+l"(a), "+l"(b), "+r"(add), KS_DS_##N)

// d = a b, or d += a b where add is not 0, as `matrix_step`.
template <int N>
__device__ __forceinline__ void fp8_step(float (&d)[N / 2], unsigned long long a, unsigned long long b, int add) {
    static_assert(N == 64 || N == 128 || N == 192 || N == 256, "a width that is spelt out below");
    if constexpr (N == 64) {
        KS_WGMMA_FP8(64);
    } else if constexpr (N == 128) {
        KS_WGMMA_FP8(128);
    } else if constexpr (N == 192) {
        KS_WGMMA_FP8(192);
    } else {
        KS_WGMMA_FP8(256);
    }
}
