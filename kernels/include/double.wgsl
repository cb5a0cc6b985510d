// The functions that rendered expressions call, in f64, after fdlibm (Sun Microsystems 1993): accurate to a
// few ulps over the whole range. Needs an adapter with f64 and 64-bit whole numbers. NaN stays NaN.

fn bits64(x: f64) -> u64 { return bitcast<u64>(x); }
fn high_word(x: f64) -> u32 { return u32(bits64(x) >> 32u); }
fn from_words(high: u32, low: u32) -> f64 { return bitcast<f64>((u64(high) << 32u) | u64(low ^ args.zero)); }
fn acc_nan() -> f64 { return from_words(0x7fffffffu, 0xffffffffu); }
fn acc_infinity() -> f64 { return from_words(0x7ff00000u, 0u); }
fn power_of_two(k: i32) -> f64 { return from_words(u32(k + 1023) << 20u, 0u); }

fn acc_is_nan(x: f64) -> bool { return (bits64(x) & 0x7ffffffffffffffflu) > 0x7ff0000000000000lu; }
fn acc_is_infinite(x: f64) -> bool { return (bits64(x) & 0x7ffffffffffffffflu) == 0x7ff0000000000000lu; }
fn acc_is_negative(x: f64) -> bool { return (high_word(x) >> 31u) != 0u; }
fn is_zero(x: f64) -> bool { return (bits64(x) & 0x7ffffffffffffffflu) == 0lu; }

fn ks_abs(x: f64) -> f64 { return bitcast<f64>(bits64(x) & 0x7ffffffffffffffflu); }
fn ks_neg(x: f64) -> f64 { return bitcast<f64>(bits64(x) ^ 0x8000000000000000lu); }
fn acc_with_sign(x: f64, sign: f64) -> f64 {
    return bitcast<f64>((bits64(x) & 0x7ffffffffffffffflu) | (bits64(sign) & 0x8000000000000000lu));
}
fn ks_sqrt(x: f64) -> f64 { return sqrt(x); }
fn ks_recip(x: f64) -> f64 { return 1.0 / x; }
fn ks_rsqrt(x: f64) -> f64 { return 1.0 / sqrt(x); }

// y 2^k in two steps: 2^k alone may be no normal number.
fn scaled(y: f64, k: i32) -> f64 {
    let half = k >> 1u;
    return y * power_of_two(half) * power_of_two(k - half);
}

fn ks_exp(x: f64) -> f64 {
    if (acc_is_nan(x)) { return x; }
    if (x > 709.8) { return acc_infinity(); }
    if (x < -745.2) { return 0.0; }
    let k = floor(x * 1.44269504088896338700 + 0.5);
    let hi = x - k * 6.93147180369123816490e-01;
    let lo = k * 1.90821492927058770002e-10;
    let r = hi - lo;
    let t = r * r;
    let c = r - t * (1.66666666666666019037e-01 + t * (-2.77777777770155933842e-03 + t * (6.61375632143793436117e-05
        + t * (-1.65339022054652515390e-06 + t * 4.13813679705723846039e-08))));
    let y = 1.0 - ((lo - (r * c) / (2.0 - c)) - hi);
    return scaled(y, i32(k));
}

fn ks_log(x: f64) -> f64 {
    if (is_zero(x)) { return -acc_infinity(); }
    if (acc_is_nan(x) || acc_is_negative(x)) { return acc_nan(); }
    if (acc_is_infinite(x)) { return x; }
    var y = x;
    var e = 0;
    if (high_word(x) < 0x00100000u) {
        y = x * 18014398509481984.0;
        e = -54;
    }
    let b = bits64(y);
    let hx = u32(b >> 32u) + (0x3ff00000u - 0x3fe6a09eu);
    e += i32(hx >> 20u) - 1023;
    let m = bitcast<f64>((u64((hx & 0xfffffu) + 0x3fe6a09eu) << 32u) | (b & 0xfffffffflu));
    let f = m - 1.0;
    let half = 0.5 * f * f;
    let s = f / (2.0 + f);
    let z = s * s;
    let w = z * z;
    let t1 = w * (3.999999999940941908e-01 + w * (2.222219843214978396e-01 + w * 1.531383769920937332e-01));
    let t2 = z * (6.666666666666735130e-01 + w * (2.857142874366239149e-01 + w * (1.818357216161805012e-01
        + w * 1.479819860510511830e-01)));
    let r = t2 + t1;
    let k = f64(e);
    return s * (half + r) + k * 1.90821492927058770002e-10 - half + f + k * 6.93147180369123816490e-01;
}

