//! The audit of dispatch: what it picks beside the best candidate.

use super::model::{Index, Lined};
use super::number::{NONE, finite, three};
use super::plot::{self, candidate, wrapping};
use crate::evidence::{AuditRecord, FILE, RaceRecord};
use crate::regret::mean_regret;
use maud::{Markup, html};

pub fn section(indexes: &[Index]) -> Markup {
    let audited: Vec<&Index> = indexes.iter().filter(|index| !index.audits.is_empty()).collect();
    html! {
        @if !audited.is_empty() {
            section aria-labelledby="audits-title" {
                h2 #audits-title tabindex="-1" { "Dispatch audit" }
                @for index in &audited { (table(index, indexes.len() > 1)) }
            }
        }
    }
}

fn table(index: &Index, many: bool) -> Markup {
    let records: Vec<AuditRecord> = index.audits.iter().map(|(audit, _)| audit.record.clone()).collect();
    let tuned = records.iter().filter(|r| r.tuned).count();
    html! {
        p.note {
            "Geometric mean of the regret: " (three(mean_regret(&records, None))) " over " (records.len()) " problems; "
            (three(mean_regret(&records, Some(true)))) " over the " (tuned) " in the tuned table, "
            (three(mean_regret(&records, Some(false)))) " over the " (records.len() - tuned) " that were never tuned."
        }
        div.wide {
            table.audits data-sortable {
                @if many { caption { (index.name) } }
                thead { tr {
                    th scope="col" data-sort="text" { "Problem" }
                    th scope="col" data-sort="text" { "Table" }
                    th.number scope="col" data-sort="number" { "Regret" }
                    th.number scope="col" data-sort="number" { "Pick, µs" }
                    th.number scope="col" data-sort="number" { "Best, µs" }
                    th scope="col" data-sort="text" { "Pick" }
                    th scope="col" data-sort="text" { "Best" }
                    th scope="col" { "Why this pick" }
                    th.number scope="col" data-sort="number" { "Line" }
                } }
                tbody { @for (audit, race) in &index.audits { (row(index, audit, race.as_ref())) } }
            }
        }
    }
}

fn row(index: &Index, Lined { line, record }: &Lined<AuditRecord>, race: Option<&Lined<RaceRecord>>) -> Markup {
    let number = |x: Option<f64>| {
        let x = finite(x);
        html! { td.number.missing[x.is_none()] data-value=[x] { (three(x)) } }
    };
    let name = |c: &Option<String>| {
        html! { td.missing[c.is_none()] { @match c { Some(c) => (candidate(c)), None => (NONE) } } }
    };
    let range = finite(record.regret_low).zip(finite(record.regret_high));
    let class = match finite(record.regret) {
        None => "v-failed",
        Some(x) if x > 1.05 => "v-slower",
        Some(_) => "v-same",
    };
    html! {
        tr #{ "run" (index.number) "-audit" (line) } {
            th scope="row" { span.op { (record.op) } " " code { (wrapping(&record.problem)) } }
            td { @if record.tuned { "tuned" } @else { "never tuned" } }
            td.number data-value=[finite(record.regret)] {
                b.(class) { (three(record.regret)) }
                @if let Some((low, high)) = range { " " span.range { "[" (three(low)) ", " (three(high)) "]" } }
            }
            (number(record.pick_us))
            (number(record.best_us))
            (name(&record.pick))
            (name(&record.best))
            td.detail {
                (record.error.as_deref().unwrap_or(&record.why))
                @if let Some(race) = race {
                    details { summary { "Race at " (FILE) ":" (race.line) } (plot::race(race.record)) }
                }
            }
            td.number data-value=(line) { span.at { (FILE) ":" (line) } }
        }
    }
}
