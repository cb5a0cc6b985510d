// Random numbers from a seed and a counter: the same bits as crates/core/src/random.rs gives. 64-bit
// numbers are (low, high); every operation on floats is rounded once and none contracted.

fn add64(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    let low = a.x + b.x;
    return vec2<u32>(low, a.y + b.y + u32(low < a.x));
}
fn multiply64(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    let p = multiply_wide(a.x, b.x);
    return vec2<u32>(p.y, p.x + a.x * b.y + a.y * b.x);
}
fn shift_right64(a: vec2<u32>, by: u32) -> vec2<u32> {
    return vec2<u32>((a.x >> by) | (a.y << (32u - by)), a.y >> by);
}

// SplitMix64 (Steele, Lea, Flood 2014) as a counter-based generator.
fn random_bits(seed: vec2<u32>, counter: vec2<u32>) -> vec2<u32> {
    var z = add64(seed, multiply64(add64(counter, vec2<u32>(1u, 0u)), vec2<u32>(0x7f4a7c15u, 0x9e3779b9u)));
    z = multiply64(z ^ shift_right64(z, 30u), vec2<u32>(0x1ce4e5b9u, 0xbf58476du));
    z = multiply64(z ^ shift_right64(z, 27u), vec2<u32>(0x133111ebu, 0x94d049bbu));
    return z ^ shift_right64(z, 31u);
}

fn random_unit(bits: u32) -> f32 { return f32(bits & 0xffffffu) * 5.9604644775390625e-8; }

fn times_exactly(a: f32, b: f32) -> f32 { return opaque(a * b); }
fn plus_exactly(a: f32, b: f32) -> f32 { return opaque(a + b); }

// a * b and what its rounding left out (Dekker 1971).
fn product_parts(a: f32, b: f32) -> vec2<f32> {
    let p = times_exactly(a, b);
    let ca = times_exactly(a, 4097.0);
    let ah = plus_exactly(ca, -plus_exactly(ca, -a));
    let al = plus_exactly(a, -ah);
    let cb = times_exactly(b, 4097.0);
    let bh = plus_exactly(cb, -plus_exactly(cb, -b));
    let bl = plus_exactly(b, -bh);
    var e = plus_exactly(times_exactly(ah, bh), -p);
    e = plus_exactly(e, times_exactly(ah, bl));
    e = plus_exactly(e, times_exactly(al, bh));
    return vec2<f32>(p, plus_exactly(e, times_exactly(al, bl)));
}

// The nearest to a / b, for moderate numbers whose quotient the device may give a few units off: of the
// neighbours the one whose remainder is the smallest.
fn quotient(a: f32, b: f32) -> f32 {
    var best = opaque(a / b);
    if (best == 0.0) { return best; }
    let first = bitcast<i32>(best);
    var least = infinity();
    for (var step = -2; step <= 2; step++) {
        let q = bitcast<f32>(first + step);
        let p = product_parts(q, b);
        let rest = abs(plus_exactly(plus_exactly(a, -p.x), -p.y));
        if (rest < least) {
            least = rest;
            best = q;
        }
    }
    return best;
}

// The nearest to the root of a moderate number, likewise.
fn root(x: f32) -> f32 {
    var best = opaque(sqrt(x));
    if (best == 0.0) { return best; }
    let first = bitcast<i32>(best);
    var least = infinity();
    for (var step = -2; step <= 2; step++) {
        let s = bitcast<f32>(first + step);
        let p = product_parts(s, s);
        let rest = abs(plus_exactly(plus_exactly(x, -p.x), -p.y));
        if (rest < least) {
            least = rest;
            best = s;
        }
    }
    return best;
}

// ln of a number in (0, 1] by x = m 2^e and the series of artanh.
fn random_log(x: f32) -> f32 {
    let bits = bitcast<u32>(x);
    var e = i32(bits >> 23u) - 127;
    var m = bitcast<f32>((bits & 0x7fffffu) | 0x3f800000u);
    if (m > 1.4142135) {
        m = m * 0.5;
        e += 1;
    }
    let s = quotient(plus_exactly(m, -1.0), plus_exactly(m, 1.0));
    let z = times_exactly(s, s);
    var series = plus_exactly(0.14285715, times_exactly(z, 0.11111111));
    series = plus_exactly(0.2, times_exactly(z, series));
    series = plus_exactly(0.33333334, times_exactly(z, series));
    let t = plus_exactly(s, times_exactly(s, times_exactly(z, series)));
    return plus_exactly(times_exactly(f32(e), 0.6931472), plus_exactly(t, t));
}

// cos(2 pi u) for u in [0, 1).
fn random_cos_turn(u: f32) -> f32 {
    let q = i32(plus_exactly(times_exactly(u, 4.0), 0.5));
    let t = times_exactly(plus_exactly(u, -times_exactly(f32(q), 0.25)), 6.2831855);
    let z = times_exactly(t, t);
    var c = plus_exactly(-0.0013888889, times_exactly(z, 2.4801587e-5));
    c = plus_exactly(0.041666668, times_exactly(z, c));
    c = plus_exactly(-0.5, times_exactly(z, c));
    c = plus_exactly(1.0, times_exactly(z, c));
    var s = plus_exactly(-0.0001984127, times_exactly(z, 2.7557319e-6));
    s = plus_exactly(0.008333334, times_exactly(z, s));
    s = plus_exactly(-0.16666667, times_exactly(z, s));
    s = plus_exactly(t, times_exactly(t, times_exactly(z, s)));
    let y = select(c, s, (q & 1) == 1);
    return select(y, -y, (q & 3) == 1 || (q & 3) == 2);
}

// Uniform in [0, 1).
fn ks_uniform(seed: vec2<u32>, counter: vec2<u32>) -> f32 {
    return random_unit(random_bits(seed, counter).y >> 8u);
}

// Mean 0, variance 1 (Box & Muller 1958).
fn ks_normal(seed: vec2<u32>, counter: vec2<u32>) -> f32 {
    let h = random_bits(seed, counter);
    let u = plus_exactly(random_unit(h.y >> 8u), 5.9604644775390625e-8);
    let radius = root(times_exactly(-2.0, random_log(u)));
    return times_exactly(radius, random_cos_turn(random_unit((h.x >> 16u) | (h.y << 16u))));
}
