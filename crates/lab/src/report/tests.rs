use super::sample;
use super::*;
use crate::evidence::*;
use std::collections::HashSet;

const HOSTILE: &str = "</td></script><script>alert('x')</script><img src=x onerror=\"alert(1)\">&\u{0}\u{202e}";

/// Values of an attribute, in the order of the page.
fn attribute<'a>(page: &'a str, name: &str) -> Vec<&'a str> {
    let open = format!(" {name}=\"");
    page.split(open.as_str()).skip(1).map(|rest| rest.split('"').next().unwrap_or("")).collect()
}

/// Every `id` is given once, and every link within the page leads to one.
fn links_lead_somewhere(page: &str) {
    let ids = attribute(page, "id");
    let unique: HashSet<&str> = ids.iter().copied().collect();
    assert_eq!(ids.len(), unique.len(), "an id is given twice");
    for target in attribute(page, "href").into_iter().filter_map(|href| href.strip_prefix('#')) {
        assert!(unique.contains(target), "#{target} leads nowhere");
    }
}

/// Elements that were opened are closed, in order.
fn is_balanced(page: &str) {
    let void = ["meta", "link", "input", "br", "wbr"];
    let mut open = Vec::new();
    let markup = page.replace(STYLE, "").replace(SCRIPT, "");
    for tag in markup.split('<').skip(1).filter(|tag| !tag.starts_with('!')) {
        let name: String = tag.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '/').collect();
        match name.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop().as_deref(), Some(name)),
            None if void.contains(&name.as_str()) => {}
            None => open.push(name),
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

fn bare_result(problem: &str) -> ResultRecord {
    ResultRecord {
        op: "gemm".into(),
        problem: problem.into(),
        device: String::new(),
        candidate: None,
        mode: "cold".into(),
        us: None,
        gflops: None,
        roofline: None,
        baseline: None,
        baseline_us: None,
        ratio: None,
        ratio_low: None,
        ratio_high: None,
        noise_low: None,
        noise_high: None,
        verdict: "failed".into(),
        gaps: Vec::new(),
        max_error_over_bound: None,
        vendor_error: None,
        tried: 0,
        passed: 0,
        source_hash: None,
    }
}

#[test]
fn a_full_run_is_a_sound_page() {
    let page = render(&[sample::run("runs/a", 20, 40), sample::run("runs/b", 3, 20)]);
    links_lead_somewhere(&page);
    is_balanced(&page);
    assert_eq!(attribute(&page, "data-verdict").len(), 46);
    assert!(page.contains("evidence.jsonl:1<"), "the session's line");
    assert!(!page.contains("NaN") && !page.contains("inf<"));
    for word in ["http://", "https://", "src=\""] {
        assert!(!page.contains(word), "the page fetches {word}");
    }
}

#[test]
fn hostile_text_is_shown_and_never_run() {
    let mut run = sample::run("a", 2, 20);
    run.records.push(audit("m=5", false, Some(2.0)));
    for record in &mut run.records {
        match record {
            Record::Session(s) => {
                s.host = HOSTILE.into();
                s.command = vec![HOSTILE.into()];
                s.facts.name = HOSTILE.into();
                s.git_commit = Some(HOSTILE.into());
            }
            Record::Gap(g) => (g.variant, g.reason) = (HOSTILE.into(), HOSTILE.into()),
            Record::Candidate(c) => {
                (c.candidate, c.detail, c.op) = (format!("{HOSTILE}[{HOSTILE}]"), Some(HOSTILE.into()), HOSTILE.into());
                c.vendor = c.vendor.as_ref().map(|_| HOSTILE.into());
                c.problem = HOSTILE.into();
            }
            Record::Search(s) => (s.op, s.problem, s.strategy) = (HOSTILE.into(), HOSTILE.into(), HOSTILE.into()),
            Record::Gate(g) => (g.op, g.problem, g.detail) = (HOSTILE.into(), HOSTILE.into(), Some(HOSTILE.into())),
            Record::Race(r) => {
                (r.op, r.problem) = (HOSTILE.into(), HOSTILE.into());
                r.contenders.iter_mut().for_each(|c| (c.candidate, c.role) = (HOSTILE.into(), HOSTILE.into()));
            }
            Record::Audit(a) => {
                (a.op, a.problem, a.why) = (HOSTILE.into(), HOSTILE.into(), HOSTILE.into());
                (a.pick, a.best) = (Some(HOSTILE.into()), Some(HOSTILE.into()));
            }
            Record::Result(r) => {
                (r.op, r.problem, r.verdict) = (HOSTILE.into(), HOSTILE.into(), HOSTILE.into());
                (r.candidate, r.baseline) = (Some(HOSTILE.into()), Some(HOSTILE.into()));
            }
        }
    }
    run.name = HOSTILE.into();
    let page = render(&[run, sample::run(HOSTILE, 1, 3)]);
    assert_eq!(page.matches("<script").count(), 1, "only the page's own");
    assert!(!page.contains("<img") && page.contains("&lt;script&gt;alert"));
    links_lead_somewhere(&page);
    is_balanced(&page);
}

