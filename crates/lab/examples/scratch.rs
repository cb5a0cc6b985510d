use kernelsmith_lab::replay::{self, Known};
use rayon::prelude::*;
fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let strategy = &args[0];
    let mode = &args[1]; // none | vendor
    let seeds: u64 = args[2].parse().unwrap();
    let known: Vec<Known> = args[3..].iter().map(|p| Known::load(p.as_ref()).unwrap()).collect();
    let vendor = |k: &Known| {
        let d = format!("{} {}", k.device, k.name);
        if d.contains("MI250X") || d.contains("W6600") || d.contains("AMD") || d.contains("W7800") {
            "amd"
        } else {
            "nv"
        }
    };
    let jobs: Vec<(usize, u64)> = (0..known.len()).flat_map(|i| (0..seeds).map(move |s| (i, s))).collect();
    let priors: Vec<_> = known
        .iter()
        .map(|k| {
            if mode == "none" {
                return Default::default();
            }
            if mode == "inverse" || mode == "noise" {
                let mut prior = kernelsmith_lab::search::Prior::default();
                let inv = mode == "inverse";
                let slow: Vec<f64> = k
                    .outcomes
                    .iter()
                    .enumerate()
                    .map(|(i, o)| {
                        if inv { 3.0 - (o.cost() / k.optimum).ln().min(3.0) } else { (i * 7919 % 1000) as f64 / 500.0 }
                    })
                    .collect();
                prior.add(kernelsmith_lab::search::prior::Source { name: "bad".into(), weight: 1.0, slowdown: slow });
                return prior;
            }
            if mode == "cross" {
                let others: Vec<Known> = known.iter().filter(|o| vendor(o) != vendor(k)).cloned().collect();
                return replay::known::prior(k, &others).0;
            }
            let others: Vec<Known> = known
                .iter()
                .filter(|o| {
                    o.device.replace(".T4", "") != k.device
                        && !(o.name.contains("A4000") && k.name.contains("A4000"))
                        && !o.name.contains("T4")
                        && vendor(o) == vendor(k)
                })
                .cloned()
                .collect();
            replay::known::prior(k, &others).0
        })
        .collect();
    let curves: Vec<_> =
        jobs.par_iter().map(|(i, s)| replay::run(&known[*i], strategy, &priors[*i], 200, *s).unwrap()).collect();
    let spaces: Vec<_> = known
        .iter()
        .enumerate()
        .map(|(i, k)| {
            (
                k.name.clone(),
                jobs.iter().zip(&curves).filter(|(j, _)| j.0 == i).map(|(_, c)| c.clone()).collect::<Vec<_>>(),
            )
        })
        .collect();
    for r in replay::rows(&spaces, 200) {
        println!(
            "{:28} {}",
            r.space,
            r.fraction.iter().map(|f| format!("{:.3}", f.1.value)).collect::<Vec<_>>().join(" ")
        );
    }
    let total: f64 = curves.iter().map(|c| c.overhead.as_secs_f64()).sum();
    println!("ms/eval {:.3}", total * 1e3 / (curves.len() * 200) as f64);
}