// e^x - 1 for x >= 0 that is not large.
fn exp_less_one(start: f64) -> f64 {
    var x = start;
    var c = f64(0.0);
    var k = 0;
    if (x > 0.34657359027997264) {
        k = i32(1.44269504088896338700 * x + 0.5);
        let t = f64(k);
        let hi = x - t * 6.93147180369123816490e-01;
        let lo = t * 1.90821492927058770002e-10;
        x = hi - lo;
        c = (hi - x) - lo;
    } else if (x < 5.0e-17) {
        return x;
    }
    let hfx = 0.5 * x;
    let hxs = x * hfx;
    let r1 = 1.0 + hxs * (-3.33333333333331316428e-02 + hxs * (1.58730158725481460165e-03
        + hxs * (-7.93650757867487942473e-05 + hxs * (4.00821782732936239552e-06 + hxs * -2.01099218183624371326e-07))));
    let t = 3.0 - r1 * hfx;
    var e = hxs * ((r1 - t) / (6.0 - x * t));
    if (k == 0) { return x - (x * e - hxs); }
    e = x * (e - c) - c;
    e -= hxs;
    if (k == 1) {
        if (x < -0.25) { return -2.0 * (e - (x + 0.5)); }
        return 1.0 + 2.0 * (x - e);
    }
    let u = power_of_two(-k);
    if (k < 20) { return (x - e + (1.0 - u)) * power_of_two(k); }
    return (x - (e + u) + 1.0) * power_of_two(k);
}

fn ks_tanh(x: f64) -> f64 {
    if (acc_is_nan(x)) { return x; }
    let a = ks_abs(x);
    if (a > 20.0) { return acc_with_sign(1.0, x); }
    let t = exp_less_one(2.0 * a);
    if (a >= 1.0) { return acc_with_sign(1.0 - 2.0 / (t + 2.0), x); }
    return acc_with_sign(t / (t + 2.0), x);
}

// 1 - erf(a) for a >= 0.84375.
fn erfc_far(a: f64) -> f64 {
    if (a < 1.25) {
        let s = a - 1.0;
        let p = -2.36211856075265944077e-03 + s * (4.14856118683748331666e-01 + s * (-3.72207876035701323847e-01 + s * (3.18346619901161753674e-01 + s * (-1.10894694282396677476e-01 + s * (3.54783043256182359371e-02 + s * (-2.16637559486879084300e-03))))));
        let q = 1.0 + s * (1.06420880400844228286e-01 + s * (5.40397917702171048937e-01 + s * (7.18286544141962662868e-02 + s * (1.26171219808761642112e-01 + s * (1.36370839120290507362e-02 + s * (1.19844998467991074170e-02))))));
        return 1.0 - 8.45062911510467529297e-01 - p / q;
    }
    let s = 1.0 / (a * a);
    var r: f64;
    var big: f64;
    if (a < 2.857142857142857) {
        r = -9.86494403484714822705e-03 + s * (-6.93858572707181764372e-01 + s * (-1.05586262253232909814e+01 + s * (-6.23753324503260060396e+01 + s * (-1.62396669462573470355e+02 + s * (-1.84605092906711035994e+02 + s * (-8.12874355063065934246e+01 + s * (-9.81432934416914548592e+00)))))));
        big = 1.0 + s * (1.96512716674392571292e+01 + s * (1.37657754143519042600e+02 + s * (4.34565877475229228821e+02 + s * (6.45387271733267880336e+02 + s * (4.29008140027567833386e+02 + s * (1.08635005541779435134e+02 + s * (6.57024977031928170135e+00 + s * (-6.04244152148580987438e-02))))))));
    } else {
        r = -9.86494292470009928597e-03 + s * (-7.99283237680523006574e-01 + s * (-1.77579549177547519889e+01 + s * (-1.60636384855821916062e+02 + s * (-6.37566443368389627722e+02 + s * (-1.02509513161107724954e+03 + s * (-4.83519191608651397019e+02))))));
        big = 1.0 + s * (3.03380607434824582924e+01 + s * (3.25792512996573918826e+02 + s * (1.53672958608443695994e+03 + s * (3.19985821950859553908e+03 + s * (2.55305040643316442583e+03 + s * (4.74528541206955367215e+02 + s * (-2.24409524465858183362e+01)))))));
    }
    let z = bitcast<f64>(bits64(a) & 0xffffffff00000000lu);
    return ks_exp(-z * z - 0.5625) * ks_exp((z - a) * (z + a) + r / big) / a;
}

