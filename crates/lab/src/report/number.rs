//! Numbers as people read them: three significant digits, thousands apart, a dash for nothing.

/// What stands for a value that is missing.
pub const NONE: &str = "–";

/// Three significant digits; a dash where there is no finite number.
pub fn three(x: impl Into<Option<f64>>) -> String {
    let Some(x) = finite(x.into()) else { return NONE.to_string() };
    if x == 0.0 {
        return "0".to_string();
    }
    // Round first, so that 9.996 becomes 10.0 and not 10.00.
    let rounded: f64 = format!("{x:.2e}").parse().unwrap_or(x);
    let magnitude = rounded.abs().log10().floor();
    match magnitude {
        -4.0..=2.0 => format!("{rounded:.*}", (2.0 - magnitude) as usize),
        3.0..=11.0 => group(&format!("{rounded:.0}")),
        _ => format!("{x:.2e}"),
    }
}

/// A count with its thousands apart.
pub fn count(n: usize) -> String {
    group(&n.to_string())
}

/// Microseconds in the unit that suits them.
pub fn duration(us: impl Into<Option<f64>>) -> String {
    match finite(us.into()) {
        None => NONE.to_string(),
        Some(us) if us.abs() >= 1e6 => format!("{} s", three(us / 1e6)),
        Some(us) if us.abs() >= 1e3 => format!("{} ms", three(us / 1e3)),
        Some(us) => format!("{} µs", three(us)),
    }
}

/// Bytes in the unit that suits them.
pub fn bytes(n: f64) -> String {
    let units = [(1024.0 * 1024.0 * 1024.0, "GiB"), (1024.0 * 1024.0, "MiB"), (1024.0, "KiB")];
    match units.iter().find(|(size, _)| n >= *size) {
        Some((size, unit)) => format!("{} {unit}", three(n / size)),
        None => format!("{n:.0} B"),
    }
}

/// `1 candidate`, `2 candidates`.
pub fn plural(n: usize, one: &str) -> String {
    format!("{} {one}{}", count(n), if n == 1 { "" } else { "s" })
}

pub fn finite(x: Option<f64>) -> Option<f64> {
    x.filter(|x| x.is_finite())
}

/// The middle of the samples; none where there are no finite ones.
pub fn median(samples: &[f64]) -> Option<f64> {
    let mut sorted: Vec<f64> = samples.iter().copied().filter(|x| x.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        n if n % 2 == 1 => Some(sorted[middle]),
        _ => Some((sorted[middle - 1] + sorted[middle]) / 2.0),
    }
}

/// Digits in threes with a narrow space that does not break.
fn group(digits: &str) -> String {
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |rest| ("-", rest));
    let mut out = sign.to_string();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            out.push('\u{202f}');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_significant_digits() {
        let cases = [
            (0.0, "0"),
            (1.0, "1.00"),
            (9.996, "10.0"),
            (999.6, "1\u{202f}000"),
            (612_345.0, "612\u{202f}000"),
            (0.012_34, "0.0123"),
            (-2.5, "-2.50"),
            (1.5e-7, "1.50e-7"),
            (f64::NAN, "–"),
            (f64::INFINITY, "–"),
        ];
        for (x, text) in cases {
            assert_eq!(three(x), text);
        }
        assert_eq!(three(None), "–");
    }

    #[test]
    fn durations_and_bytes_take_their_unit() {
        assert_eq!(duration(12.34), "12.3 µs");
        assert_eq!(duration(1234.0), "1.23 ms");
        assert_eq!(duration(2.5e6), "2.50 s");
        assert_eq!(bytes(62_914_560.0), "60.0 MiB");
        assert_eq!(bytes(12.0), "12 B");
        assert_eq!(plural(1, "gap"), "1 gap");
        assert_eq!(plural(1200, "gap"), "1\u{202f}200 gaps");
    }

    #[test]
    fn medians() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[f64::NAN]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }
}
