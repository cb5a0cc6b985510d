// Eight-bit floats of A and B, two at once through the one instruction that reads them.
#pragma once

// Both numbers of a pair of codes, exact: the lower code first.
template <bool IS_E4M3>
__device__ __forceinline__ void decode_pair(unsigned short codes, float& first, float& second) {
    unsigned halves;
    if constexpr (IS_E4M3) {
        asm("cvt.rn.f16x2.e4m3x2 %0, %1;" : "=r"(halves) : "h"(codes));
    } else {
        asm("cvt.rn.f16x2.e5m2x2 %0, %1;" : "=r"(halves) : "h"(codes));
    }
    asm("{\n\t.reg .b16 low, high;\n\tmov.b32 {low, high}, %2;\n\tcvt.f32.f16 %0, low;\n\tcvt.f32.f16 %1, high;\n\t}"
        : "=f"(first), "=f"(second)
        : "r"(halves));
}