fn ks_erf(x: f64) -> f64 {
    if (acc_is_nan(x)) { return x; }
    let a = ks_abs(x);
    if (a < 0.84375) {
        let z = x * x;
        let r = 1.28379167095512558561e-01 + z * (-3.25042107247001499370e-01 + z * (-2.84817495755985104766e-02 + z * (-5.77027029648944159157e-03 + z * (-2.37630166566501626084e-05))));
        let s = 1.0 + z * (3.97917223959155352819e-01 + z * (6.50222499887672944485e-02 + z * (5.08130628187576562776e-03 + z * (1.32494738004321644526e-04 + z * (-3.96022827877536812320e-06)))));
        return x + x * (r / s);
    }
    if (a >= 6.0) { return acc_with_sign(1.0, x); }
    return acc_with_sign(1.0 - erfc_far(a), x);
}

fn is_odd_whole(y: f64) -> bool {
    let a = ks_abs(y);
    return a < 9007199254740992.0 && floor(a) == a && floor(a * 0.5) * 2.0 != a;
}

fn ks_pow(x: f64, y: f64) -> f64 {
    if (is_zero(y) || x == 1.0) { return 1.0; }
    if (acc_is_nan(x) || acc_is_nan(y)) { return acc_nan(); }
    let a = ks_abs(x);
    if (acc_is_infinite(y)) {
        if (a == 1.0) { return 1.0; }
        return select(f64(0.0), acc_infinity(), (a > 1.0) != acc_is_negative(y));
    }
    let odd = is_odd_whole(y);
    var r: f64;
    if (is_zero(x) || acc_is_infinite(x)) {
        r = select(f64(0.0), acc_infinity(), is_zero(x) == acc_is_negative(y));
    } else {
        if (acc_is_negative(x) && floor(y) != y) { return acc_nan(); }
        r = ks_exp(y * ks_log(a));
    }
    return select(r, ks_neg(r), acc_is_negative(x) && odd);
}

fn ks_relu(x: f64) -> f64 { return select(x, f64(0.0), acc_is_negative(x) && !acc_is_nan(x) && !is_zero(x)); }

// A NaN on either side wins.
fn ks_max(a: f64, b: f64) -> f64 { return select(b, a, acc_is_nan(a) || (a > b && !acc_is_nan(b))); }
fn ks_min(a: f64, b: f64) -> f64 { return select(b, a, acc_is_nan(a) || (a < b && !acc_is_nan(b))); }

// Truth is 1 or 0. With NaN only `ne` is true, and what selects is true.
fn either_is_nan(a: f64, b: f64) -> bool { return acc_is_nan(a) || acc_is_nan(b); }
fn less(a: f64, b: f64) -> bool { return a < b && !either_is_nan(a, b); }
fn same(a: f64, b: f64) -> bool { return a == b && !either_is_nan(a, b); }
fn truth(x: bool) -> f64 { return select(f64(0.0), f64(1.0), x); }
fn ks_lt(a: f64, b: f64) -> f64 { return truth(less(a, b)); }
fn ks_le(a: f64, b: f64) -> f64 { return truth(less(a, b) || same(a, b)); }
fn ks_eq(a: f64, b: f64) -> f64 { return truth(same(a, b)); }
fn ks_ne(a: f64, b: f64) -> f64 { return truth(!same(a, b)); }
fn ks_not(x: f64) -> f64 { return truth(is_zero(x)); }
fn ks_select(condition: f64, x: f64, y: f64) -> f64 { return select(x, y, is_zero(condition)); }

