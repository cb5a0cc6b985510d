//! The top of the page, and what each run ran on.

use super::model::{Index, Lined, ModeSummary, modes};
use super::number::{NONE, bytes, duration, finite, plural, three};
use super::results::{verdict, verdict_class};
use crate::evidence::{FILE, Session, TimerRecord};
use maud::{Markup, html};
use std::collections::BTreeSet;

/// The order in which verdicts are told.
const VERDICTS: [&str; 6] = ["faster", "same", "ambiguous", "slower", "alone", "failed"];

/// One sentence on what was run.
pub fn lead(indexes: &[Index]) -> Markup {
    let audits = indexes.iter().flat_map(|index| &index.audits);
    let audited = audits.map(|(audit, _)| (audit.record.op.as_str(), audit.record.problem.as_str()));
    let problems: BTreeSet<(&str, &str)> = indexes
        .iter()
        .flat_map(|index| &index.rows)
        .map(|row| (row.result.op.as_str(), row.result.problem.as_str()))
        .chain(audited)
        .collect();
    let devices: BTreeSet<&str> = indexes.iter().filter_map(Index::device).collect();
    let screened: usize = indexes.iter().map(|index| index.candidates.len()).sum();
    html! {
        p.lead {
            @if indexes.is_empty() { "No runs." } @else {
                (plural(problems.len(), "problem"))
                @if !devices.is_empty() { " on " (devices.into_iter().collect::<Vec<_>>().join(", ")) }
                ", " (plural(screened, "candidate")) " screened in " (plural(indexes.len(), "run")) "."
            }
        }
    }
}

/// What each run ran on, in a line that links to all of it.
pub fn provenance(indexes: &[Index]) -> Markup {
    html! {
        @for index in indexes {
            p.provenance {
                a href={ "#run" (index.number) } { (index.name) }
                @if let Some(Lined { record, .. }) = index.sessions.last() {
                    span { (text(&record.facts.name)) }
                    span { "driver " (text(&record.facts.driver)) }
                    span { (text(&record.facts.toolchain)) }
                    span { "commit " (commit(record)) }
                    span { (text(&record.time)) }
                    span { "timer " (accuracy(&record.timer)) }
                    span { "budget " (duration(record.budget_s * 1e6)) }
                }
            }
        }
    }
}

pub fn commit(session: &Session) -> Markup {
    html! {
        @match &session.git_commit {
            Some(commit) => code { (commit.chars().take(10).collect::<String>()) },
            None => (NONE),
        }
        @if session.git_dirty == Some(true) { " with changes" }
    }
}

/// How far the worst time of the try that passed was from what was asked.
fn accuracy(timer: &TimerRecord) -> String {
    let deviation = |(asked, us): &(i64, f64)| (us / (*asked as f64 / 1e3) - 1.0).abs();
    match timer.last_try().iter().filter(|(asked, _)| *asked > 0).map(deviation).max_by(f64::total_cmp) {
        Some(worst) => format!("within {} %", three(worst * 100.0)),
        None => "not tested".to_string(),
    }
}

/// A card for each run and timing mode; of many runs, a card for each mode over what is newest.
pub fn headline(indexes: &[Index], many: bool) -> Markup {
    html! {
        div.cards {
            @if many {
                @for (mode, summary) in modes(indexes.iter().flat_map(|index| &index.rows)) {
                    section.card aria-label={ (mode) " results" } {
                        h2 { (mode) " " span.run { "newest of each problem" } }
                        (card(&summary))
                    }
                }
            }
            @for index in indexes.iter().filter(|_| !many) {
                @for (mode, summary) in index.modes() {
                    section.card aria-label={ (mode) " results" } {
                        h2 { (mode) @if indexes.len() > 1 { " " span.run { (index.name) } } }
                        (card(&summary))
                    }
                }
            }
        }
    }
}

