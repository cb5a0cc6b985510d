//! Progress of a sweep or an audit, for people or as JSON lines.

use crate::output::{audit_json, json_line, result_json, short};
use indicatif::{ProgressBar, ProgressStyle};
use kernelsmith_lab::evidence::{AuditRecord, ResultRecord};
use kernelsmith_lab::live::Live;
use kernelsmith_lab::tune::Progress;
use std::io::IsTerminal;
use std::path::PathBuf;

/// Progress for people, or JSON lines.
pub struct Screen {
    /// The page that is served meanwhile, and the run folder that it is of.
    pub live: Option<(Live, PathBuf)>,
    json: bool,
    pub bar: ProgressBar,
    stage: String,
}

impl Screen {
    pub fn new(json: bool, problems: usize) -> Self {
        let visible = !json && std::io::stderr().is_terminal();
        let bar = if visible { ProgressBar::new(problems as u64) } else { ProgressBar::hidden() };
        let style = ProgressStyle::with_template("{bar:24} {pos}/{len} {elapsed} {wide_msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Screen { live: None, json, bar, stage: String::new() }
    }

    /// The bar goes, and who watches the page gets its last form.
    pub fn finish(&mut self) {
        self.bar.finish_and_clear();
        if let Some((live, folder)) = self.live.take() {
            live.finish(&folder);
        }
    }

    fn refresh(&mut self) {
        if let Some((live, folder)) = &mut self.live {
            live.refresh(folder);
        }
    }
}

impl Progress for Screen {
    fn problem(&mut self, index: usize, count: usize, problem: &str) {
        self.bar.set_length(count as u64);
        self.bar.set_position(index as u64);
        self.stage = problem.to_string();
        self.bar.set_message(self.stage.clone());
    }

    fn candidate(&mut self, tried: usize, total: usize, best_us: Option<f64>) {
        self.refresh();
        let best = best_us.map_or(String::new(), |us| format!(", best {} µs", short(us)));
        self.bar.set_message(format!("{} · {tried}/{total}{best}", self.stage));
    }

    fn stage(&mut self, name: &str) {
        self.refresh();
        self.bar.set_message(format!("{} · {name}", self.stage));
    }

    fn result(&mut self, result: &ResultRecord) {
        if self.json {
            json_line(&result_json(result));
        }
        self.refresh();
    }

    fn audited(&mut self, audit: &AuditRecord) {
        if self.json {
            json_line(&audit_json(audit));
        }
    }

    fn note(&mut self, text: &str) {
        self.bar.suspend(|| eprintln!("{text}"));
    }
}
