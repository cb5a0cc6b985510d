//! The table of results: a row a result, which opens to its evidence.

use super::model::{Index, Row};
use super::number::{NONE, finite, plural, three};
use super::panel::{self, Lists};
use super::plot::{Ratios, candidate, wrapping};
use maud::{Markup, html};
use std::collections::BTreeSet;

pub fn section(indexes: &[Index], many: bool) -> Markup {
    let rows = || indexes.iter().flat_map(|index| &index.rows);
    let lists = Lists::of(rows().count());
    let ratios = Ratios::over(rows().map(|row| row.result));
    let modes: BTreeSet<&str> = rows().map(|row| row.result.mode.as_str()).collect();
    let verdicts: BTreeSet<&str> = rows().map(|row| row.result.verdict.as_str()).collect();
    html! {
        section aria-labelledby="results-title" {
            h2 #results-title tabindex="-1" { "Results" }
            @if rows().next().is_none() {
                p.quiet { "No results yet." }
            } @else {
                @if many { p.note { "The newest result of each problem, mode and device; older ones are in the " a href="#history-title" { "history" } "." } }
                (controls(indexes, &modes, &verdicts))
                div.scroll {
                    table.results #results {
                        thead { (head(ratios)) }
                        @for index in indexes {
                            @for row in &index.rows { (body(index, row, ratios, indexes.len() > 1, lists)) }
                        }
                    }
                }
            }
        }
    }
}

/// Hidden until the script runs: without it they would do nothing.
fn controls(indexes: &[Index], modes: &BTreeSet<&str>, verdicts: &BTreeSet<&str>) -> Markup {
    html! {
        form.controls #controls role="search" aria-label="Filter the results" hidden {
            label { span { "Find" } input #find type="search" placeholder="problem, candidate, baseline" autocomplete="off" spellcheck="false"; }
            @if indexes.len() > 1 {
                label { span { "Run" } select data-filter="run" {
                    option value="" { "All runs" }
                    @for index in indexes.iter().filter(|index| !index.rows.is_empty()) { option value=(index.number) { (index.name) } }
                } }
            }
            label { span { "Mode" } select data-filter="mode" {
                option value="" { "All modes" }
                @for mode in modes { option { (mode) } }
            } }
            label { span { "Verdict" } select data-filter="verdict" {
                option value="" { "All verdicts" }
                @for verdict in verdicts { option { (verdict) } }
            } }
            output #shown aria-live="polite" {}
        }
    }
}

fn head(ratios: Ratios) -> Markup {
    html! {
        tr {
            th scope="col" data-sort="text" { "Problem" }
            th scope="col" data-sort="text" { "Mode" }
            th scope="col" data-sort="text" { "Winner" }
            th.number scope="col" data-sort="number" { "Time, µs" }
            th.number scope="col" data-sort="number" { "GFLOP/s" }
            th.number scope="col" data-sort="number" { "Roofline, %" }
            th scope="col" data-sort="text" { "Baseline, µs" }
            th.ratio scope="col" data-sort="number" {
                "Ratio"
                span.axis aria-hidden="true" { span { (tick(1.0 / ratios.reach)) } span { "1" } span { (tick(ratios.reach)) } }
            }
            th scope="col" data-sort="text" { "Verdict" }
            th.number scope="col" data-sort="number" { "Gaps" }
            th.number scope="col" data-sort="number" { "Error" }
            th.number scope="col" data-sort="number" { "Vendor’s error" }
        }
    }
}

