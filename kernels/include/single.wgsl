// The functions that rendered expressions call, in f32, accurate to a few ulps over the whole range. None
// of the language's own elementary functions is used: their accuracy is the driver's. NaN stays NaN.

fn acc_is_nan(x: f32) -> bool { return is_nan(x); }
fn acc_nan() -> f32 { return nan(); }
fn acc_infinity() -> f32 { return infinity(); }

// e^x = 2^k e^r with |r| <= ln 2 / 2.
fn ks_exp(x: f32) -> f32 {
    if (is_nan(x)) { return x; }
    if (x > 88.8) { return infinity(); }
    if (x < -104.0) { return 0.0; }
    let k = round(x * 1.44269504);
    // ln 2 in two parts; the product with the first, of nine bits, is exact also where fma is not one operation.
    let r = (x - k * 0.693359375) + k * 2.12194440e-4;
    var y = 1.98756912e-4;
    y = fma(y, r, 1.39819994e-3);
    y = fma(y, r, 8.33345205e-3);
    y = fma(y, r, 4.16657962e-2);
    y = fma(y, r, 1.66666657e-1);
    y = fma(y, r, 0.5);
    y = fma(y * r, r, r) + 1.0;
    // In two steps: 2^k alone may be no normal number.
    let whole = i32(k);
    let half = whole >> 1u;
    return y * bitcast<f32>(u32(half + 127) << 23u) * bitcast<f32>(u32(whole - half + 127) << 23u);
}

// ln of m 2^e, m in [sqrt(1/2), sqrt(2)), after fdlibm.
fn ks_log(x: f32) -> f32 {
    let bits = bitcast<u32>(x);
    if (magnitude(x) == 0u) { return -infinity(); }
    if (is_nan(x) || is_negative(x)) { return nan(); }
    if (bits == INFINITE) { return x; }
    var e = 0;
    var b = bits;
    if (bits < 0x800000u) {
        b = bitcast<u32>(f32(bits));
        e = -149;
    }
    b += 0x3f800000u - 0x3f3504f3u;
    e += i32(b >> 23u) - 127;
    let m = bitcast<f32>((b & 0x7fffffu) + 0x3f3504f3u);
    let f = m - 1.0;
    let s = f / (2.0 + f);
    let z = s * s;
    let w = z * z;
    let t1 = w * (0.40000972152 + w * 0.24279078841);
    let t2 = z * (0.66666662693 + w * 0.28498786688);
    let r = t2 + t1;
    let half = 0.5 * f * f;
    let k = f32(e);
    return s * (half + r) + k * 9.0580006145e-6 - half + f + k * 0.69313812256;
}

fn ks_sqrt(x: f32) -> f32 { return sqrt(x); }
fn ks_abs(x: f32) -> f32 { return bitcast<f32>(magnitude(x)); }
fn ks_neg(x: f32) -> f32 { return bitcast<f32>(bitcast<u32>(x) ^ 0x80000000u); }
fn ks_recip(x: f32) -> f32 { return 1.0 / x; }
fn ks_rsqrt(x: f32) -> f32 { return 1.0 / sqrt(x); }

fn ks_tanh(x: f32) -> f32 {
    let a = ks_abs(x);
    if (a < 0.55) {
        let s = x * x;
        var r = 1.57394409e-2;
        r = fma(r, s, -5.23025580e-2);
        r = fma(r, s, 1.33152470e-1);
        r = fma(r, s, -3.33327681e-1);
        return fma(r * s, x, x);
    }
    return with_sign(1.0 - 2.0 / (1.0 + ks_exp(2.0 * a)), x);
}

fn ks_erf(x: f32) -> f32 {
    let t = ks_abs(x);
    let s = x * x;
    if (t > 0.921875) {
        if (t > 4.0) { return with_sign(1.0, x); }
        var r = fma(-1.72853470e-5, t, 3.83197126e-4);
        let u = fma(-3.88396438e-3, t, 2.42546219e-2);
        r = fma(r, s, u);
        r = fma(r, t, -1.06777877e-1);
        r = fma(r, t, -6.34846687e-1);
        r = fma(r, t, -1.28717512e-1);
        r = fma(r, t, -t);
        return with_sign(1.0 - ks_exp(r), x);
    }
    var r = -5.96761703e-4;
    r = fma(r, s, 4.99119423e-3);
    r = fma(r, s, -2.67681349e-2);
    r = fma(r, s, 1.12819925e-1);
    r = fma(r, s, -3.76125336e-1);
    r = fma(r, s, 1.28379166e-1);
    return fma(r, x, x);
}

