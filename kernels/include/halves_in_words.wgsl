// Conversions to and from f16 by whole numbers: for devices whose own are not known to round to nearest even
// and to keep subnormal numbers.

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

// The two of a word.
fn f16_pair(word: u32) -> vec2<f32> { return vec2<f32>(f16_to_f32(word & 0xffffu), f16_to_f32(word >> 16u)); }
