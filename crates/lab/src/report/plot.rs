//! Small plots as inline SVG.
//!
//! A plot stretches to the width it gets. Strokes keep their width when it does, so a dot is a
//! path of no length with a round end, which is also the shortest way to write it.

use super::model::{Lined, variant};
use super::number::{duration, finite, median, three};
use crate::evidence::{CandidateRecord, RaceRecord, ResultRecord, Verdict};
use crate::history::series::{Series, Status};
use maud::{Markup, html};
use std::fmt::Write;

/// Plots are this many units wide.
const WIDTH: f64 = 1000.0;

/// A scale from values to places between 0 and 1.
#[derive(Clone, Copy)]
struct Axis {
    low: f64,
    high: f64,
    log: bool,
}

impl Axis {
    /// Covers the values with a little room; logarithmic where they span more than a factor of 3.
    fn over(values: impl Iterator<Item = f64>) -> Option<Axis> {
        let (low, high) = values
            .filter(|x| x.is_finite() && *x > 0.0)
            .fold((f64::INFINITY, 0.0f64), |(low, high), x| (low.min(x), high.max(x)));
        if low > high {
            return None;
        }
        let log = high / low > 3.0;
        if log {
            let room = (high / low).powf(0.03);
            return Some(Axis { low: low / room, high: high * room, log });
        }
        let room = (high - low).max(high * 1e-3) * 0.04;
        Some(Axis { low: low - room, high: high + room, log })
    }

    fn at(self, x: f64) -> f64 {
        let place = if self.log {
            (x / self.low).ln() / (self.high / self.low).ln()
        } else {
            (x - self.low) / (self.high - self.low)
        };
        place.clamp(0.0, 1.0)
    }

    /// Round values inside the axis: 1, 2 and 5 times powers of ten.
    fn ticks(self) -> Vec<f64> {
        let mut ticks = Vec::new();
        if self.log {
            let steps: &[f64] = match self.high / self.low {
                r if r > 1e4 => &[1.0],
                r if r > 12.0 => &[1.0, 3.0],
                _ => &[1.0, 2.0, 5.0],
            };
            for power in self.low.log10().floor() as i32..=self.high.log10().ceil() as i32 {
                ticks.extend(steps.iter().map(|step| step * 10f64.powi(power)));
            }
        } else {
            let rough = (self.high - self.low) / 4.0;
            let power = 10f64.powf(rough.log10().floor());
            let step = power * [1.0, 2.0, 5.0, 10.0].into_iter().find(|s| s * power >= rough).unwrap_or(10.0);
            let first = (self.low / step).ceil();
            ticks.extend((0..8).map(|i| (first + f64::from(i)) * step));
        }
        ticks.retain(|x| *x >= self.low && *x <= self.high);
        ticks
    }
}

/// The axis that every ratio on the page shares: from `1 / reach` to `reach`, logarithmic.
#[derive(Clone, Copy)]
pub struct Ratios {
    pub reach: f64,
}

impl Ratios {
    /// The smallest round reach that holds the intervals; what lies beyond 8 is drawn at the edge.
    pub fn over<'a>(results: impl Iterator<Item = &'a ResultRecord>) -> Ratios {
        let farthest = results
            .flat_map(|r| [r.ratio, r.ratio_low, r.ratio_high])
            .flatten()
            .filter(|x| x.is_finite() && *x > 0.0)
            .fold(1.0f64, |most, x| most.max(x).max(1.0 / x));
        let reach = [1.1, 1.25, 1.5, 2.0, 4.0].into_iter().find(|r| *r >= farthest).unwrap_or(8.0);
        Ratios { reach }
    }

    /// A place on the plot, which is 132 wide with a margin of 6.
    fn place(self, ratio: f64) -> f64 {
        66.0 + 60.0 * (ratio.ln() / self.reach.ln()).clamp(-1.0, 1.0)
    }

    /// The interval of one result around 1, over the noise floor.
    pub fn interval(self, result: &ResultRecord) -> Markup {
        let positive = |x: Option<f64>| finite(x).filter(|x| *x > 0.0);
        let Some(ratio) = positive(result.ratio) else { return html! {} };
        let at = self.place(ratio);
        let low = positive(result.ratio_low).map_or(at, |x| self.place(x));
        let high = positive(result.ratio_high).map_or(at, |x| self.place(x));
        let noise = positive(result.noise_low).zip(positive(result.noise_high));
        let edge = match ratio {
            r if r > self.reach => Some("M127 6l4 4l-4 4"),
            r if r * self.reach < 1.0 => Some("M5 6l-4 4l4 4"),
            _ => None,
        };
        html! {
            svg.interval viewBox="0 0 132 20" width="132" height="20" aria-hidden="true" {
                @if let Some((from, to)) = noise.map(|(a, b)| (self.place(a), self.place(b))) {
                    rect.noise x=(tenths(from)) y="3" width=(tenths((to - from).max(1.0))) height="14" {}
                }
                path.one d="M66 1V19M6 10H126" {}
                path.bar d=(format!("M{} 10H{}", tenths(low), tenths(high))) {}
                @if let Some(arrow) = edge { path.edge d=(arrow) {} } @else { circle cx=(tenths(at)) cy="10" r="3" {} }
            }
        }
    }
}

