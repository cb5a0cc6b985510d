//! The history: every number that several runs measured, with the steps in it.

use super::Run;
use super::model::Index;
use super::number::{plural, three};
use super::plot::{self, wrapping};
use crate::history::log::Entry;
use crate::history::series::{Change, Named, Series, Status, of_runs};
use maud::{Markup, html};

/// The series of these runs, those with the largest steps first.
pub fn series(runs: &[Run], log: &[Entry]) -> Vec<Series> {
    if runs.len() < 2 {
        return Vec::new();
    }
    let named: Vec<Named> = runs.iter().map(|r| (r.name.as_str(), r.records.as_slice())).collect();
    let mut all = of_runs(&named, log);
    let size = |s: &Series| {
        let open = s.changes.iter().filter(|c| c.status != Status::Refuted);
        open.map(|c| c.worse.abs()).fold(0.0, f64::max)
    };
    all.sort_by(|a, b| size(b).total_cmp(&size(a)));
    all
}

pub fn section(indexes: &[Index], series: &[Series]) -> Markup {
    let steps: usize = series.iter().map(|s| s.changes.len()).sum();
    html! {
        @if !series.is_empty() {
            section aria-labelledby="history-title" {
                h2 #history-title tabindex="-1" { "History" }
                p.note {
                    (plural(series.len(), "number")) " over time, " (plural(steps, "step")) ". A dot is a run, the oldest to the left; a line is the level between two steps."
                    " A step is drawn across: dashed while it is only suspected, whole where a paired race has confirmed it."
                }
                div.wide {
                    table.history data-sortable data-filterable {
                        thead { tr {
                            th scope="col" data-sort="text" { "Number" }
                            th scope="col" { "Runs" }
                            th.number scope="col" data-sort="number" { "Newest" }
                            th scope="col" data-sort="number" { "Steps" }
                        } }
                        tbody { @for s in series { (row(indexes, s)) } }
                    }
                }
            }
        }
    }
}

fn row(indexes: &[Index], s: &Series) -> Markup {
    let largest = s.changes.iter().map(|c| c.worse).max_by(|a, b| a.abs().total_cmp(&b.abs()));
    let newest = s.points.last().map(|p| p.value);
    html! {
        tr {
            th scope="row" {
                span.op { (s.key.op) } " " code { (wrapping(&s.key.problem)) } " " span.quiet { (s.key.mode) ", " (unit(s)) ", " (s.device) }
            }
            td.line {
                (plot::history(s))
                details {
                    summary { (plural(s.points.len(), "value")) }
                    // A value links to its run; after it stands its line there.
                    p.points { @for p in &s.points { a href={ "#run" (indexes[p.run].number) } { (three(p.value)) } ":" (p.line) " " } }
                    p.note { "Each value is followed by the line of its result in its run’s evidence.jsonl." }
                }
            }
            td.number data-value=[newest] { (three(newest)) }
            td data-value=(largest.unwrap_or(0.0)) {
                @if s.changes.is_empty() { span.quiet { "none" } } @else {
                    ul.steps { @for c in &s.changes { (change(indexes, s, c)) } }
                }
            }
        }
    }
}

fn unit(s: &Series) -> &str {
    if s.key.metric == "us" { "µs" } else { &s.key.metric }
}

fn change(indexes: &[Index], s: &Series, c: &Change) -> Markup {
    let index = &indexes[s.points[c.step.at].run];
    let class = match (c.status, c.worse > 0.0) {
        (Status::Refuted, _) => "v-alone",
        (_, true) => "v-slower",
        (_, false) => "v-faster",
    };
    let sign = if c.worse > 0.0 { "▼" } else { "▲" };
    let words = if c.worse > 0.0 { "worse" } else { "better" };
    html! {
        li {
            span.(class) { span.sign aria-hidden="true" { (sign) } " " (format!("{:.1}", c.worse.abs() * 100.0)) " % " (words) }
            " " span.tag { (c.status.name()) } " "
            span.quiet { (three(c.step.before)) " to " (three(c.step.after)) " from " a href={ "#run" (index.number) } { (index.name) } }
        }
    }
}