// 1 / (1 + e^-x), from e^-|x| so that nothing overflows.
fn ks_sigmoid(x: f64) -> f64 {
    let e = ks_exp(-ks_abs(x));
    return select(f64(1.0), e, acc_is_negative(x)) / (1.0 + e);
}

// x * gate, where gate goes to 0 faster than x to -inf.
fn ks_gated(x: f64, gate: f64) -> f64 {
    return select(x * gate, from_words(0x80000000u, 0u), is_zero(gate) && acc_is_negative(x));
}
fn ks_silu(x: f64) -> f64 { return ks_gated(x, ks_sigmoid(x)); }
fn ks_gelu(x: f64) -> f64 { return ks_gated(x, 0.5 * (1.0 + ks_erf(0.70710678118654752440 * x))); }

// x/2 * (1 + tanh u) is x * sigmoid(2u), u = sqrt(2/pi) (x + 0.044715 x^3).
fn ks_gelu_tanh(x: f64) -> f64 {
    let u = 0.79788456080286535588 * (x + 0.044715 * x * x * x);
    return ks_gated(x, ks_sigmoid(2.0 * u));
}

// 2/pi in binary, after one word of zeros (Payne & Hanek 1983).
fn two_over_pi(i: u32) -> u64 {
    switch (i) {
        case 1u: { return 0xa2f9836e4e441529lu; }
        case 2u: { return 0xfc2757d1f534ddc0lu; }
        case 3u: { return 0xdb6295993c439041lu; }
        case 4u: { return 0xfe5163abdebbc561lu; }
        case 5u: { return 0xb7246e3a424dd2e0lu; }
        case 6u: { return 0x06492eea09d1921clu; }
        case 7u: { return 0xfe1deb1cb129a73elu; }
        case 8u: { return 0xe88235f52ebb4484lu; }
        case 9u: { return 0xe99c7026b45f7e41lu; }
        case 10u: { return 0x3991d639835339f4lu; }
        case 11u: { return 0x9c845f8bbdf9283blu; }
        case 12u: { return 0x1ff897ffde05980flu; }
        case 13u: { return 0xef2f118b5a0a6d1flu; }
        case 14u: { return 0x6d367ecf27cb09b7lu; }
        case 15u: { return 0x4f463f669e5fea2dlu; }
        case 16u: { return 0x7527bac7ebe5f17blu; }
        case 17u: { return 0x3d0739f78a5292ealu; }
        case 18u: { return 0x6bfb5fb11f8d5d08lu; }
        default: { return 0lu; }
    }
}

fn multiply_high(a: u64, b: u64) -> u64 {
    let al = a & 0xfffffffflu;
    let ah = a >> 32u;
    let bl = b & 0xfffffffflu;
    let bh = b >> 32u;
    let middle = ah * bl + ((al * bl) >> 32u);
    let other = al * bh + (middle & 0xfffffffflu);
    return ah * bh + (middle >> 32u) + (other >> 32u);
}

struct Angle { r: f64, q: i32 }

// r in [-pi/4, pi/4] and q with x = r + q pi/2 up to whole turns.
fn reduced(x: f64) -> Angle {
    let size = ks_abs(x);
    if (size < 1000000.0) {
        // Cody & Waite: pi/2 in parts whose products with k are exact.
        let k = floor(x * 0.63661977236758134308 + 0.5);
        let t = x - k * 1.57079632673412561417e+00;
        let w = k * 6.07710050630396597660e-11;
        let r = t - w;
        let rest = k * 2.02226624879595063154e-21 - ((t - r) - w);
        return Angle(r - rest, i32(k) & 3);
    }
    let bits = bits64(x);
    let exponent = i32((high_word(x) >> 20u) & 0x7ffu) - 1075;
    let m = (bits & 0xffffffffffffflu) | 0x10000000000000lu;
    // 128 bits of 2/pi, the first of which m lifts to the weight 2.
    let start = u32(62 + exponent);
    let word = start >> 6u;
    let shift = start & 63u;
    let a = two_over_pi(word);
    let b = two_over_pi(word + 1u);
    let c = two_over_pi(word + 2u);
    var high = a;
    var low = b;
    if (shift != 0u) {
        high = (a << shift) | (b >> (64u - shift));
        low = (b << shift) | (c >> (64u - shift));
    }
    let product_low = m * low;
    let product = m * high + multiply_high(m, low);
    // Two bits of quadrant, then the fraction; a fraction over a half counts from the next quadrant.
    let fraction = (product << 2u) | (product_low >> 62u);
    var q = i32(u32(product >> 62u));
    var r: f64;
    if ((fraction >> 63u) != 0lu) {
        q += 1;
        r = -(f64(~fraction) * (1.5707963267948966 / 18446744073709551616.0));
    } else {
        r = f64(fraction) * (1.5707963267948966 / 18446744073709551616.0);
    }
    if (acc_is_negative(x)) { return Angle(-r, -q & 3); }
    return Angle(r, q & 3);
}

