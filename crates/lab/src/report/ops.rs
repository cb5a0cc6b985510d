//! By op: the share of the roofline and of the vendor's speed, for every problem.

use super::model::{Index, Row};
use super::number::{finite, plural, three};
use super::plot::wrapping;
use super::results::verdict_class;
use maud::{Markup, html};
use std::collections::BTreeMap;

/// Results that have something to draw, by op.
fn by_op<'a, 'b>(indexes: &'b [Index<'a>]) -> BTreeMap<&'a str, Vec<(&'b Index<'a>, &'b Row<'a>)>> {
    let mut ops: BTreeMap<&str, Vec<(&Index, &Row)>> = BTreeMap::new();
    for index in indexes {
        for row in index.rows.iter().filter(|row| row.superseded_by.is_none()) {
            if roofline(row).is_some() || ratio(row).is_some() {
                ops.entry(&row.result.op).or_default().push((index, row));
            }
        }
    }
    ops
}

fn roofline(row: &Row) -> Option<f64> {
    finite(row.result.roofline).filter(|x| *x > 0.0)
}

fn ratio(row: &Row) -> Option<f64> {
    finite(row.result.ratio).filter(|x| *x > 0.0)
}

pub fn is_there(indexes: &[Index]) -> bool {
    !by_op(indexes).is_empty()
}

pub fn section(indexes: &[Index]) -> Markup {
    let ops = by_op(indexes);
    html! {
        @if !ops.is_empty() {
            section aria-labelledby="ops-title" {
                h2 #ops-title tabindex="-1" { "By op" }
                p.note {
                    "The share of the roofline’s speed and of the vendor’s, a row a problem. The mark in the vendor’s column is the vendor; a bar that ends at the edge is twice as fast or more. A figure links to its race."
                }
                @for (op, rows) in &ops { (table(op, rows, indexes.len() > 1)) }
            }
        }
    }
}

fn table(op: &str, rows: &[(&Index, &Row)], many: bool) -> Markup {
    html! {
        details.op open[rows.len() <= 60] {
            summary { b { (op) } " " span.quiet { (plural(rows.len(), "result")) (means(rows)) } }
            div.wide {
                table.shares data-sortable {
                    thead { tr {
                        th scope="col" data-sort="text" { "Problem" }
                        th scope="col" data-sort="text" { "Mode" }
                        th scope="col" data-sort="number" { "Of the roofline" }
                        th scope="col" data-sort="number" { "Of the vendor" }
                    } }
                    tbody { @for (index, row) in rows { tr {
                        td { a href={ "#" (index.row_id(row.line)) } { code { (wrapping(&row.result.problem)) } } @if many { " " a.tag href={ "#run" (index.number) } { "run " (index.number) } } }
                        td { (row.result.mode) }
                        (share(index, row, roofline(row), 1.0, "roofline", "%"))
                        (share(index, row, ratio(row), 2.0, verdict_class(&row.result.verdict), "×"))
                    } } }
                }
            }
        }
    }
}

/// A bar from nothing to `full`, with its figure.
fn share(index: &Index, row: &Row, value: Option<f64>, full: f64, class: &str, unit: &str) -> Markup {
    let Some(value) = value else { return html! { td.missing { "–" } } };
    let scale = if unit == "%" { 100.0 } else { 1.0 };
    let link = row.race.map(|_| format!("#{}-race", index.row_id(row.line)));
    html! {
        td data-value=(value) {
            span.share-of {
                span.track.half[full > 1.0] aria-hidden="true" { i.(class) style=(format!("width:{:.1}%", (value / full).min(1.0) * 100.0)) {} }
                span.figure { @match &link { Some(link) => a href=(link) { (three(value * scale)) }, None => (three(value * scale)) } (unit) }
            }
        }
    }
}

/// Geometric means of both shares.
fn means(rows: &[(&Index, &Row)]) -> String {
    let mean = |values: Vec<f64>| {
        let logs: f64 = values.iter().map(|x| x.ln()).sum();
        (!values.is_empty()).then(|| (logs / values.len() as f64).exp())
    };
    let roofline = mean(rows.iter().filter_map(|(_, row)| roofline(row)).collect());
    let vendor = mean(rows.iter().filter_map(|(_, row)| ratio(row)).collect());
    let words = [
        roofline.map(|x| format!("{} % of the roofline", three(x * 100.0))),
        vendor.map(|x| format!("{}× the vendor", three(x))),
    ];
    let words: Vec<String> = words.into_iter().flatten().collect();
    if words.is_empty() { String::new() } else { format!(", geometric means {}", words.join(" and ")) }
}
