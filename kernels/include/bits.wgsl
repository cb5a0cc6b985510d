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

fn f32_to_bf16(x: f32) -> u32 {
    let bits = bitcast<u32>(x);
    if (magnitude(x) > INFINITE) { return (bits >> 16u) | 0x40u; }
    return (bits + 0x7fffu + ((bits >> 16u) & 1u)) >> 16u;
}

fn bf16_pair(word: u32) -> vec2<f32> {
    return vec2<f32>(bitcast<f32>(word << 16u), bitcast<f32>(word & 0xffff0000u));
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