#[test]
fn no_runs_and_empty_runs_are_pages_too() {
    let empty = || Run { name: "empty".into(), records: Vec::new() };
    for (runs, words) in
        [(vec![], "No runs"), (vec![empty()], "No results yet"), (vec![empty(), empty()], "No session")]
    {
        let page = render(&runs);
        assert!(page.contains(words), "{words}");
        links_lead_somewhere(&page);
        is_balanced(&page);
    }
}

#[test]
fn missing_pieces_are_dashes() {
    let race = RaceRecord {
        op: "gemm".into(),
        problem: "m=1".into(),
        mode: "cold".into(),
        contenders: vec![ContenderRecord { candidate: "v".into(), role: "candidate".into(), samples_us: vec![] }],
        selection_blocks: 5,
        launches_per_sample: 0,
        sets: 0,
        set_bytes: 0,
        flushed: true,
        telemetry: TelemetryRecord::default(),
        disqualified: Vec::new(),
        error: None,
        seconds: 0.0,
    };
    let mut odd = bare_result("m=2");
    (odd.ratio, odd.ratio_low, odd.us) = (Some(f64::NAN), Some(0.0), Some(f64::INFINITY));
    let mut lone = bare_result("m=3");
    (lone.ratio, lone.verdict) = (Some(1e9), "faster".into());
    let records = [Record::Race(race), Record::Result(bare_result("m=1")), Record::Result(odd), Record::Result(lone)];
    let page = render(&[Run { name: "bare".into(), records: records.to_vec() }]);
    assert!(page.contains("data-label=\"Time, µs\">–</td>"), "{page}");
    assert!(page.contains("No race recorded") && page.contains("No samples"));
    assert!(!page.contains("NaN") && !page.contains(">inf"));
    links_lead_somewhere(&page);
    is_balanced(&page);
}

#[test]
fn one_sample_and_more_selection_blocks_than_samples() {
    let mut run = sample::run("a", 1, 4);
    for record in &mut run.records {
        if let Record::Race(race) = record {
            race.selection_blocks = 99;
            race.contenders.iter_mut().for_each(|c| c.samples_us.truncate(1));
        }
    }
    is_balanced(&render(&[run]));
}

#[test]
fn a_large_run_stays_lean() {
    let page = render(&[sample::run("large", 130, 80)]);
    assert!(page.len() < 5_000_000, "{} bytes", page.len());
}

/// An audited problem.
fn audit(problem: &str, tuned: bool, regret: Option<f64>) -> Record {
    Record::Audit(AuditRecord {
        op: "gemm".into(),
        problem: problem.into(),
        device: "NVIDIA H200".into(),
        mode: "cold".into(),
        pick: Some("naive".into()),
        why: "default: nothing tuned is near".into(),
        tuned,
        pick_us: regret,
        best: regret.map(|_| "split_k".into()),
        best_us: regret.map(|_| 1.0),
        regret,
        regret_low: regret,
        regret_high: regret,
        tried: 9,
        error: regret.is_none().then(|| "the pick, naive, failed the gate".into()),
    })
}

