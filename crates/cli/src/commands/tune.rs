//! `smith tune`.

use super::{Failure, check_fits, open_device, start_worker, stop_on_interrupt};
use crate::Outcome;
use crate::args::TuneArgs;
use crate::output::{line, results_table, short};
use crate::screen::Screen;
use kernelsmith_device::Device;
use kernelsmith_kernels::tuned::TunedTable;
use kernelsmith_lab::evidence::{Record, ResultRecord, Session, Writer};
use kernelsmith_lab::live::Live;
use kernelsmith_lab::provenance::{self, write_atomically};
use kernelsmith_lab::report;
use kernelsmith_lab::search::siblings::Siblings;
use kernelsmith_lab::spec::Spec;
use kernelsmith_lab::tune::{TuneError, TuneOptions, Tuner};
use kernelsmith_lab::work::Work;
use kernelsmith_lab::worker::catalogue;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub fn run(args: &TuneArgs) -> Result<Outcome, Failure> {
    kernelsmith_lab::search::find(&args.strategy)?;
    let spec = read_spec(args)?;
    let catalogue = catalogue(args.common.kernels.as_deref())?;
    let device = open_device(args.device.as_deref(), args.common.json)?;
    // A bad problem or manifest is refused before there is a run folder.
    spec.work.iter().try_for_each(|w| check_fits(w, &device))?;
    for problem in spec.work.iter().flat_map(Work::steps) {
        for variant in catalogue.capable(problem, device.facts())?.0 {
            variant.fallback(problem, device.facts())?;
        }
    }
    if !args.no_install {
        // What cannot be installed into is better known now than after the sweep.
        TunedTable::load(device.facts(), TunedTable::user_folder().as_deref())?;
    }
    let budget = args.budget.unwrap_or(Duration::from_secs_f64(spec.budget_s));
    let folder = folder(args, &spec, &device);
    if let Some(run) = &args.resume
        && !run.join(kernelsmith_lab::evidence::FILE).exists()
        && !run.join(format!("{}.gz", kernelsmith_lab::evidence::FILE)).exists()
    {
        return Err(format!("{}: there is no evidence to resume", run.display()).into());
    }
    if !args.no_install {
        install(&user_folder()?, &device, &TunedTable::default())?;
    }
    let live = args.live.map(Live::start).transpose()?;
    let (mut writer, before) = Writer::open(&folder)?;
    if before.torn > 0 {
        eprintln!("{}: the last {} bytes were half a record and are dropped", folder.display(), before.torn);
    }
    same_run(&before.records, &spec, &device, &folder)?;
    let stop = stop_on_interrupt()?;
    let mut worker = start_worker(&device, args.common.kernels.as_deref(), stop.clone())?;
    let opened = Session::now(&device, worker.timer.clone(), &spec.name, budget.as_secs_f64(), args.seed);
    writer.append(&Record::Session(opened))?;
    let mut screen = Screen::new(args.common.json, spec.work.len());
    if let Some(mut live) = live {
        live.refresh(&folder);
        eprintln!("live report: {}", live.url());
        screen.live = Some((live, folder.clone()));
    }
    let options = TuneOptions {
        budget,
        candidate_limit: args.limit,
        seed: args.seed,
        strategy: args.strategy.clone(),
        prior: !args.no_prior,
        run: folder.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default(),
    };
    let (outcome, table) = {
        let mut tuner = Tuner::new(&mut worker, &mut writer, &catalogue, &device, options, &mut screen, &stop);
        if !args.no_prior {
            tuner.siblings = siblings(&device, &folder);
        }
        let outcome = tuner.run(&spec.work, &before.records);
        (outcome, tuner.table)
    };
    screen.finish();
    let results = match outcome {
        Ok(results) => results,
        Err(TuneError::Interrupted(_)) => {
            // What was found counts.
            if !table.is_empty() {
                write_outputs(args, &folder, &device, &table)?;
            }
            eprintln!("smith: stopped; go on with: {}", resume_command(&folder));
            return Ok(Outcome::Failed);
        }
        Err(error) => return Err(error.into()),
    };
    let page = write_outputs(args, &folder, &device, &table)?;
    if !args.common.json {
        line(&results_table(&results));
        line(&summary(&results));
        line(&format!("evidence {}\nreport   {}", folder.display(), page.display()));
    }
    Ok(if results.iter().any(|r| r.candidate.is_none()) { Outcome::Failed } else { Outcome::Done })
}

