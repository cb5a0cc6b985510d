//! Elementary functions in f32 that vectorise: no branches, no calls. Errors stay below the
//! bounds of `Bounded` in the core crate, over the whole range, with NaN and infinities right.
//!
//! Coefficients are those of Cephes (Moshier 1989), of erf those of Juffa (2018). `FMA` says
//! whether a fused multiply-add is one instruction; without it the products are rounded.
#![allow(clippy::excessive_precision)] // coefficients as they were published

#[inline(always)]
fn fma<const FMA: bool>(x: f32, y: f32, z: f32) -> f32 {
    if FMA { x.mul_add(y, z) } else { x * y + z }
}

/// c0·xⁿ + … + cn.
#[inline(always)]
fn poly<const FMA: bool, const N: usize>(x: f32, c: [f32; N]) -> f32 {
    let mut y = c[0];
    for c in &c[1..] {
        y = fma::<FMA>(y, x, *c);
    }
    y
}

/// 1.5·2²³: adding it rounds to a whole number, whose low bits it then holds.
const ROUNDER: f32 = 12_582_912.0;
const LN2_HIGH: f32 = 0.693_359_375;
const LN2_LOW: f32 = -2.121_944_4e-4;

#[inline(always)]
fn power_of_two(e: i32) -> f32 {
    f32::from_bits(((e + 127) as u32) << 23)
}

#[inline(always)]
pub fn exp<const FMA: bool>(x: f32) -> f32 {
    // Beyond these it is infinite or 0 anyway; NaN passes both.
    let x = if x > 89.0 { 89.0 } else { x };
    let x = if x < -105.0 { -105.0 } else { x };
    let t = fma::<FMA>(x, std::f32::consts::LOG2_E, ROUNDER);
    let n = t - ROUNDER;
    let r = fma::<FMA>(n, -LN2_LOW, fma::<FMA>(n, -LN2_HIGH, x));
    let p = poly::<FMA, 6>(r, [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_65, 0.5]);
    let y = fma::<FMA>(p, r * r, r) + 1.0;
    // In two steps: 2ⁿ alone may be out of range where the result is not.
    let e = t.to_bits().wrapping_sub(ROUNDER.to_bits()) as i32;
    let half = e >> 1;
    // Of a NaN the bits mean nothing, and the product is NaN.
    y * power_of_two(half.clamp(-126, 127)) * power_of_two((e.wrapping_sub(half)).clamp(-126, 127))
}

#[inline(always)]
pub fn log<const FMA: bool>(x: f32) -> f32 {
    let small = x < f32::MIN_POSITIVE;
    let scaled = if small { x * 8_388_608.0 } else { x };
    let shift = if small { -23.0 } else { 0.0 };
    // x = m·2^e with m from √½ to √2.
    let bits = scaled.to_bits() as i32;
    let e = bits.wrapping_sub(0x3f35_04f3) >> 23;
    let f = f32::from_bits(bits.wrapping_sub(e << 23) as u32) - 1.0;
    let e = e as f32 + shift;
    let z = f * f;
    let p = poly::<FMA, 9>(
        f,
        [
            7.037_683_6e-2,
            -0.115_146_1,
            0.116_769_99,
            -0.124_201_41,
            0.142_493_23,
            -0.166_680_57,
            0.200_007_14,
            -0.249_999_94,
            0.333_333_3,
        ],
    );
    let y = fma::<FMA>(e, LN2_LOW, p * f * z);
    let y = fma::<FMA>(-0.5, z, y);
    let y = fma::<FMA>(e, LN2_HIGH, f + y);
    let y = if x < f32::INFINITY { y } else { x };
    let y = if x < 0.0 { f32::NAN } else { y };
    if x == 0.0 { f32::NEG_INFINITY } else { y }
}