/// A day's run after another, with a slow-down of 8 % half-way.
fn many(count: usize, problems: usize, candidates: usize) -> Vec<Run> {
    let day = |i: usize| {
        let mut run = sample::run(&format!("2026-{:03}-nvidia-h200-starter", i + 1), problems, candidates);
        let drift = (if i < count / 2 { 1.0 } else { 1.08 }) * (1.0 + 0.004 * ((i * 7) % 5) as f64);
        for record in &mut run.records {
            match record {
                Record::Session(s) => s.time = format!("2026-{:02}-{:02}T00:00:00Z", 1 + i / 28, 1 + i % 28),
                Record::Result(r) => (r.us, r.ratio) = (r.us.map(|x| x * drift), r.ratio.map(|x| x / drift)),
                _ => {}
            }
        }
        run
    };
    (0..count).map(day).collect()
}

/// What two hundred runs of a spec of 14 problems weigh. `KERNELSMITH_PAGE=FILE` keeps the page, for
/// `tools/report-in-chromium.sh`.
#[test]
fn two_hundred_runs_stay_lean() {
    let runs = many(200, 14, 40);
    let start = std::time::Instant::now();
    let page = render(&runs);
    println!("{} bytes, made in {:.1} s", page.len(), start.elapsed().as_secs_f64());
    if let Some(path) = std::env::var_os("KERNELSMITH_PAGE") {
        std::fs::write(path, &page).unwrap();
    }
    assert!(page.len() < 5_000_000, "{} bytes", page.len());
    links_lead_somewhere(&page);
    is_balanced(&page);
    assert_eq!(attribute(&page, "data-verdict").len(), 28, "the newest of each problem and mode");
    assert!(page.contains("suspected") && page.contains("2026-101-nvidia-h200-starter"));
}

#[test]
fn a_step_that_a_race_confirmed_is_shown_so() {
    use crate::history::log::Confirmation;
    use crate::history::paired::Call;
    use crate::history::series;
    let runs = many(20, 1, 20);
    let named: Vec<series::Named> = runs.iter().map(|r| (r.name.as_str(), r.records.as_slice())).collect();
    let found = series::of_runs(&named, &[]);
    let entry = |call| {
        Entry::Confirmation(Confirmation {
            time: String::new(),
            device: found[0].device.clone(),
            metric: found[0].key.to_string(),
            before: runs[9].name.clone(),
            after: runs[10].name.clone(),
            call,
            change: 0.08,
            low: None,
            high: None,
            pairs: 20,
        })
    };
    let tags = |log: &[Entry]| {
        let page = render_with(&runs, Extras { log, live: false });
        ["suspected", "confirmed", "refuted"].map(|tag| page.matches(&format!(">{tag}<")).count())
    };
    let all = tags(&[]);
    assert!(all[0] > 1 && all[1..] == [0, 0], "{all:?}");
    let worse = if found[0].changes[0].worse > 0.0 { Call::Regressed } else { Call::Improved };
    assert_eq!(tags(&[entry(worse)]), [all[0] - 1, 1, 0]);
    assert_eq!(tags(&[entry(Call::Same)]), [all[0] - 1, 0, 1]);
}

#[test]
fn an_audit_is_shown_with_its_means() {
    let mut run = sample::run("a", 1, 4);
    run.records.extend([audit("m=5", false, Some(2.0)), audit("m=6", false, Some(8.0)), audit("m=7", true, None)]);
    let page = render(&[run]);
    assert!(page.contains("4.00 over the 2 that were never tuned"), "{page}");
    assert!(page.contains("failed the gate"));
    links_lead_somewhere(&page);
    is_balanced(&page);
}

#[test]
fn only_a_live_page_may_ask_and_only_its_own_address() {
    let runs = [sample::run("a", 1, 4)];
    let page = render_with(&runs, Extras { live: true, ..Extras::default() });
    assert!(page.contains("connect-src &#39;self&#39;") || page.contains("connect-src 'self'"));
    assert!(page.contains("data-live"));
    let page = render(&runs);
    assert!(!page.contains("connect-src") && !page.contains("<html lang=\"en\" data-live"));
}
