//! What a row opens to: the race, the search, the gate, the screened candidates and the gaps.

use super::model::{Lined, Row};
use super::number::{NONE, bytes, count, duration, finite, median, plural, three};
use super::plot::{self, candidate};
use crate::evidence::{CandidateRecord, FILE, RaceRecord, Verdict};
use maud::{Markup, html};
use std::collections::BTreeMap;

/// How much a panel lists; the rest is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lists {
    /// Candidates that passed.
    passed: usize,
    gates: usize,
}

impl Lists {
    /// A page of many results lists less of each, so that it stays one that opens at once.
    pub fn of(results: usize) -> Lists {
        match results {
            0..=150 => Lists { passed: 15, gates: 8 },
            151..=300 => Lists { passed: 5, gates: 3 },
            _ => Lists { passed: 1, gates: 1 },
        }
    }
}

pub fn panel(row: &Row, id: &str, lists: Lists) -> Markup {
    html! {
        div.panel {
            (result_line(row))
            (race(row, id))
            @if !row.candidates.is_empty() {
                section {
                    h4 { "Search" }
                    (plot::search(&row.candidates))
                }
            }
            (gates(row, id, lists.gates))
            (screened(row, id, lists.passed))
            (failures(row, id))
            (gaps(row, id))
        }
    }
}

/// Where a record is.
fn at(line: usize) -> Markup {
    html! { span.at { (FILE) ":" (line) } }
}

fn result_line(row: &Row) -> Markup {
    html! {
        p.source {
            "Result at " (at(row.line))
            @if let Some(line) = row.superseded_by { ", superseded by the result at " (at(line)) }
            @if let Some(hash) = &row.result.source_hash { ", source " code { (hash.chars().take(12).collect::<String>()) } }
            @if !row.result.device.is_empty() { ", on " (row.result.device) }
        }
    }
}

fn race(row: &Row, id: &str) -> Markup {
    let Some(Lined { line, record }) = row.race else {
        return html! { section { h4 { "Race" } p.quiet { "No race recorded." } } };
    };
    html! {
        section #{ (id) "-race" } tabindex="-1" {
            h4 { "Race, " (record.mode) " " (at(line)) }
            (plot::race(record))
            p.note {
                "One dot a block, the first at the top."
                @if record.selection_blocks > 0 {
                    " The first " (record.selection_blocks) " blocks (paler) only chose the winner; the line is the median of the others."
                } @else { " The line is the median." }
            }
            (conditions(record))
        }
    }
}

fn conditions(race: &RaceRecord) -> Markup {
    let telemetry = &race.telemetry;
    html! {
        p.note {
            @if race.launches_per_sample == 1 { "1 launch" } @else { (count(race.launches_per_sample)) " launches" }
            " a sample · "
            (plural(race.sets, "input set")) ", " (bytes(race.set_bytes as f64)) " in all"
            @if race.flushed { " · cache flushed before each sample" }
            " · clock " (three(telemetry.clock_mhz))
            @if let Some(most) = finite(telemetry.clock_max_mhz) { " of " (three(most)) }
            " MHz · " (three(telemetry.temperature_c)) " °C · " (three(telemetry.power_w)) " W"
            @if telemetry.throttled { " · " strong.warning { "clock under 75 % of its maximum" } }
        }
    }
}

fn gates(row: &Row, id: &str, most: usize) -> Markup {
    // The winner's gate is the one that the row's figures rest on.
    let mut gates = row.gates.clone();
    gates.sort_by_key(|gate| Some(&gate.record.candidate) != row.result.candidate.as_ref());
    html! {
        section #{ (id) "-gate" } tabindex="-1" {
            h4 { "Gate" }
            @if gates.is_empty() { p.quiet { "No full gate recorded." } } @else {
                div.wide { table {
                    thead { tr {
                        th scope="col" { "Candidate" } th scope="col" { "Verdict" } th.number scope="col" { "Error" }
                        th.number scope="col" { "Checks" } th.number scope="col" { "Skipped" } th scope="col" { "Detail" }
                        th.number scope="col" { "Line" }
                    } }
                    tbody { @for Lined { line, record } in gates.iter().take(most) { tr {
                        td { (candidate(&record.candidate)) }
                        td { (outcome(record.verdict)) }
                        td.number { (three(record.max_error_over_bound)) }
                        td.number { (count(record.checks)) }
                        td.number { (count(record.skipped)) }
                        td.detail { (record.detail.as_deref().unwrap_or(NONE)) }
                        td.number { (line) }
                    } } }
                } }
                @if gates.len() > most { p.note { (gates.len() - most) " more gates are not listed." } }
            }
        }
    }
}