/// The folders below `roots`, each once, in the order of their names; `but` and roots that are not there are left out.
fn folders_of(roots: &[&Path], but: &Path) -> Vec<PathBuf> {
    let whole = |p: &Path| p.canonicalize().unwrap_or_else(|_| p.to_path_buf());
    let but = whole(but);
    let mut folders: Vec<PathBuf> = roots
        .iter()
        .flat_map(|root| std::fs::read_dir(root).into_iter().flatten().flatten())
        .map(|e| whole(&e.path()))
        .filter(|p| p.is_dir() && *p != but)
        .collect();
    folders.sort_by(|a, b| (a.file_name(), a).cmp(&(b.file_name(), b)));
    folders.dedup();
    folders
}

/// Records of the runs beside this one and below `runs/`, and the tuned tables, for a prior. A run that cannot be
/// read is left out with a word: it is not what was asked for.
pub fn siblings(device: &Device, run: &Path) -> Siblings {
    let facts = device.facts();
    let table = TunedTable::load(facts, TunedTable::user_folder().as_deref()).unwrap_or_default();
    let mut out = Siblings::new(table);
    let beside = run.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folders = folders_of(&[beside, Path::new("runs")], run);
    let has_evidence = |p: &PathBuf| {
        let file = kernelsmith_lab::evidence::FILE;
        p.join(file).exists() || p.join(format!("{file}.gz")).exists()
    };
    for folder in folders.into_iter().filter(has_evidence) {
        match kernelsmith_lab::evidence::read(&folder) {
            Ok(contents) => out.add(&contents.records, facts.target),
            Err(error) => eprintln!("{error}; no prior from there"),
        }
    }
    out
}

fn read_spec(args: &TuneArgs) -> Result<Spec, Failure> {
    known_ops(&args.op)?;
    let spec = match &args.problem {
        Some(text) => Spec::single(Work::parse(args.op.first().map_or("gemm", String::as_str), text)?, 20.0),
        None => Spec::load(&args.spec)?,
    };
    read_ops(spec, &args.op, &args.spec)
}

fn known_ops(ops: &[String]) -> Result<(), Failure> {
    match ops.iter().find(|op| !kernelsmith_core::ops::OPS.iter().any(|o| o.name == **op)) {
        Some(op) => Err(kernelsmith_core::ProblemError::UnknownOp(op.clone()).into()),
        None => Ok(()),
    }
}

/// A spec with the work of these ops only, or all of it where none is named.
pub fn read_ops(mut spec: Spec, ops: &[String], name: &str) -> Result<Spec, Failure> {
    known_ops(ops)?;
    if !ops.is_empty() {
        spec.work.retain(|w| ops.iter().any(|o| o == w.op()));
    }
    if spec.work.is_empty() {
        return Err(format!("{name} has no problems of {}", ops.join(", ")).into());
    }
    Ok(spec)
}

/// A folder holds one spec on one device.
pub fn same_run(before: &[Record], spec: &Spec, device: &Device, folder: &Path) -> Result<(), Failure> {
    for record in before {
        let Record::Session(s) = record else { continue };
        let facts = device.facts();
        for (what, was, now) in [
            ("spec", &s.spec, &spec.name),
            ("device", &s.facts.name, &facts.name),
            ("driver", &s.facts.driver, &facts.driver),
            ("toolchain", &s.facts.toolchain, &facts.toolchain),
        ] {
            if was != now {
                return Err(format!("{}: its {what} is `{was}`, not `{now}`", folder.display()).into());
            }
        }
    }
    Ok(())
}

fn folder(args: &TuneArgs, spec: &Spec, device: &Device) -> PathBuf {
    let fresh = || {
        let slug = device.facts().slug();
        Path::new("runs").join(format!("{}-{slug}-{}", provenance::stamp(), spec.name))
    };
    args.resume.clone().or_else(|| args.run.clone()).unwrap_or_else(fresh)
}

