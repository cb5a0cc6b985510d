//! `smith`: glue between the command line and the lab.
#![forbid(unsafe_code)]

mod args;
mod commands;
mod output;
mod screen;

use args::{Cli, Command};
use clap::Parser;
use std::process::ExitCode;

/// What a command ends with.
pub enum Outcome {
    Done,
    /// A check or comparison failed.
    Failed,
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors.
            let code = if error.use_stderr() { 2 } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let result = match &cli.command {
        Command::Devices(a) => commands::devices::run(a),
        Command::Variants(a) => commands::variants::run(a),
        Command::Tune(a) => commands::tune::run(a),
        Command::Audit(a) => commands::audit::run(a),
        Command::Bench(a) => commands::bench::run(a),
        Command::Check(a) => commands::check::run(a),
        Command::GateTest(a) => commands::gate_test::run(a),
        Command::Compare(a) => commands::compare::run(a),
        Command::Regress(a) => commands::regress::run(a),
        Command::Bisect(a) => commands::bisect::run(a),
        Command::History(a) => commands::history::run(a),
        Command::Sensitivity(a) => commands::sensitivity::run(a),
        Command::Log(a) => commands::log::run(a),
        Command::Report(a) => commands::report::run(a),
        Command::Export(a) => commands::export::run(a),
        Command::Import(a) => commands::import::run(a),
        Command::Replay(a) => commands::replay::run(a),
        Command::Train(a) => commands::train::run(a),
        Command::Predict(a) => commands::predict::run(a),
        Command::Plan(a) => commands::plan::run(a),
        Command::Worker => commands::worker::run(),
    };
    match result {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Failed) => ExitCode::from(1),
        Err(error) => {
            eprintln!("smith: {error}");
            ExitCode::from(2)
        }
    }
}
