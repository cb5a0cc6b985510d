// Storage types and casts between them and the arithmetic (float or double), as Rust's `as` does them:
// to nearest even for floats; whole numbers truncated and clamped, NaN to 0; a boolean is x != 0.
// No toolkit header: nearly every cast is one instruction.
#pragma once

struct f16 {
    unsigned short bits;
};
struct bf16 {
    unsigned short bits;
};
// One byte, 0 or 1.
struct boolean {
    unsigned char bits;
};
using f32 = float;
using f64 = double;
using i32 = int;
using u8 = unsigned char;

__device__ __forceinline__ float to_acc(f16 x) {
    float y;
    asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x.bits));
    return y;
}
__device__ __forceinline__ float to_acc(bf16 x) { return __uint_as_float((unsigned)x.bits << 16); }
__device__ __forceinline__ float to_acc(float x) { return x; }
__device__ __forceinline__ double to_acc(double x) { return x; }
__device__ __forceinline__ int to_acc(int x) { return x; }
__device__ __forceinline__ int to_acc(u8 x) { return x; }
__device__ __forceinline__ int to_acc(boolean x) { return x.bits; }

// The number that is stored, in arithmetic F. Exact, save for whole numbers over 2^24 in float.
template <class F, class U>
__device__ __forceinline__ F widen(U x) {
    return F(to_acc(x));
}

// Rounded towards zero with the last bit set where that changed the number: a further rounding to
// fewer bits is then as if there had been one ("round to odd", Boldo & Melquiond 2008).
__device__ __forceinline__ float round_to_odd(double x) {
    float y = __double2float_rz(x);
    return (double)y == x ? y : __uint_as_float(__float_as_uint(y) | 1u);
}

__device__ __forceinline__ void narrow(f16& y, float x) { asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y.bits) : "f"(x)); }
__device__ __forceinline__ void narrow(f16& y, double x) { narrow(y, round_to_odd(x)); }
__device__ __forceinline__ void narrow(bf16& y, float x) { asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y.bits) : "f"(x)); }
__device__ __forceinline__ void narrow(bf16& y, double x) { narrow(y, round_to_odd(x)); }
__device__ __forceinline__ void narrow(float& y, float x) { y = x; }
__device__ __forceinline__ void narrow(float& y, double x) { y = (float)x; }
__device__ __forceinline__ void narrow(double& y, float x) { y = x; }
__device__ __forceinline__ void narrow(double& y, double x) { y = x; }
// The conversion instruction clamps, and takes a NaN in float to 0; not so in double.
__device__ __forceinline__ void narrow(int& y, float x) { y = __float2int_rz(x); }
__device__ __forceinline__ void narrow(int& y, double x) { y = x == x ? __double2int_rz(x) : 0; }
template <class F>
__device__ __forceinline__ void narrow(u8& y, F x) {
    int whole;
    narrow(whole, x);
    y = (u8)(whole < 0 ? 0 : whole > 255 ? 255 : whole);
}
template <class F>
__device__ __forceinline__ void narrow(boolean& y, F x) {
    y.bits = x != F(0);
}

// The stored number nearest to x.
template <class U, class F>
__device__ __forceinline__ U narrowed(F x) {
    U y;
    narrow(y, x);
    return y;
}

// Casts there and back.
template <class F>
__device__ __forceinline__ F ks_round_f16(F x) {
    return widen<F>(narrowed<f16>(x));
}
template <class F>
__device__ __forceinline__ F ks_round_bf16(F x) {
    return widen<F>(narrowed<bf16>(x));
}
template <class F>
__device__ __forceinline__ F ks_round_f32(F x) {
    return widen<F>(narrowed<float>(x));
}
template <class F>
__device__ __forceinline__ F ks_round_f64(F x) {
    return x;
}
template <class F>
__device__ __forceinline__ F ks_round_i32(F x) {
    return widen<F>(narrowed<int>(x));
}
template <class F>
__device__ __forceinline__ F ks_round_u8(F x) {
    return widen<F>(narrowed<u8>(x));
}
template <class F>
__device__ __forceinline__ F ks_round_bool(F x) {
    return widen<F>(narrowed<boolean>(x));
}