fn sine_of(r: f64) -> f64 {
    let z = r * r;
    let s = 8.33333333332248946124e-03 + z * (-1.98412698298579493134e-04 + z * (2.75573137070700676789e-06
        + z * (-2.50507602534068634195e-08 + z * 1.58969099521155010221e-10)));
    return r + r * z * (-1.66666666666666324348e-01 + z * s);
}
fn cosine_of(r: f64) -> f64 {
    let z = r * r;
    let c = 4.16666666666666019037e-02 + z * (-1.38888888888741095749e-03 + z * (2.48015872894767294178e-05
        + z * (-2.75573143513906633035e-07 + z * (2.08757232129817482790e-09 + z * -1.13596475577881948265e-11))));
    return 1.0 - 0.5 * z + z * z * c;
}
fn ks_sin(x: f64) -> f64 {
    if (acc_is_nan(x) || acc_is_infinite(x)) { return acc_nan(); }
    let a = reduced(x);
    var y: f64;
    if ((a.q & 1) == 1) { y = cosine_of(a.r); } else { y = sine_of(a.r); }
    return select(y, -y, a.q >= 2);
}
fn ks_cos(x: f64) -> f64 {
    if (acc_is_nan(x) || acc_is_infinite(x)) { return acc_nan(); }
    let a = reduced(x);
    var y: f64;
    if ((a.q & 1) == 1) { y = sine_of(a.r); } else { y = cosine_of(a.r); }
    return select(y, -y, a.q == 1 || a.q == 2);
}

// The nearest f32 towards zero with the last bit set where that changed the number: a further rounding to
// fewer bits is then as if there had been one ("round to odd", Boldo & Melquiond 2008).
fn round_to_odd(x: f64) -> f32 {
    let y = f32(x);
    if (acc_is_nan(x)) { return nan(); }
    if (f64(y) == x) { return y; }
    var bits = bitcast<u32>(y);
    if (ks_abs(f64(y)) > ks_abs(x)) { bits -= 1u; }
    return bitcast<f32>(bits | 1u);
}

// Casts: whole numbers truncated and clamped, NaN to 0; a boolean is x != 0.
fn to_i32(x: f64) -> i32 {
    if (acc_is_nan(x)) { return 0; }
    if (x >= 2147483647.0) { return 2147483647; }
    if (x <= -2147483648.0) { return i32(-2147483648); }
    return i32(x);
}
fn to_u8(x: f64) -> u32 {
    if (acc_is_nan(x) || x <= 0.0) { return 0u; }
    if (x >= 255.0) { return 255u; }
    return u32(x);
}
fn to_bool(x: f64) -> u32 { return u32(!is_zero(x)); }

fn ks_round_f16(x: f64) -> f64 { return f64(f16_to_f32(f32_to_f16(round_to_odd(x)))); }
fn ks_round_bf16(x: f64) -> f64 { return f64(bitcast<f32>(f32_to_bf16(round_to_odd(x)) << 16u)); }
fn ks_round_f32(x: f64) -> f64 { return f64(opaque(f32(x))); }
fn ks_round_f64(x: f64) -> f64 { return x; }
fn ks_round_i32(x: f64) -> f64 { return f64(to_i32(x)); }
fn ks_round_u8(x: f64) -> f64 { return f64(to_u8(x)); }
fn ks_round_bool(x: f64) -> f64 { return truth(!is_zero(x)); }

// A counter of random numbers, which is a whole number that f64 holds.
fn counter_of(x: f64) -> vec2<u32> {
    let high = floor(x * 2.3283064365386963e-10);
    return vec2<u32>(u32(x - high * 4294967296.0), u32(high));
}