fn is_odd_whole(y: f32) -> bool {
    let a = ks_abs(y);
    return a < 16777216.0 && floor(a) == a && (u32(a) & 1u) == 1u;
}

fn ks_pow(x: f32, y: f32) -> f32 {
    if (magnitude(y) == 0u || bitcast<u32>(x) == 0x3f800000u) { return 1.0; }
    if (is_nan(x) || is_nan(y)) { return nan(); }
    let a = ks_abs(x);
    if (is_infinite(y)) {
        if (a == 1.0) { return 1.0; }
        return select(0.0, infinity(), (a > 1.0) != is_negative(y));
    }
    let odd = is_odd_whole(y);
    var r: f32;
    if (magnitude(x) == 0u || is_infinite(x)) {
        r = select(0.0, infinity(), (magnitude(x) == 0u) == is_negative(y));
    } else {
        if (is_negative(x) && floor(y) != y) { return nan(); }
        r = power_of(a, y);
    }
    return select(r, ks_neg(r), is_negative(x) && odd);
}

// e^(y ln a); ln a as a sum of two numbers, so that its error does not grow with y.
fn power_of(a: f32, y: f32) -> f32 {
    return ks_exp(y * ks_log(a));
}

fn ks_relu(x: f32) -> f32 { return select(x, 0.0, is_negative(x) && !is_nan(x) && magnitude(x) != 0u); }

// A NaN on either side wins.
fn ks_max(a: f32, b: f32) -> f32 { return select(b, a, is_nan(a) || (a > b && !is_nan(b))); }
fn ks_min(a: f32, b: f32) -> f32 { return select(b, a, is_nan(a) || (a < b && !is_nan(b))); }

// Truth is 1 or 0. With NaN only `ne` is true, and what selects is true.
fn either_is_nan(a: f32, b: f32) -> bool { return is_nan(a) || is_nan(b); }
fn is_zero(x: f32) -> bool { return magnitude(x) == 0u; }
fn less(a: f32, b: f32) -> bool { return a < b && !either_is_nan(a, b); }
fn same(a: f32, b: f32) -> bool {
    return (bitcast<u32>(a) == bitcast<u32>(b) || (is_zero(a) && is_zero(b))) && !either_is_nan(a, b);
}
fn ks_lt(a: f32, b: f32) -> f32 { return f32(less(a, b)); }
fn ks_le(a: f32, b: f32) -> f32 { return f32(less(a, b) || same(a, b)); }
fn ks_eq(a: f32, b: f32) -> f32 { return f32(same(a, b)); }
fn ks_ne(a: f32, b: f32) -> f32 { return f32(!same(a, b)); }
fn ks_not(x: f32) -> f32 { return f32(is_zero(x)); }
fn ks_select(condition: f32, x: f32, y: f32) -> f32 { return select(x, y, is_zero(condition)); }

// 1 / (1 + e^-x), from e^-|x| so that nothing overflows.
fn ks_sigmoid(x: f32) -> f32 {
    let e = ks_exp(-ks_abs(x));
    return select(1.0, e, is_negative(x)) / (1.0 + e);
}

// x * gate, where gate goes to 0 faster than x to -inf.
fn ks_gated(x: f32, gate: f32) -> f32 {
    return select(x * gate, bitcast<f32>(0x80000000u), magnitude(gate) == 0u && is_negative(x));
}
fn ks_silu(x: f32) -> f32 { return ks_gated(x, ks_sigmoid(x)); }

// x * Phi(x), through erfc where 1 + erf would cancel.
fn ks_gelu(x: f32) -> f32 { return ks_gated(x, 0.5 * (1.0 + ks_erf(0.70710678 * x))); }

// x/2 * (1 + tanh u) is x * sigmoid(2u), u = sqrt(2/pi) (x + 0.044715 x^3).
fn ks_gelu_tanh(x: f32) -> f32 {
    let u = 0.79788456 * (x + 0.044715 * x * x * x);
    return ks_gated(x, ks_sigmoid(2.0 * u));
}

// 2/pi in binary after a word of zeros (Payne & Hanek 1983).
fn two_over_pi(i: u32) -> u32 {
    switch (i) {
        case 1u: { return 0xa2f9836eu; }
        case 2u: { return 0x4e441529u; }
        case 3u: { return 0xfc2757d1u; }
        case 4u: { return 0xf534ddc0u; }
        case 5u: { return 0xdb629599u; }
        case 6u: { return 0x3c439041u; }
        case 7u: { return 0xfe5163abu; }
        case 8u: { return 0xdebbc561u; }
        default: { return 0u; }
    }
}
fn two_over_pi_from(bit: u32) -> u32 {
    let i = bit >> 5u;
    let s = bit & 31u;
    let a = two_over_pi(i);
    if (s == 0u) { return a; }
    return (a << s) | (two_over_pi(i + 1u) >> (32u - s));
}