#[inline(always)]
pub fn tanh<const FMA: bool>(x: f32) -> f32 {
    let size = x.abs();
    let z = x * x;
    let p = poly::<FMA, 5>(z, [-5.704_988_7e-3, 2.063_908_9e-2, -5.373_971_6e-2, 0.133_314_42, -0.333_332_82]);
    let near = fma::<FMA>(p * z, x, x);
    let far = 1.0 - 2.0 / (exp::<FMA>(2.0 * size) + 1.0);
    // The sign of −0 too.
    (if size < 0.625 { near } else { far }).copysign(x)
}

#[inline(always)]
pub fn sigmoid<const FMA: bool>(x: f32) -> f32 {
    // exp of a negative number only: no overflow on either side.
    let e = exp::<FMA>(-x.abs());
    let y = 1.0 / (1.0 + e);
    if x < 0.0 { e * y } else { y }
}

#[inline(always)]
pub fn silu<const FMA: bool>(x: f32) -> f32 {
    limit(x, x * sigmoid::<FMA>(x))
}

/// The limit 0 at −∞, where the formula would be −∞·0.
#[inline(always)]
fn limit(x: f32, y: f32) -> f32 {
    if x == f32::NEG_INFINITY { -0.0 } else { y }
}

#[inline(always)]
pub fn erf<const FMA: bool>(x: f32) -> f32 {
    let size = x.abs();
    let z = x * x;
    let p = poly::<FMA, 2>(size, [-1.728_534_7e-5, 3.831_971_3e-4]);
    let q = poly::<FMA, 2>(size, [-3.883_964_4e-3, 2.425_462_2e-2]);
    let p = fma::<FMA>(p, z, q);
    let p = poly::<FMA, 4>(size, [p, -0.106_777_88, -0.634_846_87, -0.128_717_51]);
    let far = (1.0 - exp::<FMA>(fma::<FMA>(p, size, -size))).copysign(x);
    let p =
        poly::<FMA, 6>(z, [-5.967_617e-4, 4.991_194_2e-3, -2.676_813_5e-2, 0.112_819_925, -0.376_125_34, 0.128_379_17]);
    let near = fma::<FMA>(p, x, x);
    if size > 0.927_734_4 { far } else { near }
}

#[inline(always)]
pub fn gelu<const FMA: bool>(x: f32) -> f32 {
    limit(x, 0.5 * x * (1.0 + erf::<FMA>(x * std::f32::consts::FRAC_1_SQRT_2)))
}

#[inline(always)]
pub fn gelu_tanh<const FMA: bool>(x: f32) -> f32 {
    // √(2/π)
    let c = std::f32::consts::FRAC_2_SQRT_PI * std::f32::consts::FRAC_1_SQRT_2;
    limit(x, 0.5 * x * (1.0 + tanh::<FMA>(c * (x + 0.044_715 * x * x * x))))
}

/// Largest magnitude that [`sin`] and [`cos`] are made for.
pub const LARGEST_ANGLE: f32 = 1e6;

/// sin(x + turns·π/2) for |x| up to [`LARGEST_ANGLE`].
#[inline(always)]
fn sin_shifted<const FMA: bool>(x: f32, turns: i64) -> f32 {
    const ROUNDER: f64 = 6_755_399_441_055_744.0;
    let x = f64::from(x);
    let t = x * std::f64::consts::FRAC_2_PI + ROUNDER;
    let n = t - ROUNDER;
    // π/2 in two parts (fdlibm): n times the first one is exact.
    let r = ((x - n * 1.570_796_326_734_125_6) - n * 6.077_100_506_506_192e-11) as f32;
    let q = (t.to_bits() as i64).wrapping_add(turns) as i32;
    let z = r * r;
    let sin = fma::<FMA>(poly::<FMA, 3>(z, [-1.951_529_6e-4, 8.332_161e-3, -0.166_666_55]) * z, r, r);
    let cos = poly::<FMA, 3>(z, [2.443_315_7e-5, -1.388_731_6e-3, 4.166_664_6e-2]);
    let cos = fma::<FMA>(cos, z * z, fma::<FMA>(-0.5, z, 1.0));
    let y = if q & 1 == 0 { sin } else { cos };
    f32::from_bits(y.to_bits() ^ (((q & 2) as u32) << 30))
}

