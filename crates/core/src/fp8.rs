//! Eight-bit floats (OCP 8-bit Floating Point Specification, 2023), for operands of products.
//!
//! Rounding is to nearest, ties to even, and saturates: what is too large, infinities too, becomes
//! the largest finite number. NaN stays NaN.

/// The codes of one of the two formats.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Format {
    mantissa_bits: u32,
    /// Exponent of the smallest normal number, and of subnormal ones.
    min_exponent: i32,
    pub largest: f64,
    largest_code: u8,
    /// The first code above every number and infinity.
    first_nan: u8,
}

/// One sign, four exponent and three mantissa bits: up to 448, no infinities.
pub const E4M3: Format =
    Format { mantissa_bits: 3, min_exponent: -6, largest: 448.0, largest_code: 0x7e, first_nan: 0x7f };
/// One sign, five exponent and two mantissa bits: up to 57344, the upper half of an f16.
pub const E5M2: Format =
    Format { mantissa_bits: 2, min_exponent: -14, largest: 57344.0, largest_code: 0x7b, first_nan: 0x7d };

impl Format {
    /// The code of the nearest number.
    pub fn encode(&self, x: f64) -> u8 {
        let sign = if x.is_sign_negative() { 0x80 } else { 0 };
        let size = x.abs();
        if size.is_nan() {
            return sign | 0x7f;
        }
        if size >= self.largest {
            return sign | self.largest_code;
        }
        // The exponent as f64 has it; a subnormal f64 is far below every code.
        let exponent = ((size.to_bits() >> 52) as i32 - 1023).max(self.min_exponent);
        let quanta = (size / 2f64.powi(exponent - self.mantissa_bits as i32)).round_ties_even() as i32;
        // A carry out of the mantissa is the next exponent.
        let code = ((exponent - self.min_exponent) << self.mantissa_bits) + quanta;
        sign | code as u8
    }

    /// The number of a code, exactly.
    pub fn decode(&self, code: u8) -> f64 {
        let (sign, code) = (if code & 0x80 == 0 { 1.0 } else { -1.0 }, code & 0x7f);
        if code >= self.first_nan {
            return f64::NAN;
        }
        if code > self.largest_code {
            return sign * f64::INFINITY;
        }
        let one = 1u8 << self.mantissa_bits;
        let (exponent, mantissa) = (i32::from(code >> self.mantissa_bits), code & (one - 1));
        let quanta = if exponent == 0 { mantissa } else { one + mantissa };
        sign * f64::from(quanta) * 2f64.powi(self.min_exponent + (exponent - 1).max(0) - self.mantissa_bits as i32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The finite numbers that are not negative.
    fn numbers(format: Format, largest: u8) -> Vec<f64> {
        (0..=largest).map(|code| format.decode(code)).collect()
    }

    #[test]
    fn every_code_reads_back_as_itself() {
        for code in 0..=255u8 {
            let (x, y) = (E4M3.decode(code), E5M2.decode(code));
            if x.is_nan() {
                assert_eq!(code & 0x7f, 0x7f);
                assert_eq!(E4M3.encode(x) & 0x7f, 0x7f);
            } else {
                assert_eq!(E4M3.encode(x), code);
            }
            // e5m2 is the upper half of an f16.
            let half = half::f16::from_bits(u16::from(code) << 8).to_f64();
            assert!(y == half || (y.is_nan() && half.is_nan()), "{code:#x}: {y} and {half}");
            if y.is_finite() {
                assert_eq!(E5M2.encode(y), code);
            } else if y.is_nan() {
                assert!(E5M2.decode(E5M2.encode(y)).is_nan());
            } else {
                assert_eq!(E5M2.decode(E5M2.encode(y)), y.signum() * 57344.0, "infinities saturate");
            }
        }
    }

    #[test]
    fn landmarks_of_the_specification() {
        assert_eq!(E4M3.decode(0x7e), 448.0);
        assert_eq!(E4M3.decode(0x08), 2f64.powi(-6));
        assert_eq!(E4M3.decode(0x01), 2f64.powi(-9));
        assert_eq!(E4M3.decode(0x38), 1.0);
        assert_eq!(E5M2.decode(0x7b), 57344.0);
        assert_eq!(E5M2.decode(0x04), 2f64.powi(-14));
        assert_eq!(E5M2.decode(0x01), 2f64.powi(-16));
        assert_eq!(E5M2.decode(0x7c), f64::INFINITY);
        assert_eq!((E4M3.encode(1e9), E4M3.encode(f64::NEG_INFINITY)), (0x7e, 0xfe));
        assert_eq!((E5M2.encode(1e9), E5M2.encode(-65536.0)), (0x7b, 0xfb));
        assert_eq!((E4M3.encode(-0.0), E5M2.encode(f64::MIN_POSITIVE / 4.0)), (0x80, 0));
    }

    proptest! {
        #[test]
        fn the_nearest_number_wins_and_ties_go_to_the_even_code(x in -500.0f64..500.0, exponent in -20i32..8) {
            let x = x * 2f64.powi(exponent);
            let formats: [(f64, u8, Vec<f64>); 2] = [
                (E4M3.decode(E4M3.encode(x)), E4M3.encode(x), numbers(E4M3, 0x7e)),
                (E5M2.decode(E5M2.encode(x)), E5M2.encode(x), numbers(E5M2, 0x7b)),
            ];
            for (got, code, numbers) in formats {
                let least = numbers.iter().map(|n| (n - x.abs()).abs()).fold(f64::INFINITY, f64::min);
                prop_assert_eq!((got.abs() - x.abs()).abs(), least);
                let tie = numbers.iter().filter(|n| (**n - x.abs()).abs() == least).count() > 1;
                prop_assert!(!tie || code & 1 == 0);
                prop_assert!(got == 0.0 || got.signum() == x.signum());
            }
        }

        #[test]
        fn ties_between_neighbours_are_even(code in 0u8..0x7b) {
            let middle = (E4M3.decode(code) + E4M3.decode(code + 1)) / 2.0;
            prop_assert_eq!(E4M3.encode(middle), code + (code & 1));
            let middle = (E5M2.decode(code) + E5M2.decode(code + 1)) / 2.0;
            prop_assert_eq!(E5M2.encode(-middle), 0x80 | (code + (code & 1)));
        }
    }
}
