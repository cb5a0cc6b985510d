// What attention kernels share: types, the view of an operand, the keys that a query sees.
//
// The prelude before this says what is fixed when a kernel is compiled: the dtype, HEAD numbers of a head, CAUSAL.
#pragma once
#include "dtype.cuh"
#include "memory.cuh"

// A view [batch, heads, rows, HEAD]. Strides are in elements; 0 broadcasts, negative ones run backwards.
template <class P>
struct Heads {
    P* data;
    long long batch_stride, head_stride, row_stride, col_stride;

    __device__ __forceinline__ P* at(long long batch, long long head, long long row) const {
        return data + (batch * batch_stride + head * head_stride + row * row_stride);
    }
};

// The first keys, as many, are what a query sees: the triangle ends at the lower right.
__device__ __forceinline__ int visible(int query, int queries, int keys) {
    return CAUSAL ? keys - queries + query + 1 : keys;
}

__device__ __forceinline__ int ceil_div(int a, int b) { return a / b + (a % b != 0); }
__device__ __forceinline__ int smaller(int a, int b) { return a < b ? a : b; }

constexpr float LOG2_E = 1.4426950408889634f;

__device__ __forceinline__ float minus_infinity() { return __int_as_float((int)0xff800000u); }

// What a maximum is subtracted as: where there was no score above -inf yet, weights are 0 and not NaN.
__device__ __forceinline__ float base_of(float largest) { return largest == minus_infinity() ? 0.0f : largest; }

// 2^x within 2 ulps (PTX ISA, "ex2"), what is below 2^-126 as 0. NaN stays NaN.
__device__ __forceinline__ float power_of_two(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}
