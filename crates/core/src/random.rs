//! Random numbers that depend on a seed and a counter alone, with the same bits on every device.
//!
//! Only IEEE additions, multiplications, divisions and square roots in f32, each rounded once and
//! none contracted; `kernels/include/random.cuh` is the same text for CUDA.

use crate::inputs::hash;

/// A distribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Distribution {
    /// Uniform in [0, 1), a multiple of 2⁻²⁴.
    Uniform,
    /// Mean 0, variance 1 (Box & Muller 1958); magnitudes up to 5.8.
    Normal,
}

impl Distribution {
    pub const ALL: [Distribution; 2] = [Distribution::Uniform, Distribution::Normal];

    pub const fn name(self) -> &'static str {
        match self {
            Distribution::Uniform => "uniform",
            Distribution::Normal => "normal",
        }
    }
}

/// The number at `counter` of the stream of `seed`.
#[inline(always)]
pub fn random(distribution: Distribution, seed: u64, counter: u64) -> f32 {
    let h = hash(seed, counter);
    let unit = |bits: u64| (bits & 0xff_ffff) as f32 * (1.0 / 16_777_216.0);
    match distribution {
        Distribution::Uniform => unit(h >> 40),
        Distribution::Normal => {
            // In (0, 1]: the logarithm is finite.
            let u = unit(h >> 40) + (1.0 / 16_777_216.0);
            let radius = (-2.0 * log(u)).sqrt();
            radius * cos_turn(unit(h >> 16))
        }
    }
}

/// A seed whose stream has nothing to do with that of its neighbours: what tensors pass on.
pub fn spread(seed: u64) -> u64 {
    hash(seed, 0x6b73)
}

/// ln of a number in (0, 1] by x = m·2^e and the series of artanh.
#[inline(always)]
fn log(x: f32) -> f32 {
    let bits = x.to_bits();
    let e = (bits >> 23) as i32 - 127;
    let m = f32::from_bits((bits & 0x7f_ffff) | 0x3f80_0000);
    let high = m > std::f32::consts::SQRT_2;
    let (m, e) = (if high { m * 0.5 } else { m }, if high { e + 1 } else { e });
    let s = (m - 1.0) / (m + 1.0);
    let z = s * s;
    let series = z * (0.333_333_34 + z * (0.2 + z * (0.142_857_15 + z * 0.111_111_11)));
    let t = s + s * series;
    e as f32 * std::f32::consts::LN_2 + (t + t)
}

/// cos(2πu) for u in [0, 1).
#[inline(always)]
fn cos_turn(u: f32) -> f32 {
    let q = (u * 4.0 + 0.5) as i32;
    let t = (u - q as f32 * 0.25) * 6.283_185_5;
    let z = t * t;
    let cos = 1.0 + z * (-0.5 + z * (0.041_666_668 + z * (-0.001_388_888_9 + z * 2.480_158_7e-5)));
    let sin = t + t * (z * (-0.166_666_67 + z * (0.008_333_334 + z * (-0.000_198_412_7 + z * 2.755_731_9e-6))));
    // cos, −sin, −cos, sin, without a branch.
    let y = if q & 1 == 0 { cos } else { sin };
    if (q + 1) & 2 == 0 { y } else { -y }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_accurate() {
        for i in 1..=100_000 {
            let u = i as f32 / 100_000.0;
            assert!((f64::from(log(u)) - f64::from(u).ln()).abs() < 2e-7 * (1.0 - f64::from(u).ln()), "ln {u}");
            let v = (i - 1) as f32 / 100_000.0;
            let want = (f64::from(v) * std::f64::consts::TAU).cos();
            assert!((f64::from(cos_turn(v)) - want).abs() < 4e-7, "cos {v}: {} {want}", cos_turn(v));
        }
    }

    #[test]
    fn moments_are_those_of_the_distribution() {
        let n = 200_000u64;
        for (distribution, mean, variance, kurtosis) in
            [(Distribution::Uniform, 0.5, 1.0 / 12.0, 1.8), (Distribution::Normal, 0.0, 1.0, 3.0)]
        {
            let x: Vec<f64> = (0..n).map(|i| f64::from(random(distribution, spread(7), i))).collect();
            let m = x.iter().sum::<f64>() / n as f64;
            let v = x.iter().map(|x| (x - m).powi(2)).sum::<f64>() / n as f64;
            let k = x.iter().map(|x| (x - m).powi(4)).sum::<f64>() / n as f64 / (v * v);
            assert!((m - mean).abs() < 0.01 && (v - variance).abs() < 0.01 * variance.max(0.5), "{m} {v}");
            assert!((k - kurtosis).abs() < 0.05, "{distribution:?} {k}");
        }
    }

    #[test]
    fn seeds_and_counters_are_independent_streams() {
        let a: Vec<f32> = (0..1000).map(|i| random(Distribution::Normal, spread(1), i)).collect();
        let b: Vec<f32> = (0..1000).map(|i| random(Distribution::Normal, spread(2), i)).collect();
        let dot: f32 = a.iter().zip(&b).map(|(x, y)| x * y).sum::<f32>() / 1000.0;
        let lag: f32 = a.iter().zip(&a[1..]).map(|(x, y)| x * y).sum::<f32>() / 1000.0;
        assert!(dot.abs() < 0.15 && lag.abs() < 0.15, "{dot} {lag}");
    }

    /// The bits that every device must give; `tests` of the device crate compare with these.
    #[test]
    fn bits_never_change() {
        let first: Vec<u32> =
            (0..4).flat_map(|i| Distribution::ALL.map(|d| random(d, spread(42), i).to_bits())).collect();
        assert_eq!(
            first,
            [
                1_052_045_312,
                1_068_408_142,
                1_041_455_288,
                1_073_019_136,
                1_059_845_218,
                1_050_539_195,
                1_052_984_572,
                3_197_039_148
            ]
        );
    }
}
