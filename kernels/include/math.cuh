// The functions that rendered epilogues call, for float and double, accurate to a few ulps
// over the whole range: no fast approximation, no overflow on the way to a finite answer.
// NaN stays NaN; at -inf the smooth activations take their limit, which is -0 or 0.
#pragma once

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
template <class F>
__device__ __forceinline__ F ks_max(F a, F b) {
    return a > b || a != a ? a : b;
}
template <class F>
__device__ __forceinline__ F ks_min(F a, F b) {
    return a < b || a != a ? a : b;
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