fn tenths(x: f64) -> String {
    format!("{x:.1}").trim_end_matches(".0").to_string()
}

/// A path of dots.
fn dots(points: impl Iterator<Item = (f64, f64)>) -> String {
    let mut path = String::new();
    for (x, y) in points {
        let _ = write!(path, "M{x:.0} {y:.0}h0");
    }
    path
}

/// Every sample of a race, one strip a contender on one axis: time across, block order downwards.
pub fn race(race: &RaceRecord) -> Markup {
    let all = race.contenders.iter().flat_map(|c| c.samples_us.iter().copied());
    let Some(axis) = Axis::over(all) else { return html! { p.quiet { "No samples." } } };
    let grid: String = axis.ticks().iter().map(|x| format!("M{:.0} 0V100", axis.at(*x) * WIDTH)).collect();
    html! {
        div.strips {
            @for contender in &race.contenders {
                @let samples = &contender.samples_us;
                @let split = race.selection_blocks.min(samples.len());
                @let published = if split < samples.len() { &samples[split..] } else { samples };
                @let middle = median(published);
                @let place = |i: usize| {
                    (axis.at(samples[i]) * WIDTH, 8.0 + 84.0 * (i as f64 + 0.5) / samples.len() as f64)
                };
                @let shown = |i: &usize| samples[*i].is_finite();
                div.strip {
                    div.who { (candidate(&contender.candidate)) " " span.role { (contender.role) } }
                    svg.dots.(role_class(&contender.role)) viewBox="0 0 1000 100" preserveAspectRatio="none" role="img"
                        aria-label={ (samples.len()) " samples, median " (duration(middle)) } {
                        path.grid d=(grid) {}
                        @if split > 0 { path.early d=(dots((0..split).filter(shown).map(place))) {} }
                        @if split < samples.len() { path.late d=(dots((split..samples.len()).filter(shown).map(place))) {} }
                        @if let Some(x) = middle { path.middle d=(format!("M{:.0} 0V100", axis.at(x) * WIDTH)) {} }
                    }
                    div.value { (duration(middle)) }
                }
            }
            (scale(axis))
        }
    }
}

fn role_class(role: &str) -> &'static str {
    match role {
        "candidate" => "ours",
        "baseline" => "vendor",
        _ => "control",
    }
}

/// The axis under the strips, as text that does not stretch.
fn scale(axis: Axis) -> Markup {
    html! {
        div.strip.scale aria-hidden="true" {
            div {}
            div.ticks {
                @for x in axis.ticks() {
                    span style=(format!("left:{:.1}%", axis.at(x) * 100.0)) { (three(x)) }
                }
            }
            div.value { "µs" }
        }
    }
}

/// The best time so far by order of evaluation, beside the vendor's best.
pub fn search(candidates: &[Lined<CandidateRecord>]) -> Markup {
    let timed = |c: &CandidateRecord| if c.verdict == Verdict::Ok { median(&c.samples_us) } else { None };
    let times: Vec<Option<f64>> =
        candidates.iter().filter(|c| c.record.vendor.is_none()).map(|c| timed(c.record)).collect();
    let vendor =
        candidates.iter().filter(|c| c.record.vendor.is_some()).filter_map(|c| timed(c.record)).min_by(f64::total_cmp);
    let Some(axis) = Axis::over(times.iter().flatten().copied().chain(vendor)) else { return html! {} };
    let across = |i: usize| (i as f64 + 0.5) / times.len().max(1) as f64 * WIDTH;
    let down = |us: f64| 4.0 + 92.0 * (1.0 - axis.at(us));
    let mut best: Option<f64> = None;
    let mut curve = String::new();
    for (i, us) in times.iter().enumerate() {
        let Some(us) = us.filter(|us| best.is_none_or(|b| *us < b)) else { continue };
        let _ = match best {
            None => write!(curve, "M{:.0} {:.0}", across(i), down(us)),
            Some(_) => write!(curve, "H{:.0}V{:.0}", across(i), down(us)),
        };
        best = Some(us);
    }
    if best.is_some() {
        curve.push_str("H1000");
    }
    let passed = times.iter().enumerate().filter_map(|(i, us)| us.map(|us| (across(i), down(us))));
    let failed = times.iter().enumerate().filter(|(_, us)| us.is_none()).map(|(i, _)| (across(i), 98.0));
    html! {
        figure.search {
            div.levels aria-hidden="true" {
                @for x in axis.ticks() {
                    span style=(format!("top:{:.1}%", down(x))) { (three(x)) }
                }
            }
            svg viewBox="0 0 1000 100" preserveAspectRatio="none" role="img"
                aria-label={ "Best so far " (duration(best)) " after " (times.len()) " candidates, vendor " (duration(vendor)) } {
                path.grid d=(axis.ticks().iter().map(|x| format!("M0 {:.0}H1000", down(*x))).collect::<String>()) {}
                path.passed d=(dots(passed)) {}
                path.failed d=(dots(failed)) {}
                @if let Some(us) = vendor { path.vendor d=(format!("M0 {:.0}H1000", down(us))) {} }
                path.best d=(curve) {}
            }
            figcaption {
                span { "µs a launch, by order of evaluation, 1 to " (times.len()) }
                span.key.best { "best so far " (duration(best)) }
                @if vendor.is_some() { span.key.vendor { "vendor’s best " (duration(vendor)) } }
                span.key.passed { "passed" }
                @if times.iter().any(Option::is_none) { span.key.failed { "failed" } }
            }
        }
    }
}

