//! Many runs as a table, each with its facts behind it.

use super::model::Index;
use super::number::{NONE, count, duration};
use super::summary::{commit, facts};
use maud::{Markup, html};

pub fn table(indexes: &[Index]) -> Markup {
    html! {
        section aria-labelledby="runs-title" {
            h2 #runs-title tabindex="-1" { "Runs" }
            div.wide {
                table.runs data-sortable {
                    thead { tr {
                        th scope="col" data-sort="text" { "Run" }
                        th scope="col" data-sort="text" { "Began" }
                        th scope="col" data-sort="text" { "Device" }
                        th scope="col" data-sort="text" { "Commit" }
                        th scope="col" data-sort="text" { "Spec" }
                        th.number scope="col" data-sort="number" { "Budget" }
                        th.number scope="col" data-sort="number" { "Candidates" }
                        th scope="col" { "Facts" }
                    } }
                    tbody { @for index in indexes { (row(index)) } }
                }
            }
        }
    }
}

fn row(index: &Index) -> Markup {
    html! {
        tr #{ "run" (index.number) } tabindex="-1" {
            th scope="row" { (index.name) }
            @match index.sessions.last() {
                None => {
                    td.missing { (NONE) } td.missing { (NONE) } td.missing { (NONE) } td.missing { (NONE) }
                    td.number.missing { (NONE) } td.number data-value=(index.candidates.len()) { (count(index.candidates.len())) }
                    td { "no session recorded" }
                }
                Some(last) => {
                    td { (index.time()) }
                    td { (last.record.facts.name) }
                    td { (commit(last.record)) @if let Some(branch) = &last.record.git_branch { " on " (branch) } }
                    td { (last.record.spec) }
                    td.number data-value=(last.record.budget_s) { (duration(last.record.budget_s * 1e6)) }
                    td.number data-value=(index.candidates.len()) { (count(index.candidates.len())) }
                    td { details { summary { "all" } (facts(index, last)) } }
                }
            }
        }
    }
}
