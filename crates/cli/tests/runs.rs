//! What a finished run is good for: resuming, reading back, comparing, reporting, dispatch.

mod support;

use support::*;

/// A finished sweep of the sound kernels in `run`, with its winners installed.
fn finished() -> Place {
    let place = Place::new();
    place.tune("sound-kernels", "run", &["--json"]).expect(0);
    place
}

/// Copies the run's evidence, changed, into another run folder. Returns its path.
fn copied(place: &Place, name: &str, change: impl Fn(&mut Vec<String>)) -> String {
    let text = std::fs::read_to_string(place.path("run/evidence.jsonl")).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_string).collect();
    change(&mut lines);
    place.write(&format!("{name}/evidence.jsonl"), &(lines.join("\n") + "\n"));
    place.path(name).display().to_string()
}

fn drop_last_result(lines: &mut Vec<String>) {
    let last = lines.iter().rposition(|l| l.contains("\"kind\":\"result\"")).unwrap();
    lines.remove(last);
}

#[test]
fn a_finished_run_is_not_measured_again() {
    let place = finished();
    let before = place.evidence("run");
    let results = place.tune("sound-kernels", "run", &["--json"]).expect(0).json();
    assert_eq!(results.len(), 2, "its results are printed again");
    let after = place.evidence("run");
    assert_eq!(after.len(), before.len() + 1);
    assert_eq!(after.last().unwrap()["kind"], "session");

    // Killed between the results of the two modes: the problem is raced again, once.
    copied(&place, "half", drop_last_result);
    place.tune("sound-kernels", "half", &["--json"]).expect(0);
    let records = place.evidence("half");
    assert_eq!(of_kind(&records, "result").len(), 3);
    assert_eq!(of_kind(&records, "candidate"), of_kind(&before, "candidate"), "nothing is screened again");
    let results = place.tune("sound-kernels", "half", &["--json"]).expect(0).json();
    assert_eq!(results.len(), 2);
    assert_eq!(place.evidence("half").len(), records.len() + 1);
}

#[test]
fn a_kernel_whose_source_changed_is_screened_again_on_resume() {
    let place = finished();
    let before = place.evidence("run");
    let candidates = of_kind(&before, "candidate");
    let (changed, hash) = (&candidates[0]["candidate"], candidates[0]["source_hash"].as_str().unwrap());
    copied(&place, "changed", |lines| {
        let line = lines.iter_mut().find(|l| l.contains("\"kind\":\"candidate\"")).unwrap();
        *line = line.replace(hash, "00");
    });
    place.tune("sound-kernels", "changed", &["--json"]).expect(0);
    let after = place.evidence("changed");
    let again = &of_kind(&after, "candidate")[candidates.len()..];
    assert_eq!(again.len(), 1, "only what changed is screened again: {again:?}");
    assert_eq!((&again[0]["candidate"], again[0]["source_hash"].as_str().unwrap()), (changed, hash));
    assert_eq!(of_kind(&after, "result").len(), 4, "both results are old ones");
    assert_eq!(of_kind(&after, "gap"), of_kind(&before, "gap"), "gaps were appended again");
}

#[test]
fn a_tuned_folder_that_cannot_be_written_is_noticed_before_the_sweep() {
    let place = Place::new();
    let file = place.write("a-file", "");
    let folder = format!("{file}/tuned");
    let done = place.smith_with("KERNELSMITH_TUNED", &folder, &["tune", "--problem", PROBLEM, "--device", "cpu"]);
    done.refused(&[&folder]);
    assert!(!place.path("work/runs").exists(), "the sweep had begun");
}

#[test]
fn damaged_evidence_is_named_by_file_and_line() {
    let place = finished();
    for (name, bad, found) in [
        ("garbage", "not json", "expected"),
        ("unknown", "{\"kind\":\"rumour\"}", "rumour"),
        ("missing", "{\"kind\":\"gap\",\"op\":\"gemm\"}", "problem"),
        (
            "verdict",
            "{\"kind\":\"gate\",\"op\":\"gemm\",\"problem\":\"\",\"candidate\":\"\",\"verdict\":\"fine\"}",
            "fine",
        ),
    ] {
        let run = copied(&place, name, |lines| lines.insert(1, bad.to_string()));
        let at = format!("{run}/evidence.jsonl:2:");
        let text = std::fs::read_to_string(place.path(name).join("evidence.jsonl")).unwrap();
        place.smith(&["tune", "--problem", PROBLEM, "--device", "cpu", "--resume", &run]).refused(&[&at, found]);
        place.smith(&["report", &run]).refused(&[&at, found]);
        place.smith(&["compare", &run, &run]).refused(&[&at, found]);
        assert_eq!(
            std::fs::read_to_string(place.path(name).join("evidence.jsonl")).unwrap(),
            text,
            "the file stays as it was"
        );
        assert!(!place.path(name).join("report.html").exists());
    }

    // Half a last line is what a kill leaves: it is dropped, and said.
    let whole = std::fs::read_to_string(place.path("run/evidence.jsonl")).unwrap();
    place.write("torn/evidence.jsonl", &whole[..whole.len() - 20]);
    let torn = place.path("torn").display().to_string();
    let done = place.smith(&["report", &torn]).expect(0);
    assert!(done.stderr.contains("half a record"), "{}", done.stderr);
    place.tune("sound-kernels", "torn", &["--json"]).expect(0);
    let kept = &whole[..whole[..whole.len() - 20].rfind('\n').unwrap() + 1];
    assert!(std::fs::read_to_string(place.path("torn/evidence.jsonl")).unwrap().starts_with(kept));
}