/// A series: a dot a run, the level between steps, and the steps themselves.
pub fn history(s: &Series) -> Markup {
    let Some(axis) = Axis::over(s.points.iter().map(|p| p.value)) else { return html! {} };
    let across = |i: f64| (i + 0.5) / s.points.len().max(1) as f64 * WIDTH;
    let down = |x: f64| 6.0 + 88.0 * (1.0 - axis.at(x));
    let points = s.points.iter().enumerate().map(|(i, p)| (across(i as f64), down(p.value)));
    let mut levels = String::new();
    let mut from = 0;
    for c in &s.changes {
        let _ = write!(
            levels,
            "M{:.0} {:.0}H{:.0}",
            across(from as f64 - 0.5),
            down(c.step.before),
            across(c.step.at as f64 - 0.5)
        );
        from = c.step.at;
    }
    if let Some(last) = s.changes.last() {
        let _ = write!(levels, "M{:.0} {:.0}H1000", across(from as f64 - 0.5), down(last.step.after));
    }
    let steps = |confirmed: bool| -> String {
        let of = s.changes.iter().filter(|c| match c.status {
            Status::Confirmed => confirmed,
            Status::Suspected => !confirmed,
            Status::Refuted => false,
        });
        of.map(|c| format!("M{:.0} 0V100", across(c.step.at as f64 - 0.5))).collect()
    };
    html! {
        div.spark {
            svg viewBox="0 0 1000 100" preserveAspectRatio="none" role="img"
                aria-label={ (s.points.len()) " runs, " (s.changes.len()) " steps, from " (three(axis.low)) " to " (three(axis.high)) } {
                path.values d=(dots(points)) {}
                path.level d=(levels) {}
                path.suspected d=(steps(false)) {}
                path.confirmed d=(steps(true)) {}
            }
            div.ends aria-hidden="true" { span { (three(axis.high)) } span { (three(axis.low)) } }
        }
    }
}

/// A candidate's name with its config quieter, which may wrap after each comma.
pub fn candidate(name: &str) -> Markup {
    let (head, config) = name.split_at(variant(name).len());
    html! { code.name { b { (head) } @if !config.is_empty() { wbr; span { (wrapping(config)) } } } }
}

/// Text that may wrap after each comma.
pub fn wrapping(text: &str) -> Markup {
    html! { @for (i, part) in text.split_inclusive(',').enumerate() { @if i > 0 { wbr; } (part) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_covers_its_values_and_has_ticks() {
        for values in [vec![1.0], vec![10.0, 10.5], vec![1.0, 9.0], vec![0.02, 40_000.0], vec![3.0, 3.0]] {
            let axis = Axis::over(values.iter().copied()).unwrap();
            assert!(values.iter().all(|x| (0.0..=1.0).contains(&axis.at(*x))), "{values:?}");
            assert!((1..=9).contains(&axis.ticks().len()), "{values:?}: {:?}", axis.ticks());
        }
        assert!(Axis::over([f64::NAN, -1.0].into_iter()).is_none());
    }

    #[test]
    fn ratios_share_a_symmetric_axis() {
        let axis = Ratios { reach: 2.0 };
        assert_eq!((axis.place(0.5), axis.place(1.0), axis.place(2.0)), (6.0, 66.0, 126.0));
        assert_eq!(axis.place(50.0), 126.0);
    }
}