/// An end of the ratio axis.
fn tick(x: f64) -> String {
    let text = format!("{x:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

fn body(index: &Index, row: &Row, ratios: Ratios, many: bool, lists: Lists) -> Markup {
    let result = row.result;
    let id = index.row_id(row.line);
    let to = |part: &str| format!("#{id}-{part}");
    let race = row.race.map(|_| to("race"));
    let gate = (!row.gates.is_empty()).then(|| to("gate"));
    let screened = (!row.candidates.is_empty()).then(|| to("screened"));
    let figure = |label: &str, value: Option<f64>, scale: f64, link: &Option<String>| {
        let value = finite(value).map(|x| x * scale);
        html! {
            td.number.missing[value.is_none()] data-label=(label) data-value=[value.map(|x| x.to_string())] {
                (linked(if value.is_some() { link.as_ref() } else { None }, html! { (three(value)) }))
            }
        }
    };
    html! {
        tbody #(id) data-run=(index.number) data-mode=(result.mode) data-verdict=(result.verdict) .superseded[row.superseded_by.is_some()] {
            tr.result {
                th.problem scope="row" {
                    span.op { (result.op) } " " code { (wrapping(&result.problem)) }
                    @if many { " " span.run { (index.name) } }
                    @if let Some(line) = row.superseded_by { " " a.tag href={ "#" (index.row_id(line)) } { "superseded" } }
                }
                td.first data-label="Mode" { (result.mode) }
                td.winner.missing[result.candidate.is_none()] data-label="Winner" {
                    @match &result.candidate {
                        Some(name) => (linked(screened.as_ref(), candidate(name))),
                        None => (NONE),
                    }
                }
                (figure("Time, µs", result.us, 1.0, &race))
                (figure("GFLOP/s", result.gflops, 1.0, &race))
                (figure("Roofline, %", result.roofline, 100.0, &race))
                td.baseline.missing[result.baseline.is_none()] data-label="Baseline, µs" {
                    @match &result.baseline {
                        Some(name) => { (candidate(name)) " " span.time { (linked(race.as_ref(), html! { (three(result.baseline_us)) })) } },
                        None => (NONE),
                    }
                }
                (ratio(row, ratios, race.as_ref()))
                td.first data-label="Verdict" { (verdict(&result.verdict)) }
                td.number.first data-label="Gaps" data-value=(row.gaps.len()) {
                    (linked((!row.gaps.is_empty()).then(|| to("gaps")).as_ref(), html! { (row.gaps.len()) }))
                }
                (figure("Error", result.max_error_over_bound, 1.0, &gate))
                (figure("Vendor’s error", result.vendor_error, 1.0, &screened))
            }
            tr.evidence {
                td colspan="12" {
                    details {
                        summary { "Evidence" span.quiet { ": " (plural(result.tried, "candidate")) " tried, " (result.passed) " passed" } }
                        (panel::panel(row, &id, lists))
                    }
                }
            }
        }
    }
}

fn ratio(row: &Row, ratios: Ratios, race: Option<&String>) -> Markup {
    let result = row.result;
    let value = finite(result.ratio);
    let range = finite(result.ratio_low).zip(finite(result.ratio_high));
    html! {
        td.ratio.missing[value.is_none()].(verdict_class(&result.verdict)) data-label="Ratio" data-value=[value.map(|x| x.to_string())] {
            @if value.is_none() { (NONE) } @else {
                (ratios.interval(result))
                span.figures {
                    (linked(race, html! { b { (three(value)) } }))
                    @if let Some((low, high)) = range { " " span.range { "[" (three(low)) ", " (three(high)) "]" } }
                }
            }
        }
    }
}

fn linked(link: Option<&String>, content: Markup) -> Markup {
    html! { @match link { Some(link) => a href=(link) { (content) }, None => (content) } }
}

/// Colours are never alone: each verdict has its sign and its word.
pub fn verdict(name: &str) -> Markup {
    let sign = match name {
        "faster" => "▲",
        "slower" => "▼",
        "same" => "=",
        "ambiguous" => "≈",
        "alone" => "○",
        "failed" => "✕",
        _ => "•",
    };
    html! { span.verdict.(verdict_class(name)) { span.sign aria-hidden="true" { (sign) } (name) } }
}

pub fn verdict_class(name: &str) -> &'static str {
    match name {
        "faster" => "v-faster",
        "slower" => "v-slower",
        "same" => "v-same",
        "ambiguous" => "v-ambiguous",
        "failed" => "v-failed",
        _ => "v-alone",
    }
}
