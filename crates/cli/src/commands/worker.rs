//! `smith __worker`: the measuring process.

use super::Failure;
use crate::Outcome;
use kernelsmith_lab::worker;

pub fn run() -> Result<Outcome, Failure> {
    // Ctrl-C is the tuning process's to handle: it ends this one.
    ctrlc::set_handler(|| {})?;
    worker::serve(std::io::stdin().lock(), std::io::stdout().lock())?;
    Ok(Outcome::Done)
}