fn screened(row: &Row, id: &str, most: usize) -> Markup {
    let mut passed: Vec<(Option<f64>, &Lined<CandidateRecord>)> = row
        .candidates
        .iter()
        .filter(|c| c.record.verdict == Verdict::Ok)
        .map(|c| (median(&c.record.samples_us), c))
        .collect();
    passed.sort_by(|a, b| a.0.unwrap_or(f64::INFINITY).total_cmp(&b.0.unwrap_or(f64::INFINITY)));
    // Beyond the best, the winner and the vendor's best are what a reader looks for.
    let vendor = passed.iter().position(|(_, c)| c.record.vendor.is_some());
    let winner = passed.iter().position(|(_, c)| Some(&c.record.candidate) == row.result.candidate.as_ref());
    let listed = |rank: usize| rank < most || Some(rank) == vendor || Some(rank) == winner;
    let hidden = (0..passed.len()).filter(|rank| !listed(*rank)).count();
    html! {
        section #{ (id) "-screened" } tabindex="-1" {
            h4 { "Screened: " (passed.len()) " of " (row.candidates.len()) " passed" }
            @if passed.is_empty() { p.quiet { "No candidate passed." } } @else {
                div.wide { table {
                    thead { tr {
                        th.number scope="col" { "Rank" } th scope="col" { "Candidate" }
                        th.number scope="col" { "Median, µs" } th.number scope="col" { "Error" }
                        th.number scope="col" { "Registers" } th scope="col" { "Detail" } th.number scope="col" { "Line" }
                    } }
                    tbody { @for (rank, (middle, lined)) in passed.iter().enumerate().filter(|(rank, _)| listed(*rank)) {
                        (screened_row(rank + 1, *middle, lined, Some(rank) == winner))
                    } }
                } }
                @if hidden > 0 {
                    p.note {
                        (hidden) " more passed, the slowest at " (duration(passed.iter().rev().find_map(|(middle, _)| *middle))) "."
                    }
                }
            }
        }
    }
}

fn screened_row(rank: usize, middle: Option<f64>, lined: &Lined<CandidateRecord>, winner: bool) -> Markup {
    let record = lined.record;
    html! {
        tr class=[winner.then_some("winner")] {
            td.number { (rank) }
            td {
                (candidate(&record.candidate))
                @if let Some(vendor) = &record.vendor { " " span.tag { (vendor) } }
                @if winner { " " span.tag { "winner" } }
            }
            td.number { (three(middle)) }
            td.number { (three(record.max_error_over_bound)) }
            td.number {
                @match record.registers { Some(n) => (n), None => (NONE) }
                @if let Some(spilled) = record.spill_bytes.filter(|n| *n > 0) { " " span.warning { "(spills " (spilled) " B)" } }
            }
            td.detail { (record.detail.as_deref().unwrap_or(NONE)) }
            td.number { (lined.line) }
        }
    }
}

fn failures(row: &Row, id: &str) -> Markup {
    let mut failed: BTreeMap<Verdict, Vec<&Lined<CandidateRecord>>> = BTreeMap::new();
    for lined in row.candidates.iter().filter(|c| c.record.verdict != Verdict::Ok) {
        failed.entry(lined.record.verdict).or_default().push(lined);
    }
    html! {
        @if !failed.is_empty() {
            section {
                h4 { "Did not pass" }
                div.wide { table {
                    thead { tr {
                        th scope="col" { "Verdict" } th.number scope="col" { "Count" } th scope="col" { "For example" }
                        th scope="col" { "Detail" } th.number scope="col" { "Line" }
                    } }
                    tbody { @for (verdict, lined) in &failed {
                        // One with words says more than the first.
                        @let example = lined.iter().find(|c| c.record.detail.is_some()).unwrap_or(&lined[0]);
                        tr #{ (id) "-" (verdict.name()) } tabindex="-1" {
                            td { (outcome(*verdict)) }
                            td.number { (lined.len()) }
                            td { (candidate(&example.record.candidate)) }
                            td.detail { (example.record.detail.as_deref().unwrap_or(NONE)) }
                            td.number { (example.line) }
                        }
                    } }
                } }
            }
        }
    }
}

fn gaps(row: &Row, id: &str) -> Markup {
    html! {
        section #{ (id) "-gaps" } tabindex="-1" {
            h4 { "Gaps: " (row.gaps.len()) }
            @if row.gaps.is_empty() { p.quiet { "Every variant was tried." } } @else {
                div.wide { table {
                    thead { tr { th scope="col" { "Variant" } th scope="col" { "Reason" } th.number scope="col" { "Line" } } }
                    tbody { @for gap in &row.gaps { tr {
                        td { (candidate(gap.variant)) }
                        td.detail { (gap.reason) }
                        td.number { @match gap.line { Some(line) => (line), None => (row.line) } }
                    } } }
                } }
            }
        }
    }
}

/// The verdict of one candidate, with its sign.
pub fn outcome(verdict: Verdict) -> Markup {
    let (sign, class) = match verdict {
        Verdict::Ok => ("✓", "v-faster"),
        Verdict::Unoffered => ("○", "v-alone"),
        _ => ("✕", "v-failed"),
    };
    html! { span.(class) { (sign) " " (verdict.name()) } }
}