/// This command again, on the run that it made.
pub fn resume_command(folder: &Path) -> String {
    let mut words = vec!["smith".to_string()];
    let mut given = std::env::args().skip(1);
    while let Some(word) = given.next() {
        let key = word.split('=').next().unwrap_or_default();
        if !["--run", "--resume"].contains(&key) {
            words.push(if word.contains([' ', '>', '[']) { format!("'{word}'") } else { word });
        } else if key == word {
            given.next();
        }
    }
    format!("{} --resume {}", words.join(" "), folder.display())
}

/// The tuned table (in the run and for the user) and the report.
fn write_outputs(args: &TuneArgs, folder: &Path, device: &Device, table: &TunedTable) -> Result<PathBuf, Failure> {
    let named = |path: &Path| {
        let path = path.display().to_string();
        move |e: std::io::Error| format!("{path}: {e}")
    };
    let name = &device.facts().name;
    let tuned = folder.join("tuned.toml");
    write_atomically(&tuned, &table.to_text(name)).map_err(named(&tuned))?;
    if !args.no_install {
        install(&user_folder()?, device, table)?;
    }
    let page = folder.join("report.html");
    let runs = [super::report::load(folder)?];
    write_atomically(&page, &report::render(&runs)).map_err(named(&page))?;
    Ok(page)
}

pub fn user_folder() -> Result<PathBuf, Failure> {
    Ok(TunedTable::user_folder().ok_or("the platform has no data folder; set KERNELSMITH_TUNED")?)
}

/// Merges the winners into the user's table, one process at a time. Without winners it only tells
/// whether the table can be written.
pub fn install(folder: &Path, device: &Device, table: &TunedTable) -> Result<(), Failure> {
    let path = folder.join(format!("{}.toml", device.facts().slug()));
    let named = |e: std::io::Error| format!("{}: {e}", path.display());
    std::fs::create_dir_all(folder).map_err(named)?;
    let lock = std::fs::File::create(folder.join("lock")).map_err(named)?;
    if table.is_empty() {
        return Ok(());
    }
    lock.lock().map_err(named)?;
    let mut merged = if path.exists() { TunedTable::read(&path, &device.facts().name)? } else { TunedTable::default() };
    merged.merge(table.clone());
    write_atomically(&path, &merged.to_text(&device.facts().name)).map_err(named)?;
    Ok(())
}

/// Counts of verdicts and the geometric mean of the ratios, for each mode.
fn summary(results: &[ResultRecord]) -> String {
    let mut lines = Vec::new();
    for mode in ["cold", "hot"] {
        let of_mode: Vec<&ResultRecord> = results.iter().filter(|r| r.mode == mode).collect();
        let count = |v: &str| of_mode.iter().filter(|r| r.verdict == v).count();
        let logs: Vec<f64> = of_mode.iter().filter_map(|r| r.ratio).map(f64::ln).collect();
        let mean = (logs.iter().sum::<f64>() / logs.len().max(1) as f64).exp();
        lines.push(format!(
            "{mode}: {} faster, {} same, {} ambiguous, {} slower, {} without a winner; geometric mean {}× the baseline",
            count("faster"),
            count("same"),
            count("ambiguous"),
            count("slower"),
            count("failed"),
            short(mean)
        ));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run in a folder of its own had no prior: only its neighbours were read.
    #[test]
    fn a_run_outside_of_runs_still_has_their_records() {
        let place = tempfile::tempdir().unwrap();
        let (runs, out) = (place.path().join("runs"), place.path().join("out"));
        for folder in [runs.join("2026-b"), runs.join("2026-d"), out.join("2026-a"), out.join("2026-c")] {
            std::fs::create_dir_all(folder).unwrap();
        }
        std::fs::write(runs.join("README.md"), "").unwrap();
        let names = |roots: &[&Path], but: &Path| -> Vec<String> {
            let name = |p: PathBuf| p.file_name().unwrap().to_string_lossy().into_owned();
            folders_of(roots, but).into_iter().map(name).collect()
        };
        assert_eq!(names(&[&out, &runs], &out.join("2026-c")), ["2026-a", "2026-b", "2026-d"]);
        assert_eq!(names(&[&runs, &runs], &runs.join("2026-d")), ["2026-b"]);
        assert_eq!(names(&[&out, &place.path().join("none")], &out.join("2026-e")), ["2026-a", "2026-c"]);
    }
}
