// Storage types and their conversions. No toolkit header: each conversion is one instruction.
//
// T is what lies in memory, Acc what is computed with: float, or double when T is double.
#pragma once
#include "cast.cuh"

#if DTYPE_F16
using T = f16;
using Acc = float;
#elif DTYPE_BF16
using T = bf16;
using Acc = float;
#elif DTYPE_F64
using T = double;
using Acc = double;
#else
using T = float;
using Acc = float;
#endif

// Round to nearest even; NaN and infinity stay what they are.
template <class U>
__device__ __forceinline__ U round_to(Acc x);
template <>
__device__ __forceinline__ f16 round_to<f16>(Acc x) {
    f16 y;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y.bits) : "f"((float)x));
    return y;
}
template <>
__device__ __forceinline__ bf16 round_to<bf16>(Acc x) {
    bf16 y;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y.bits) : "f"((float)x));
    return y;
}
template <>
__device__ __forceinline__ float round_to<float>(Acc x) {
    return (float)x;
}
template <>
__device__ __forceinline__ double round_to<double>(Acc x) {
    return (double)x;
}
__device__ __forceinline__ T from_acc(Acc x) { return round_to<T>(x); }

__device__ __forceinline__ unsigned bits_of(f16 x) { return x.bits; }
__device__ __forceinline__ unsigned bits_of(bf16 x) { return x.bits; }
__device__ __forceinline__ unsigned bits_of(float x) { return __float_as_uint(x); }
__device__ __forceinline__ unsigned long long bits_of(double x) { return (unsigned long long)__double_as_longlong(x); }

// N consecutive elements as they lie in memory, held in 32-bit registers.
// Index with constants only: the words must stay registers.
template <int N>
struct Vector {
    static constexpr int BYTES = N * (int)sizeof(T);
    static constexpr int WORDS = (BYTES + 3) / 4;
    unsigned word[WORDS];

    __device__ __forceinline__ void clear() {
#pragma unroll
        for (int i = 0; i < WORDS; ++i) word[i] = 0;
    }

    __device__ __forceinline__ Acc get(int i) const {
#if DTYPE_F16
        return to_acc(f16{(unsigned short)(word[i / 2] >> (16 * (i % 2)))});
#elif DTYPE_BF16
        return __uint_as_float(i % 2 ? word[i / 2] & 0xffff0000u : word[i / 2] << 16);
#elif DTYPE_F64
        return __hiloint2double((int)word[2 * i + 1], (int)word[2 * i]);
#else
        return __uint_as_float(word[i]);
#endif
    }

    __device__ __forceinline__ void set(int i, T x) {
        if constexpr (sizeof(T) == 2) {
            unsigned half = (unsigned)bits_of(x) << (16 * (i % 2));
            word[i / 2] = i % 2 ? (word[i / 2] & 0xffffu) | half : half;  // fill in ascending order
        } else if constexpr (sizeof(T) == 4) {
            word[i] = (unsigned)bits_of(x);
        } else {
            word[2 * i] = (unsigned)bits_of(x);
            word[2 * i + 1] = (unsigned)((unsigned long long)bits_of(x) >> 32);
        }
    }
};
