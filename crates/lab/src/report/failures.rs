//! Failure classes: how often each variant got each verdict.

use super::model::{Index, variant};
use super::number::count;
use super::panel::outcome;
use crate::evidence::Verdict;
use maud::{Markup, html};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A variant's counts, and where the first of each verdict can be seen.
#[derive(Default)]
struct Counts {
    vendor: Option<String>,
    verdicts: BTreeMap<Verdict, (usize, Option<String>)>,
    gaps: usize,
}

pub fn section(indexes: &[Index], many: bool) -> Markup {
    html! {
        section aria-labelledby="failures-title" {
            h2 #failures-title { "Failure classes" }
            @if indexes.iter().all(|index| index.candidates.is_empty() && index.gaps.is_empty()) {
                p.quiet { "No candidates screened yet." }
            } @else {
                p.note { "Screened candidates by variant and verdict. A count links to an example." }
                @if many {
                    (table(indexes, None))
                } @else {
                    @for index in indexes { (table(std::slice::from_ref(index), (indexes.len() > 1).then_some(index.name))) }
                }
            }
        }
    }
}

fn table(indexes: &[Index], caption: Option<&str>) -> Markup {
    let variants = tally(indexes);
    let verdicts: BTreeSet<Verdict> = variants.values().flat_map(|c| c.verdicts.keys().copied()).collect();
    let total = |verdict: &Verdict| variants.values().filter_map(|c| c.verdicts.get(verdict)).map(|(n, _)| n).sum();
    html! {
        div.wide {
            table.failures {
                @if let Some(caption) = caption { caption { (caption) } }
                thead { tr {
                    th scope="col" { "Variant" }
                    @for verdict in &verdicts { th.number scope="col" { (outcome(*verdict)) } }
                    th.number scope="col" { "all" }
                    th.number scope="col" { "gaps" }
                } }
                tbody { @for ((op, name), counts) in &variants { tr {
                    th scope="row" {
                        span.op { (op) } " " code.name { b { (name) } }
                        @if let Some(vendor) = &counts.vendor { " " span.tag { (vendor) } }
                    }
                    @for verdict in &verdicts { (cell(*verdict, counts)) }
                    td.number { (count(counts.verdicts.values().map(|(n, _)| n).sum())) }
                    td.number { (zero_as_dot(counts.gaps)) }
                } } }
                tfoot { tr {
                    th scope="row" { "All" }
                    @for verdict in &verdicts { td.number { (count(total(verdict))) } }
                    td.number { (count(indexes.iter().map(|index| index.candidates.len()).sum())) }
                    td.number { (count(indexes.iter().map(|index| index.gaps.len()).sum())) }
                } }
            }
        }
    }
}

fn tally<'a>(indexes: &[Index<'a>]) -> BTreeMap<(&'a str, &'a str), Counts> {
    let mut variants: BTreeMap<(&str, &str), Counts> = BTreeMap::new();
    indexes.iter().for_each(|index| add(index, &mut variants));
    variants
}

fn add<'a>(index: &Index<'a>, variants: &mut BTreeMap<(&'a str, &'a str), Counts>) {
    let mut rows: HashMap<(&str, &str), usize> = HashMap::new();
    for row in &index.rows {
        rows.entry((&row.result.op, &row.result.problem)).or_insert(row.line);
    }
    for lined in &index.candidates {
        let record = lined.record;
        let counts = variants.entry((&record.op, variant(&record.candidate))).or_default();
        counts.vendor = counts.vendor.take().or_else(|| record.vendor.clone());
        let (n, example) = counts.verdicts.entry(record.verdict).or_default();
        *n += 1;
        // The row of the problem holds the example, where the problem has a result after it.
        let row = rows.get(&(record.op.as_str(), record.problem.as_str())).filter(|row| **row > lined.line);
        if let (None, Some(row)) = (&example, row) {
            let part = if record.verdict == Verdict::Ok { "screened" } else { record.verdict.name() };
            *example = Some(format!("#{}-{part}", index.row_id(*row)));
        }
    }
    for lined in &index.gaps {
        variants.entry((&lined.record.op, variant(&lined.record.variant))).or_default().gaps += 1;
    }
}

fn cell(verdict: Verdict, counts: &Counts) -> Markup {
    match counts.verdicts.get(&verdict) {
        None => html! { td.number.missing { "·" } },
        Some((n, Some(link))) => html! { td.number { a href=(link) { (count(*n)) } } },
        Some((n, None)) => html! { td.number { (count(*n)) } },
    }
}

fn zero_as_dot(n: usize) -> String {
    if n == 0 { "·".to_string() } else { count(n) }
}
