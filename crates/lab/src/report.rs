//! The report: runs of evidence as one HTML page that needs no network and no script.
//!
//! Every figure on the page links to the records it came from, by their line in the evidence
//! file. The script only adds sorting, filtering and opening what a link points to.

mod failures;
mod model;
mod number;
mod panel;
mod plot;
mod results;
#[cfg(test)]
pub(crate) mod sample;
mod summary;

use crate::evidence::Record;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use model::Index;

/// One run folder: its name and its records, in the order of the evidence file.
pub struct Run {
    pub name: String,
    pub records: Vec<Record>,
}

const STYLE: &str = include_str!("report/report.css");
const SCRIPT: &str = include_str!("report/report.js");
/// The browser itself refuses to fetch anything for this page.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:";

/// The whole page. Times are in µs, errors are shares of their bound, ratios are the baseline's
/// time over the winner's (above 1 the winner is faster).
pub fn render(runs: &[Run]) -> String {
    let indexes: Vec<Index> = runs.iter().enumerate().map(|(i, run)| Index::new(i + 1, run)).collect();
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="generator" content=(concat!("kernelsmith ", env!("CARGO_PKG_VERSION")));
                link rel="icon" href="data:,";
                title { (title(runs)) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                a.skip href="#results-title" { "Skip to the results" }
                (body(&indexes))
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string()
}

fn title(runs: &[Run]) -> String {
    match runs {
        [] => "Kernelsmith report".to_string(),
        [run] => format!("{} · Kernelsmith report", run.name),
        runs => format!("{} runs · Kernelsmith report", runs.len()),
    }
}

fn body(indexes: &[Index]) -> Markup {
    html! {
        header.page {
            p.brand { "Kernelsmith" }
            h1 { "Tuning report" }
            (summary::lead(indexes))
            (summary::provenance(indexes))
        }
        main {
            (summary::headline(indexes))
            (results::section(indexes))
            (failures::section(indexes))
            (summary::runs(indexes))
            (legend())
        }
    }
}

fn legend() -> Markup {
    html! {
        section aria-labelledby="reading-title" {
            h2 #reading-title { "How to read this" }
            dl.words {
                dt { "Ratio" }
                dd { "The baseline’s time over the winner’s, from a paired, interleaved race. Above 1 the winner is faster. The bar is the bootstrap interval, the grey band is the noise floor: the baseline raced against itself." }
                dt { "Verdict" }
                dd { "What the race allows to be said: faster, same or slower than the baseline, or ambiguous. " i { "Alone" } " means that there is no baseline to race, " i { "failed" } " that no candidate passed the gate." }
                dt { "Cold and hot" }
                dd { "Cold rotates the inputs through more memory than the cache holds, hot repeats one set of inputs." }
                dt { "Error" }
                dd { "The largest error of any output element over its bound, in the gate. Above 1 is wrong." }
                dt { "Roofline" }
                dd { "The least time that the device’s peak rates allow, as a share of the winner’s time." }
                dt { "Gap" }
                dd { "A variant that was not tried on a problem, with the reason." }
                dt { "Line numbers" }
                dd { "Records are named " code { "evidence.jsonl:LINE" } ", counted from 1 in the run’s folder." }
            }
        }
    }
}

#[cfg(test)]
mod tests;
