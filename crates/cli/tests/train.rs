//! Training from the command line, on a handful of images.

mod support;

use support::*;

/// An IDX file of bytes: its dimensions, then what is in it.
fn idx(dimensions: &[u32], bytes: impl Iterator<Item = u8>) -> Vec<u8> {
    let mut out = vec![0, 0, 8, dimensions.len() as u8];
    dimensions.iter().for_each(|n| out.extend(n.to_be_bytes()));
    out.extend(bytes);
    out
}

/// A folder like MNIST's, of images whose rows say which digit they are.
fn digits(place: &Place) -> String {
    let folder = place.path("digits");
    std::fs::create_dir_all(&folder).unwrap();
    for (split, count) in [("train", 160u32), ("t10k", 40)] {
        let pixels = (0..count).flat_map(|i| (0..784u32).map(move |p| if p / 78 == i % 10 { 255 } else { 0 }));
        let labels = (0..count).map(|i| (i % 10) as u8);
        std::fs::write(folder.join(format!("{split}-images-idx3-ubyte")), idx(&[count, 28, 28], pixels)).unwrap();
        std::fs::write(folder.join(format!("{split}-labels-idx1-ubyte")), idx(&[count], labels)).unwrap();
    }
    folder.display().to_string()
}

#[test]
fn launches_are_tuned_in_place_before_the_training() {
    let place = Place::new();
    let (data, run, model) = (digits(&place), place.path("run").display().to_string(), place.path("model"));
    let model = model.display().to_string();
    let args =
        ["train", "mnist", "--data", &data, "--device", "cpu", "--epochs", "3", "--batch", "16", "--out", &model];
    let done = place.smith(&[&args[..], &["--tune=2s", "--run", &run, "--json"]].concat()).expect(0);
    let lines = done.json();
    let tuned = lines.iter().find(|l| l.get("tuned").is_some()).expect("a line about the tuning");
    for key in ["before_ms", "after_ms", "ratio", "ratio_low", "ratio_high"] {
        assert!(tuned[key].as_f64().is_some_and(|x| x > 0.0), "{key} in {tuned}");
    }
    let epochs: Vec<_> = lines.iter().filter(|l| l.get("epoch").is_some()).collect();
    assert_eq!(epochs.len(), 3);
    assert!(epochs[2]["test_accuracy"].as_f64().unwrap() > 0.9, "{}", epochs[2]);

    let records = place.evidence("run");
    let race = of_kind(&records, "race").pop().expect("a race of the graph with what it was");
    assert_eq!(race["op"], "graph");
    let samples = |c: usize| race["contenders"][c]["samples_us"].as_array().unwrap().len();
    assert!(samples(0) >= 20 && samples(0) == samples(1), "{race}");
    assert!(!of_kind(&records, "candidate").is_empty());
    // Whatever took a place went through the full gate.
    let gated = of_kind(&records, "gate");
    for winner in of_kind(&records, "result") {
        let same = |g: &&&serde_json::Value| g["problem"] == winner["problem"] && g["candidate"] == winner["candidate"];
        assert!(gated.iter().find(same).is_some_and(|g| g["verdict"] == "ok"), "{winner} was not gated");
    }
    // A folder takes one such run.
    place.smith(&[&args[..], &["--tune=2s", "--run", &run]].concat()).refused(&[&run, "new folder"]);
}

/// Shuffling copied whole numbers in f64: an adapter without it, as Apple's are, could not train.
#[test]
#[cfg(feature = "portable")]
fn an_adapter_without_f64_trains() {
    let place = Place::new();
    let found = place.smith(&["devices", "--json"]).expect(0).json();
    if !found.iter().any(|d| d["device"] == "wgpu:0") {
        eprintln!("NOT TESTED: no adapter");
        return;
    }
    let (data, model) = (digits(&place), place.path("model").display().to_string());
    let args =
        ["train", "mnist", "--data", &data, "--device", "wgpu:0", "--epochs", "3", "--batch", "16", "--out", &model];
    let done = place.smith_with("KERNELSMITH_WITHOUT", "f64,int64", &[&args[..], &["--json"]].concat()).expect(0);
    let lines = done.json();
    let last = lines.iter().rfind(|l| l.get("epoch").is_some()).expect("epochs");
    assert!(last["test_accuracy"].as_f64().unwrap() > 0.9, "{last}");
}
