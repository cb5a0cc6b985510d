// The functions that rendered expressions call, for float and double, accurate to a few ulps
// over the whole range: no fast approximation, no overflow on the way to a finite answer.
// NaN stays NaN; at -inf the smooth activations take their limit, which is -0 or 0.
#pragma once
#include "trig.cuh"

__device__ __forceinline__ float ks_exp(float x) { return expf(x); }
__device__ __forceinline__ double ks_exp(double x) { return exp(x); }
__device__ __forceinline__ float ks_log(float x) { return logf(x); }
__device__ __forceinline__ double ks_log(double x) { return log(x); }
__device__ __forceinline__ float ks_sqrt(float x) { return sqrtf(x); }
__device__ __forceinline__ double ks_sqrt(double x) { return sqrt(x); }
__device__ __forceinline__ float ks_tanh(float x) { return tanhf(x); }
__device__ __forceinline__ double ks_tanh(double x) { return tanh(x); }
__device__ __forceinline__ float ks_abs(float x) { return fabsf(x); }
__device__ __forceinline__ double ks_abs(double x) { return fabs(x); }
__device__ __forceinline__ float ks_erfc(float x) { return erfcf(x); }
__device__ __forceinline__ double ks_erfc(double x) { return erfc(x); }

__device__ __forceinline__ float ks_erf(float x) { return erff(x); }
__device__ __forceinline__ double ks_erf(double x) { return erf(x); }
__device__ __forceinline__ float ks_rsqrt(float x) { return rsqrtf(x); }
__device__ __forceinline__ double ks_rsqrt(double x) { return rsqrt(x); }
__device__ __forceinline__ float ks_pow(float x, float y) { return powf(x, y); }
__device__ __forceinline__ double ks_pow(double x, double y) { return pow(x, y); }

template <class F>
__device__ __forceinline__ F ks_neg(F x) {
    return -x;
}
template <class F>
__device__ __forceinline__ F ks_recip(F x) {
    return F(1) / x;
}
template <class F>
__device__ __forceinline__ F ks_relu(F x) {
    return x < F(0) ? F(0) : x;
}

// A NaN on either side wins.
__device__ __forceinline__ float ks_max(float a, float b) {
    float c;
    asm("max.NaN.f32 %0, %1, %2;" : "=f"(c) : "f"(a), "f"(b));
    return c;
}
__device__ __forceinline__ float ks_min(float a, float b) {
    float c;
    asm("min.NaN.f32 %0, %1, %2;" : "=f"(c) : "f"(a), "f"(b));
    return c;
}
__device__ __forceinline__ double ks_max(double a, double b) { return a > b || a != a ? a : b; }
__device__ __forceinline__ double ks_min(double a, double b) { return a < b || a != a ? a : b; }

// Truth is 1 or 0. With NaN only `ne` is true, and what selects is true.
template <class F>
__device__ __forceinline__ F ks_lt(F a, F b) {
    return a < b ? F(1) : F(0);
}
template <class F>
__device__ __forceinline__ F ks_le(F a, F b) {
    return a <= b ? F(1) : F(0);
}
template <class F>
__device__ __forceinline__ F ks_eq(F a, F b) {
    return a == b ? F(1) : F(0);
}
template <class F>
__device__ __forceinline__ F ks_ne(F a, F b) {
    return a != b ? F(1) : F(0);
}
template <class F>
__device__ __forceinline__ F ks_not(F x) {
    return x == F(0) ? F(1) : F(0);
}
template <class F>
__device__ __forceinline__ F ks_select(F condition, F x, F y) {
    return condition != F(0) ? x : y;
}

// 1 / (1 + e^-x), from e^-|x| so that nothing overflows.
template <class F>
__device__ __forceinline__ F ks_sigmoid(F x) {
    F e = ks_exp(-ks_abs(x));
    return (x < F(0) ? e : F(1)) / (F(1) + e);
}

// x * gate, where gate goes to 0 faster than x to -inf.
template <class F>
__device__ __forceinline__ F ks_gated(F x, F gate) {
    return gate == F(0) && x < F(0) ? F(-0.0) : x * gate;
}

template <class F>
__device__ __forceinline__ F ks_silu(F x) {
    return ks_gated(x, ks_sigmoid(x));
}

// x * Phi(x). erfc keeps the relative accuracy that 1 + erf loses for negative x.
template <class F>
__device__ __forceinline__ F ks_gelu(F x) {
    return ks_gated(x, F(0.5) * ks_erfc(F(-0.70710678118654752440) * x));
}

// x/2 * (1 + tanh u) is x * sigmoid(2u), u = sqrt(2/pi) (x + 0.044715 x^3).
template <class F>
__device__ __forceinline__ F ks_gelu_tanh(F x) {
    F u = F(0.79788456080286535588) * (x + F(0.044715) * x * x * x);
    return ks_gated(x, ks_sigmoid(F(2) * u));
}