fn card(summary: &ModeSummary) -> Markup {
    let other = summary.verdicts.keys().copied().filter(|name| !VERDICTS.contains(name));
    let counts: Vec<(&str, usize)> = VERDICTS
        .into_iter()
        .chain(other)
        .map(|name| (name, summary.verdicts.get(name).copied().unwrap_or(0)))
        .collect();
    html! {
        p.mean {
            strong { (three(summary.ratio)) @if summary.ratio.is_some() { "×" } }
            span {
                "the vendor’s speed" br;
                @if summary.compared > 0 { "geometric mean of " (summary.compared) " ratios" } @else { "nothing to compare with" }
            }
        }
        div.share aria-hidden="true" {
            @for (name, n) in counts.iter().filter(|(_, n)| *n > 0) {
                i.(verdict_class(name)) style={ "flex-grow:" (n) } {}
            }
        }
        ul.counts {
            li { b { (summary.problems) } " " @if summary.problems == 1 { "problem" } @else { "problems" } }
            @for (name, n) in &counts { li.zero[*n == 0] { b { (n) } " " (verdict(name)) } }
        }
    }
}

pub fn runs(indexes: &[Index]) -> Markup {
    html! {
        section aria-labelledby="runs-title" {
            h2 #runs-title { "Runs" }
            @if indexes.is_empty() { p.quiet { "No runs were given." } }
            @for index in indexes {
                article.run-facts #{ "run" (index.number) } {
                    h3 { (index.name) }
                    @match index.sessions.last() {
                        Some(last) => (facts(index, last)),
                        None => p.quiet { "No session recorded among " (plural(index.records, "record")) "." },
                    }
                }
            }
        }
    }
}

pub fn facts(index: &Index, last: &Lined<Session>) -> Markup {
    let session = last.record;
    let device = &session.facts;
    html! {
        dl.facts {
            dt { "Device" }
            dd { (text(&device.name)) @if device.name != session.device { " (" code { (session.device) } ")" } }
            dt { "Driver" } dd { (text(&device.driver)) }
            dt { "Toolchain" } dd { (text(&device.toolchain)) }
            dt { "Libraries" } dd { (text(&device.libraries.join(", "))) }
            dt { "Memory" }
            dd { (size(device.memory_bytes as f64)) ", last-level cache " (size(device.l2_bytes as f64)) ", " (bandwidth(device.memory_bandwidth)) }
            dt { "Git commit" }
            dd {
                @match &session.git_commit { Some(commit) => code { (commit) }, None => (NONE) }
                @if let Some(branch) = &session.git_branch { " on " code { (branch) } }
                @match session.git_dirty {
                    Some(true) => { " " strong.warning { "with uncommitted changes" } },
                    Some(false) => " clean",
                    None => "",
                }
            }
            dt { "Version" } dd { (text(&session.version)) }
            dt { "Spec" } dd { (text(&session.spec)) ", seed " (session.seed) }
            dt { "Budget" } dd { (duration(session.budget_s * 1e6)) }
            dt { "Host" } dd { (text(&session.host)) }
            dt { "Timer self-test" } dd { (timer(&session.timer)) }
            dt { "Command" } dd { code.command { (command(&session.command)) } }
            dt { "Sessions" }
            dd {
                ol.sessions { @for Lined { line, record } in &index.sessions {
                    li { time { (text(&record.time)) } " " span.at { (FILE) ":" (line) } }
                } }
            }
        }
    }
}

fn text(text: &str) -> &str {
    if text.is_empty() { NONE } else { text }
}

fn size(n: f64) -> String {
    if n > 0.0 { bytes(n) } else { NONE.to_string() }
}

fn bandwidth(rate: f64) -> String {
    match finite(Some(rate)).filter(|rate| *rate > 0.0) {
        Some(rate) => format!("{} GB/s", three(rate / 1e9)),
        None => "bandwidth unknown".to_string(),
    }
}

/// Asked and measured, and the time of an empty launch.
fn timer(timer: &TimerRecord) -> Markup {
    html! {
        @for (asked, measured) in &timer.checks {
            @let asked = *asked as f64 / 1e3;
            span.check { (duration(asked)) " asked, " (duration(*measured)) " measured" }
        }
        span.check { "empty launch " (duration(timer.empty_us)) }
    }
}

/// The command line, with the words quoted that a shell would split or expand.
fn command(words: &[String]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,:+@%".contains(c);
    let quoted = words.iter().map(|word| match !word.is_empty() && word.chars().all(plain) {
        true => word.clone(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    });
    let line = quoted.collect::<Vec<_>>().join(" ");
    if line.is_empty() { NONE.to_string() } else { line }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_can_be_pasted_into_a_shell() {
        let words = ["smith", "tune", "--spec", "a b.toml", "it's"].map(String::from);
        assert_eq!(command(&words), r"smith tune --spec 'a b.toml' 'it'\''s'");
        assert_eq!(command(&[]), "–");
    }
}
