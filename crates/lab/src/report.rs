//! The report: runs of evidence as one HTML page that needs no network and no script.
//!
//! Every figure on the page links to the records it came from, by their line in the evidence
//! file. The script only adds sorting, filtering and opening what a link points to.

mod audits;
mod failures;
mod history;
mod model;
mod number;
mod ops;
mod panel;
mod plot;
mod results;
mod runs;
#[cfg(test)]
pub(crate) mod sample;
mod summary;

use crate::evidence::Record;
use crate::history::log::Entry;
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

/// With more runs than this only the newest result of each problem, mode and device is shown with
/// its evidence; the older ones are in the history.
const MANY: usize = 8;

/// What a page is made of beside the runs.
#[derive(Clone, Copy, Default)]
pub struct Extras<'a> {
    /// The experiment log: what races said of the steps in the history.
    pub log: &'a [Entry],
    /// The page is of a run in progress, and looks for a newer one of itself.
    pub live: bool,
}

/// The whole page. Times are in µs, errors are shares of their bound, ratios are the baseline's
/// time over the winner's (above 1 the winner is faster).
pub fn render(runs: &[Run]) -> String {
    render_with(runs, Extras::default())
}

pub fn render_with(runs: &[Run], extras: Extras) -> String {
    let mut indexes: Vec<Index> = runs.iter().enumerate().map(|(i, run)| Index::new(i + 1, run)).collect();
    if runs.len() > MANY {
        model::keep_newest(&mut indexes);
    }
    // A live page asks the address that it came from, and nothing else.
    let policy = if extras.live { format!("{POLICY}; connect-src 'self'") } else { POLICY.to_string() };
    let page = html! {
        (DOCTYPE)
        html lang="en" data-live[extras.live] {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="generator" content=(concat!("kernelsmith ", env!("CARGO_PKG_VERSION")));
                link rel="icon" href="data:,";
                title { (title(runs)) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                a.skip href="#results-title" { "Skip to the results" }
                (body(runs, &indexes, extras))
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

fn body(runs: &[Run], indexes: &[Index], extras: Extras) -> Markup {
    let many = indexes.len() > MANY;
    let series = history::series(runs, extras.log);
    html! {
        header.page {
            p.brand { "Kernelsmith" @if extras.live { " " span.tag #live { "live" } } }
            h1 { "Tuning report" }
            (summary::lead(indexes))
            @if !many { (summary::provenance(indexes)) }
            (contents(indexes, !series.is_empty()))
        }
        main {
            (summary::headline(indexes, many))
            (ops::section(indexes))
            (results::section(indexes, many))
            (history::section(indexes, &series))
            (audits::section(indexes))
            (failures::section(indexes, many))
            @if many { (runs::table(indexes)) } @else { (summary::runs(indexes)) }
            (legend())
        }
    }
}

/// Links to the parts of a long page.
fn contents(indexes: &[Index], history: bool) -> Markup {
    let audits = indexes.iter().any(|i| !i.audits.is_empty());
    let ops = ops::is_there(indexes);
    let parts = [
        (ops, "ops-title", "By op"),
        (true, "results-title", "Results"),
        (history, "history-title", "History"),
        (audits, "audits-title", "Dispatch audit"),
        (true, "failures-title", "Failure classes"),
        (true, "runs-title", "Runs"),
        (true, "reading-title", "How to read this"),
    ];
    html! {
        nav aria-label="Parts of this page" {
            @for (_, id, name) in parts.iter().filter(|p| p.0) { a href={ "#" (id) } { (name) } " " }
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
                dt { "Step" }
                dd { "A change of level in a number’s history, found by E-divisive means. It is suspected until a paired race has seen it (confirmed) or has not (refuted)." }
                dt { "Regret" }
                dd { "The time of what dispatch picks over the time of the best candidate in the same race. 1 is no regret." }
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