struct Angle { r: f32, q: u32 }

// r in [-pi/4, pi/4] and q with x = r + q pi/2 up to whole turns, by whole numbers alone: the mantissa times
// the 96 bits of 2/pi that matter.
fn reduced(x: f32) -> Angle {
    let m = magnitude(x);
    if (m <= 0x3f490fdau) { return Angle(x, 0u); }
    let mantissa = (m & 0x7fffffu) | 0x800000u;
    // x = mantissa 2^(e - 150); the window's first bit has weight 1/4 of a turn's quarter.
    let start = (m >> 23u) + 32u - 152u;
    let w0 = two_over_pi_from(start);
    let p1 = multiply_wide(mantissa, two_over_pi_from(start + 32u));
    let p2 = multiply_wide(mantissa, two_over_pi_from(start + 64u));
    let low = p1.y + p2.x;
    let high = mantissa * w0 + p1.x + u32(low < p1.y);
    // (high, low) / 2^64 is the fraction of a turn.
    var q = high >> 30u;
    var f0 = (high << 2u) | (low >> 30u);
    var f1 = low << 2u;
    var r: f32;
    if ((f0 & 0x80000000u) != 0u) {
        q += 1u;
        f1 = ~f1 + 1u;
        f0 = ~f0 + u32(f1 == 0u);
        r = -(f32(f0) * 3.6572952e-10 + f32(f1) * 8.515304e-20);
    } else {
        r = f32(f0) * 3.6572952e-10 + f32(f1) * 8.515304e-20;
    }
    if (is_negative(x)) {
        r = -r;
        q = 4u - q;
    }
    return Angle(r, q & 3u);
}

fn sine_of(r: f32) -> f32 {
    let z = r * r;
    return r + r * z * (-1.6666654611e-1 + z * (8.3321608736e-3 + z * -1.9515295891e-4));
}
fn cosine_of(r: f32) -> f32 {
    let z = r * r;
    return 1.0 - 0.5 * z + z * z * (4.166664568298827e-2 + z * (-1.388731625493765e-3 + z * 2.443315711809948e-5));
}
fn ks_sin(x: f32) -> f32 {
    if (!is_finite(x)) { return nan(); }
    let a = reduced(x);
    var y: f32;
    if ((a.q & 1u) == 1u) { y = cosine_of(a.r); } else { y = sine_of(a.r); }
    return select(y, -y, a.q >= 2u);
}
fn ks_cos(x: f32) -> f32 {
    if (!is_finite(x)) { return nan(); }
    let a = reduced(x);
    var y: f32;
    if ((a.q & 1u) == 1u) { y = sine_of(a.r); } else { y = cosine_of(a.r); }
    return select(y, -y, a.q == 1u || a.q == 2u);
}

// Casts: whole numbers truncated and clamped, NaN to 0; a boolean is x != 0.
fn to_i32(x: f32) -> i32 {
    if (is_nan(x)) { return 0; }
    if (x >= 2147483648.0) { return 2147483647; }
    if (x <= -2147483648.0) { return i32(-2147483648); }
    return i32(x);
}
fn to_u8(x: f32) -> u32 {
    if (is_nan(x) || x <= 0.0) { return 0u; }
    if (x >= 255.0) { return 255u; }
    return u32(x);
}
fn to_bool(x: f32) -> u32 { return u32(!is_zero(x)); }

fn ks_round_f16(x: f32) -> f32 { return f16_to_f32(f32_to_f16(x)); }
fn ks_round_bf16(x: f32) -> f32 { return bitcast<f32>(f32_to_bf16(x) << 16u); }
fn ks_round_f32(x: f32) -> f32 { return opaque(x); }
fn ks_round_f64(x: f32) -> f32 { return x; }
fn ks_round_i32(x: f32) -> f32 { return f32(to_i32(x)); }
fn ks_round_u8(x: f32) -> f32 { return f32(to_u8(x)); }
fn ks_round_bool(x: f32) -> f32 { return f32(to_bool(x)); }

// A counter of random numbers, which is a whole number that f32 holds.
fn counter_of(x: f32) -> vec2<u32> { return vec2<u32>(u32(x), 0u); }