#[test]
fn compare_fails_on_what_went_missing() {
    let place = finished();
    let run = place.path("run").display().to_string();
    let rows = place.smith(&["compare", &run, &run, "--json"]).expect(0).json();
    assert_eq!(rows.iter().map(|r| r["verdict"].as_str().unwrap()).collect::<Vec<_>>(), ["same", "same"]);
    has_keys(&rows[0], &["op", "problem", "mode", "before_us", "after_us", "speedup", "ratio_before", "ratio_after"]);
    let less = copied(&place, "less", drop_last_result);
    let rows = place.smith(&["compare", &run, &less, "--json"]).expect(1).json();
    assert_eq!(rows.iter().map(|r| r["verdict"].as_str().unwrap()).collect::<Vec<_>>(), ["same", "missing"]);
    let rows = place.smith(&["compare", &less, &run, "--json"]).expect(0).json();
    assert_eq!(rows[1]["verdict"], "new");
    let none = copied(&place, "none", |lines| lines.truncate(1));
    place.smith(&["compare", &none, &none]).refused(&[&none, "holds no results"]);
}

#[test]
fn the_report_needs_nothing_else() {
    let place = finished();
    let page = std::fs::read_to_string(place.path("run/report.html")).unwrap();
    assert!(page.starts_with("<!") && page.trim_end().ends_with("</html>"));
    assert!(page.contains("m=33") && page.contains("gemm_crate"));
    for outside in
        ["src=\"http", "href=\"http", "src=\"//", "<link rel=\"stylesheet", "<script src", "@import", "url(http"]
    {
        assert!(!page.contains(outside), "the page refers to something outside: {outside}");
    }
    // Planted text cannot become markup.
    let other =
        copied(&place, "other", |lines| lines.iter_mut().for_each(|l| *l = l.replace("gemm_crate", "<img src=x>")));
    let out = place.path("pages/other.html").display().to_string();
    let done = place.smith(&["report", &other, "--out", &out, "--json"]).expect(0);
    assert_eq!(done.json()[0]["report"], out);
    assert!(!std::fs::read_to_string(&out).unwrap().contains("<img"));
    // The newest run below runs/ is what `report` takes when it is given nothing.
    std::fs::create_dir(place.path("work/runs")).unwrap();
    std::fs::rename(&other, place.path("work/runs/2026-01-01")).unwrap();
    let done = place.smith(&["report"]).expect(0);
    assert_eq!(done.stdout.trim(), "runs/2026-01-01/report.html");
}

#[test]
fn dispatch_runs_the_tuned_winner() {
    let place = finished();
    let files: Vec<_> = std::fs::read_dir(place.path("tuned")).unwrap().map(|e| e.unwrap().file_name()).collect();
    let table = files.iter().filter_map(|f| f.to_str()).find(|f| f.ends_with(".toml")).unwrap();
    assert!(files.iter().all(|f| f == table || f == "lock"), "temporary files were left: {files:?}");
    let table = place.path("tuned").join(table);
    let text = std::fs::read_to_string(&table).unwrap();
    let cold = of_kind(&place.evidence("run"), "result").into_iter().find(|r| r["mode"] == "cold").cloned().unwrap();
    let winner = cold["candidate"].as_str().unwrap();
    assert!(text.contains(&format!("candidate = \"{winner}\"")), "{text}");
    assert_eq!(std::fs::read_to_string(place.path("run/tuned.toml")).unwrap(), text);

    let overlay = kernels("sound-kernels");
    let args = ["bench", "gemm", "--problem", PROBLEM, "--device", "cpu", "--kernels", &overlay, "--json"];
    let results = place.smith(&args).expect(0).json();
    assert_eq!(results.iter().map(|r| r["mode"].as_str().unwrap()).collect::<Vec<_>>(), ["cold", "hot"]);
    for result in &results {
        has_keys(
            result,
            &["op", "problem", "device", "us", "ratio", "ratio_low", "ratio_high", "baseline", "verdict", "gaps"],
        );
        assert_eq!(result["candidate"], winner);
    }
    // An entry whose kernel's source has changed never runs: what is left is the planted default.
    std::fs::write(&table, text.replace("source_hash = \"", "source_hash = \"0")).unwrap();
    let done = place.smith(&args).expect(1);
    assert!(done.stderr.contains("fault_writes_nothing failed the gate"), "{}", done.stderr);
    // Nor does anything run on a table that cannot be read.
    let path = table.display().to_string();
    for (bad, needle) in [
        (text.replacen("mode = ", "made = ", 1), "line "),
        (text.replacen("format = 1", "format = 7", 1), "format 7, expected 1"),
        (text.replacen("m=33", "m=0", 1), "m=0"),
        (text.replacen("device = \"", "device = \"another ", 1), "made on `another"),
        (text[..text.len() / 2].to_string(), "line "),
    ] {
        std::fs::write(&table, &bad).unwrap();
        place.smith(&args).refused(&[&path, needle]);
        // A sweep says so before it starts, not after it has run for an hour.
        place.tune("sound-kernels", "late", &[]).refused(&[&path, needle]);
        assert!(!place.path("late").exists());
        assert_eq!(std::fs::read_to_string(&table).unwrap(), bad, "a damaged table is not overwritten");
    }
}
