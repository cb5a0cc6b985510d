// sin and cos over the whole range without local memory, which the toolkit's functions use.
// The argument is reduced in double for both types; polynomials after Cephes (float) and fdlibm (double).
#pragma once

// 2/pi in binary, after one word of zeros (Payne & Hanek 1983: bits far above the argument's do not count).
__device__ __constant__ const unsigned long long TWO_OVER_PI[19] = {
    0x0ull, 0xa2f9836e4e441529ull, 0xfc2757d1f534ddc0ull, 0xdb6295993c439041ull,
    0xfe5163abdebbc561ull, 0xb7246e3a424dd2e0ull, 0x06492eea09d1921cull, 0xfe1deb1cb129a73eull,
    0xe88235f52ebb4484ull, 0xe99c7026b45f7e41ull, 0x3991d639835339f4ull, 0x9c845f8bbdf9283bull,
    0x1ff897ffde05980full, 0xef2f118b5a0a6d1full, 0x6d367ecf27cb09b7ull, 0x4f463f669e5fea2dull,
    0x7527bac7ebe5f17bull, 0x3d0739f78a5292eaull, 0x6bfb5fb11f8d5d08ull,
};

// r in [-pi/4, pi/4] and q in 0..3 with x = r + (q + 4 whole) pi/2, to 2^-54 absolute.
__device__ __forceinline__ double reduce_angle(double x, int& q) {
    if (fabs(x) < 1073741824.0) {
        double k = rint(x * 0.63661977236758134308);
        q = (int)k & 3;
        return fma(-k, 6.123233995736766e-17, fma(-k, 1.5707963267948966, x));
    }
    if (!(fabs(x) < __longlong_as_double(0x7ff0000000000000ll))) {
        q = 0;
        return x - x;  // NaN
    }
    unsigned long long bits = (unsigned long long)__double_as_longlong(x);
    int exponent = (int)(bits >> 52 & 0x7ff) - 1075;
    unsigned long long m = (bits & 0xfffffffffffffull) | 0x10000000000000ull;
    // 128 bits of 2/pi, the first of which m lifts to the weight 2.
    int start = 62 + exponent, word = start >> 6, shift = start & 63;
    unsigned long long a = TWO_OVER_PI[word], b = TWO_OVER_PI[word + 1], c = TWO_OVER_PI[word + 2];
    unsigned long long high = shift ? a << shift | b >> (64 - shift) : a;
    unsigned long long low = shift ? b << shift | c >> (64 - shift) : b;
    unsigned long long product_low = m * low;
    unsigned long long product = m * high + __umul64hi(m, low);
    // Two bits of quadrant, then the fraction; a fraction over a half counts from the next quadrant.
    long long fraction = (long long)(product << 2 | product_low >> 62);
    int quadrant = (int)(product >> 62) + (fraction < 0);
    double r = (double)fraction * (1.5707963267948966 / 18446744073709551616.0);
    bool negative = (long long)bits < 0;
    q = (negative ? -quadrant : quadrant) & 3;
    return negative ? -r : r;
}

__device__ __forceinline__ float sine_or_cosine(float r, bool cosine) {
    float z = r * r;
    float s = r + r * z * (-1.6666654611e-1f + z * (8.3321608736e-3f + z * -1.9515295891e-4f));
    float c = 1.0f - 0.5f * z + z * z * (4.166664568298827e-2f + z * (-1.388731625493765e-3f + z * 2.443315711809948e-5f));
    return cosine ? c : s;
}

__device__ __forceinline__ double sine_or_cosine(double r, bool cosine) {
    double z = r * r;
    double s = 1.58969099521155010221e-10;
    s = fma(z, s, -2.50507602534068634195e-08);
    s = fma(z, s, 2.75573137070700676789e-06);
    s = fma(z, s, -1.98412698298579493134e-04);
    s = fma(z, s, 8.33333333332248946124e-03);
    s = fma(z, s, -1.66666666666666324348e-01);
    s = fma(r * z, s, r);
    double c = -1.13596475577881948265e-11;
    c = fma(z, c, 2.08757232129817482790e-09);
    c = fma(z, c, -2.75573143513906633035e-07);
    c = fma(z, c, 2.48015872894767294178e-05);
    c = fma(z, c, -1.38888888888741095749e-03);
    c = fma(z, c, 4.16666666666666019037e-02);
    c = fma(z * z, c, fma(-0.5, z, 1.0));
    return cosine ? c : s;
}

template <class F>
__device__ __forceinline__ F ks_sin(F x) {
    int q;
    F r = (F)reduce_angle((double)x, q);
    F y = sine_or_cosine(r, q & 1);
    return q & 2 ? -y : y;
}

template <class F>
__device__ __forceinline__ F ks_cos(F x) {
    int q;
    F r = (F)reduce_angle((double)x, q);
    F y = sine_or_cosine(r, !(q & 1));
    return q == 1 || q == 2 ? -y : y;
}
