//! Two runs side by side. Runs are made at different times, so what is compared is each one's
//! ratio to its own baseline, measured in the same minutes; without a baseline, plain times.

use crate::evidence::{Record, ResultRecord};

/// One problem and mode in both runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub op: String,
    pub problem: String,
    pub mode: String,
    pub before_us: Option<f64>,
    pub after_us: Option<f64>,
    /// Time before over time after.
    pub speedup: Option<f64>,
    pub ratio_before: Option<f64>,
    pub ratio_after: Option<f64>,
    /// `faster`, `slower`, `same`, `missing` (in the second run) or `new`.
    pub verdict: &'static str,
}

/// Without intervals to tell, plain times must differ by this much.
const PLAIN: f64 = 0.10;

/// Results of `before` in order, then those that only `after` has.
pub fn compare(before: &[Record], after: &[Record]) -> Vec<Row> {
    let results = |records: &[Record]| -> Vec<ResultRecord> {
        records.iter().filter_map(|r| if let Record::Result(r) = r { Some(r.clone()) } else { None }).collect()
    };
    let (before, after) = (results(before), results(after));
    let same = |a: &ResultRecord, b: &ResultRecord| {
        (&a.op, &a.problem, &a.mode, &a.device) == (&b.op, &b.problem, &b.mode, &b.device)
    };
    let mut rows: Vec<Row> = before.iter().map(|b| row(Some(b), after.iter().rev().find(|a| same(a, b)))).collect();
    rows.extend(after.iter().filter(|a| !before.iter().any(|b| same(a, b))).map(|a| row(None, Some(a))));
    rows
}

fn row(before: Option<&ResultRecord>, after: Option<&ResultRecord>) -> Row {
    let base = before.or(after);
    let text = |f: fn(&ResultRecord) -> &String| base.map(f).cloned().unwrap_or_default();
    let (before_us, after_us) = (before.and_then(|r| r.us), after.and_then(|r| r.us));
    let speedup = before_us.zip(after_us).map(|(b, a)| b / a);
    Row {
        op: text(|r| &r.op),
        problem: text(|r| &r.problem),
        mode: text(|r| &r.mode),
        before_us,
        after_us,
        speedup,
        ratio_before: before.and_then(|r| r.ratio),
        ratio_after: after.and_then(|r| r.ratio),
        verdict: verdict(before, after, speedup),
    }
}

fn verdict(before: Option<&ResultRecord>, after: Option<&ResultRecord>, speedup: Option<f64>) -> &'static str {
    let (Some(b), Some(a)) = (before, after) else {
        return if before.is_some() { "missing" } else { "new" };
    };
    if b.us.is_some() && a.us.is_none() {
        return "missing";
    }
    if b.us.is_none() {
        return "new";
    }
    let interval = |r: &ResultRecord| Some((r.ratio_low?, r.ratio_high?));
    match (interval(b), interval(a), b.baseline == a.baseline) {
        (Some((before_low, before_high)), Some((after_low, after_high)), true) => {
            if after_low > before_high * 1.01 {
                "faster"
            } else if after_high * 1.01 < before_low {
                "slower"
            } else {
                "same"
            }
        }
        _ => match speedup {
            Some(s) if s > 1.0 + PLAIN => "faster",
            Some(s) if s < 1.0 / (1.0 + PLAIN) => "slower",
            _ => "same",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(us: f64, ratio: Option<f64>) -> Record {
        Record::Result(ResultRecord {
            op: "gemm".into(),
            problem: "m=1".into(),
            device: "d".into(),
            candidate: Some("c".into()),
            mode: "cold".into(),
            us: Some(us),
            gflops: None,
            roofline: None,
            baseline: ratio.map(|_| "b".into()),
            baseline_us: None,
            ratio,
            ratio_low: ratio.map(|r| r * 0.98),
            ratio_high: ratio.map(|r| r * 1.02),
            noise_low: None,
            noise_high: None,
            verdict: "same".into(),
            gaps: vec![],
            max_error_over_bound: None,
            vendor_error: None,
            tried: 1,
            passed: 1,
            source_hash: None,
        })
    }

    #[test]
    fn ratios_to_the_baseline_decide() {
        let verdict = |b, a| compare(&[b], &[a])[0].verdict;
        // A slower machine slows both: no regression.
        assert_eq!(verdict(result(10.0, Some(1.2)), result(15.0, Some(1.2))), "same");
        assert_eq!(verdict(result(10.0, Some(1.2)), result(10.0, Some(1.0))), "slower");
        assert_eq!(verdict(result(10.0, Some(1.0)), result(10.0, Some(1.2))), "faster");
        assert_eq!(verdict(result(10.0, None), result(12.0, None)), "slower");
        assert_eq!(verdict(result(10.0, None), result(10.5, None)), "same");
    }

    #[test]
    fn what_went_missing_is_said() {
        assert_eq!(compare(&[result(1.0, None)], &[])[0].verdict, "missing");
        assert_eq!(compare(&[], &[result(1.0, None)])[0].verdict, "new");
    }
}
