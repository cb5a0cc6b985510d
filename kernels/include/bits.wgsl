// Bit patterns of floats: tests that a compiler which assumes finite numbers cannot fold, and the
// narrow formats, which are computed with in f32 and rounded to nearest even by whole numbers.

const INFINITE: u32 = 0x7f800000u;

// A number through a value that the compiler does not know to be 0: it is rounded here, and no
// operation on either side is contracted or folded with one on the other.
fn opaque(x: f32) -> f32 { return bitcast<f32>(bitcast<u32>(x) ^ args.zero); }
fn from_bits(x: u32) -> f32 { return bitcast<f32>(x ^ args.zero); }
fn nan() -> f32 { return from_bits(0x7fffffffu); }
fn infinity() -> f32 { return from_bits(INFINITE); }

fn magnitude(x: f32) -> u32 { return bitcast<u32>(x) & 0x7fffffffu; }
fn is_nan(x: f32) -> bool { return magnitude(x) > INFINITE; }
fn is_infinite(x: f32) -> bool { return magnitude(x) == INFINITE; }
fn is_finite(x: f32) -> bool { return magnitude(x) < INFINITE; }
fn is_negative(x: f32) -> bool { return (bitcast<u32>(x) >> 31u) != 0u; }
fn with_sign(x: f32, sign: f32) -> f32 {
    return bitcast<f32>(magnitude(x) | (bitcast<u32>(sign) & 0x80000000u));
}

fn f16_to_f32(h: u32) -> f32 {
    let sign = (h & 0x8000u) << 16u;
    let rest = h & 0x7fffu;
    if (rest >= 0x7c00u) { return bitcast<f32>(sign | INFINITE | ((rest & 0x3ffu) << 13u)); }
    if (rest >= 0x400u) { return bitcast<f32>(sign | ((rest + 0x1c000u) << 13u)); }
    // Below the smallest normal: a whole number of 2^-24.
    let x = f32(rest) * 5.9604644775390625e-8;
    return bitcast<f32>(bitcast<u32>(x) | sign);
}

fn f32_to_f16(x: f32) -> u32 {
    let sign = (bitcast<u32>(x) >> 16u) & 0x8000u;
    let m = magnitude(x);
    if (m > INFINITE) { return sign | 0x7e00u; }
    // From 65520 on everything is infinite.
    if (m >= 0x477ff000u) { return sign | 0x7c00u; }
    if (m >= 0x38800000u) {
        let even = (m >> 13u) & 1u;
        return sign | ((m + 0xfffu + even - 0x38000000u) >> 13u);
    }
    if (m < 0x33000000u) { return sign; }
    let shift = 126u - (m >> 23u);
    let mantissa = (m & 0x7fffffu) | 0x800000u;
    let whole = mantissa >> shift;
    let rest = mantissa & ((1u << shift) - 1u);
    let half = 1u << (shift - 1u);
    let up = rest > half || (rest == half && (whole & 1u) == 1u);
    return sign | (whole + u32(up));
}

fn f32_to_bf16(x: f32) -> u32 {
    let bits = bitcast<u32>(x);
    if (magnitude(x) > INFINITE) { return (bits >> 16u) | 0x40u; }
    return (bits + 0x7fffu + ((bits >> 16u) & 1u)) >> 16u;
}

// The upper and lower word of a product.
fn multiply_wide(a: u32, b: u32) -> vec2<u32> {
    let al = a & 0xffffu;
    let ah = a >> 16u;
    let bl = b & 0xffffu;
    let bh = b >> 16u;
    let low = al * bl;
    let middle = ah * bl + (low >> 16u);
    let other = al * bh + (middle & 0xffffu);
    return vec2<u32>(ah * bh + (middle >> 16u) + (other >> 16u), a * b);
}