#[inline(always)]
pub fn sin<const FMA: bool>(x: f32) -> f32 {
    // Of −0 too, whose sign the sum would lose.
    if x == 0.0 { x } else { sin_shifted::<FMA>(x, 0) }
}

#[inline(always)]
pub fn cos<const FMA: bool>(x: f32) -> f32 {
    sin_shifted::<FMA>(x, 1)
}

/// x^y where [`pow_is_plain`].
#[inline(always)]
pub fn pow<const FMA: bool>(x: f32, y: f32) -> f32 {
    exp::<FMA>(y * log::<FMA>(x))
}

/// Whether [`pow`] is right: no sign, no zero, no infinity and no NaN that needs a rule of its own.
#[inline(always)]
pub fn pow_is_plain(x: f32, y: f32) -> bool {
    (f32::MIN_POSITIVE..f32::INFINITY).contains(&x) && y.abs() < f32::INFINITY
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernelsmith_core::DType;
    use kernelsmith_core::expr::{Bounded, Number, Unary};

    /// Numbers of every magnitude and sign, and the special ones.
    fn numbers() -> impl Iterator<Item = f32> {
        let spread = (0..400_000u32).map(|i| f32::from_bits(i.wrapping_mul(10_737)));
        let near = (-200_000..200_000).map(|i| i as f32 / 4096.0);
        spread.chain(near).chain([0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, f32::MAX, f32::MIN_POSITIVE])
    }

    fn check(op: Unary, f: impl Fn(f32) -> f32) {
        let unit = DType::F32.unit_roundoff();
        let mut worst = (0.0, 0.0);
        for x in numbers() {
            let (got, want) = (f64::from(f(x)), Bounded::unary(op, Bounded::exact(f64::from(x), unit)));
            if want.value.is_finite() && want.error.is_finite() {
                let ratio = (got - want.value).abs() / want.error;
                assert!(got == want.value || ratio <= 1.0, "{op:?}({x:e}) is {got:e}, expected {want:?}");
                if ratio > worst.0 && ratio.is_finite() {
                    worst = (ratio, x);
                }
            } else if !want.value.is_finite() {
                let same = got == want.value || (got.is_nan() && want.value.is_nan());
                assert!(same, "{op:?}({x:e}) is {got:e}, expected {want:?}");
            }
        }
        println!("{op:?}: {:.2} of its bound at {:e}", worst.0, worst.1);
    }

    macro_rules! both {
        ($op:expr, $f:ident) => {
            check($op, $f::<true>);
            check($op, $f::<false>);
        };
    }

    #[test]
    fn functions_stay_within_their_bounds() {
        both!(Unary::Exp, exp);
        both!(Unary::Log, log);
        both!(Unary::Tanh, tanh);
        both!(Unary::Sigmoid, sigmoid);
        both!(Unary::Silu, silu);
        both!(Unary::Erf, erf);
        both!(Unary::Gelu, gelu);
        both!(Unary::GeluTanh, gelu_tanh);
        let small = |f: fn(f32) -> f32, far: fn(f64) -> f64| {
            move |x: f32| if x.abs() <= LARGEST_ANGLE { f(x) } else { far(f64::from(x)) as f32 }
        };
        check(Unary::Sin, small(sin::<true>, f64::sin));
        check(Unary::Cos, small(cos::<false>, f64::cos));
    }

    #[test]
    fn logarithms_near_one_are_accurate() {
        for i in 0..100_000 {
            let x = f32::from_bits(1f32.to_bits() - 50_000 + i);
            let (got, want) = (f64::from(log::<true>(x)), f64::from(x).ln());
            assert!((got - want).abs() <= 2.5e-7 * want.abs(), "ln {x:e}: {got:e} {want:e}");
        }
    }
}
