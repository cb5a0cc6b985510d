// Random numbers from a seed and a counter: the same bits as crates/core/src/random.rs gives. Every
// operation is rounded once and none contracted, so each is written as the intrinsic that says so.
#pragma once

// SplitMix64 (Steele, Lea, Flood 2014) as a counter-based generator.
__device__ __forceinline__ unsigned long long random_bits(unsigned long long seed, unsigned long long counter) {
    unsigned long long z = seed + (counter + 1) * 0x9e3779b97f4a7c15ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

// 24 bits as a number in [0, 1).
__device__ __forceinline__ float random_unit(unsigned long long bits) {
    return __fmul_rn((float)((unsigned)bits & 0xffffffu), 1.0f / 16777216.0f);
}

// ln of a number in (0, 1] by x = m 2^e and the series of artanh.
__device__ __forceinline__ float random_log(float x) {
    unsigned bits = __float_as_uint(x);
    int e = (int)(bits >> 23) - 127;
    float m = __uint_as_float((bits & 0x7fffffu) | 0x3f800000u);
    if (m > 1.4142135f) {
        m = __fmul_rn(m, 0.5f);
        e += 1;
    }
    float s = __fdiv_rn(__fadd_rn(m, -1.0f), __fadd_rn(m, 1.0f));
    float z = __fmul_rn(s, s);
    float series = __fadd_rn(0.14285715f, __fmul_rn(z, 0.11111111f));
    series = __fadd_rn(0.2f, __fmul_rn(z, series));
    series = __fadd_rn(0.33333334f, __fmul_rn(z, series));
    float t = __fadd_rn(s, __fmul_rn(s, __fmul_rn(z, series)));
    return __fadd_rn(__fmul_rn((float)e, 0.6931472f), __fadd_rn(t, t));
}

// cos(2 pi u) for u in [0, 1).
__device__ __forceinline__ float random_cos_turn(float u) {
    int q = __float2int_rz(__fadd_rn(__fmul_rn(u, 4.0f), 0.5f));
    float t = __fmul_rn(__fsub_rn(u, __fmul_rn((float)q, 0.25f)), 6.2831855f);
    float z = __fmul_rn(t, t);
    float c = __fadd_rn(-0.0013888889f, __fmul_rn(z, 2.4801587e-5f));
    c = __fadd_rn(0.041666668f, __fmul_rn(z, c));
    c = __fadd_rn(-0.5f, __fmul_rn(z, c));
    c = __fadd_rn(1.0f, __fmul_rn(z, c));
    float s = __fadd_rn(-0.0001984127f, __fmul_rn(z, 2.7557319e-6f));
    s = __fadd_rn(0.008333334f, __fmul_rn(z, s));
    s = __fadd_rn(-0.16666667f, __fmul_rn(z, s));
    s = __fadd_rn(t, __fmul_rn(t, __fmul_rn(z, s)));
    float y = q & 1 ? s : c;
    return ((q & 3) == 1 || (q & 3) == 2) ? -y : y;
}

// Uniform in [0, 1).
__device__ __forceinline__ float ks_uniform(unsigned long long seed, unsigned long long counter) {
    return random_unit(random_bits(seed, counter) >> 40);
}

// Mean 0, variance 1 (Box & Muller 1958).
__device__ __forceinline__ float ks_normal(unsigned long long seed, unsigned long long counter) {
    unsigned long long h = random_bits(seed, counter);
    float u = __fadd_rn(random_unit(h >> 40), 1.0f / 16777216.0f);
    float radius = __fsqrt_rn(__fmul_rn(-2.0f, random_log(u)));
    return __fmul_rn(radius, random_cos_turn(random_unit(h >> 16)));
}
