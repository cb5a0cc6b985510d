//! Replay and interchange: a small recorded space through the program and back.

mod support;

use support::*;

/// A cachefile of a 6 × 8 space on a device, the best at a = 8, b = 3.
fn cachefile(device: &str, scale: f64) -> String {
    let mut cache = Vec::new();
    for a in [1, 2, 4, 8, 16, 32] {
        for b in 0..8 {
            let steps = (f64::from(a).log2() - 3.0).abs() + f64::from(i32::abs(b - 3));
            let time =
                if a == 32 && b > 5 { "\"RuntimeFailedConfig\"".to_string() } else { (scale + steps).to_string() };
            cache.push(format!("\"{a},{b}\": {{\"a\": {a}, \"b\": {b}, \"time\": {time}, \"times\": []}}"));
        }
    }
    format!(
        "{{\"device_name\": \"{device}\", \"kernel_name\": \"k\", \"problem_size\": [64], \"tune_params_keys\": [\"a\", \"b\"], \"tune_params\": {{}}, \"objective\": \"time\", \"cache\": {{{}}}}}",
        cache.join(",\n")
    )
}

#[test]
fn replay_prints_an_object_a_space_and_one_for_all() {
    let place = Place::new();
    let (one, two) =
        (place.write("one.json", &cachefile("NVIDIA A", 1.0)), place.write("two.json", &cachefile("NVIDIA B", 2.0)));
    for strategy in ["default", "exhaustive", "random", "descent", "annealing", "genetic", "surrogate"] {
        let args = ["replay", &one, &two, "--strategy", strategy, "--budget", "30", "--seeds", "3", "--json"];
        let rows = place.smith(&args).expect(0).json();
        let spaces: Vec<&str> = rows.iter().map(|r| r["space"].as_str().unwrap()).collect();
        assert_eq!(spaces, ["one", "two", "all"]);
        for row in &rows {
            assert_eq!((row["strategy"].as_str(), row["seeds"].as_u64()), (Some(strategy), Some(3)));
            let fraction = |n: &str| row["fraction"][n].as_f64().unwrap();
            assert!(fraction("10") > 0.0 && fraction("10") <= fraction("25") && fraction("30") <= 1.0, "{row}");
        }
        let mean = (rows[0]["fraction"]["25"].as_f64().unwrap() + rows[1]["fraction"]["25"].as_f64().unwrap()) / 2.0;
        assert!((rows[2]["fraction"]["25"].as_f64().unwrap() - mean).abs() < 1e-9);
    }
    let again =
        |seeds: &str| place.smith(&["replay", &one, "--seeds", seeds, "--budget", "20", "--json"]).expect(0).json();
    assert_eq!(again("4")[0]["fraction"], again("4")[0]["fraction"], "seeds decide");
}

#[test]
fn a_prior_of_another_device_is_right_at_once_and_one_of_itself_is_refused() {
    let place = Place::new();
    let (one, two) =
        (place.write("one.json", &cachefile("NVIDIA A", 1.0)), place.write("two.json", &cachefile("NVIDIA B", 2.0)));
    let done = place.smith(&["replay", &one, "--prior", &one, &two, "--budget", "10", "--json"]).expect(0);
    assert!(done.stderr.contains("no prior from one, which holds the same times"), "{}", done.stderr);
    let row = &done.json()[0];
    assert_eq!((row["prior"][0].as_str(), row["fraction"]["10"].as_f64()), (Some("two"), Some(1.0)));
    let table = place.smith(&["replay", &one, &two, "--budget", "10", "--seeds", "2"]).expect(0).stdout;
    assert!(table.contains("one") && table.contains("worst space"), "{table}");
}

#[test]
fn a_recording_goes_through_a_run_and_back() {
    let place = Place::new();
    let one = place.write("one.json", &cachefile("NVIDIA A", 1.0));
    let run = place.path("run").display().to_string();
    place.smith(&["import", &one, "--run", &run]).expect(0);
    assert_eq!(of_kind(&place.evidence("run"), "candidate").len(), 48);
    place.smith(&["import", &one, "--run", &run]).refused(&["it is there already"]);
    for format in ["cachefile", "t4"] {
        let out = place.path(format).display().to_string();
        let files = place.smith(&["export", &run, "--format", format, "--out", &out, "--json"]).expect(0).json();
        assert_eq!((files.len(), files[0]["trials"].as_u64()), (1, Some(48)));
        let back = files[0]["file"].as_str().unwrap();
        let fraction = |f: &str| {
            let rows =
                place.smith(&["replay", f, "--strategy", "exhaustive", "--budget", "48", "--seeds", "1", "--json"]);
            rows.expect(0).json()[0]["fraction"].clone()
        };
        assert_eq!(fraction(back), fraction(&one), "{format}");
    }
    let out = place.path("t1").display().to_string();
    let files = place.smith(&["export", &one, "--format", "t1", "--out", &out, "--json"]).expect(0).json();
    let manifest = place.smith(&["import", files[0]["file"].as_str().unwrap(), "--manifest"]).expect(0).stdout;
    assert!(manifest.contains("a = [1, 2, 4, 8, 16, 32]"), "{manifest}");
}

#[test]
fn a_sweep_with_each_strategy_leaves_a_record_of_its_search() {
    let place = Place::new();
    for (strategy, more) in [("default", None), ("random", Some("--no-prior"))] {
        let run = place.path(strategy).display().to_string();
        let mut args = vec!["tune", "--problem", PROBLEM, "--device", "cpu", "--budget", "1s", "--run", &run];
        args.extend(["--strategy", strategy, "--json"]);
        args.extend(more);
        place.smith(&args).expect(0);
        let evidence = place.evidence(strategy);
        let searches = of_kind(&evidence, "search");
        assert_eq!(searches.len(), 1);
        assert_eq!(searches[0]["strategy"].as_str(), Some(strategy));
        let (space, screened) = (searches[0]["space"].as_u64().unwrap(), searches[0]["screened"].as_u64().unwrap());
        assert!(screened >= 1 && screened <= space, "{}", searches[0]);
    }
}
