//! `smith __worker`: the measuring process.

use super::Failure;
use crate::Outcome;
use kernelsmith_lab::worker;

pub fn run() -> Result<Outcome, Failure> {
    // Ctrl-C is the tuning process's to handle: it ends this one.
    ctrlc::set_handler(|| {})?;
    // A candidate that hangs must not outlive the tuning process, however that one ended: its end
    // closes standard input, which is therefore read beside the work.
    let (requests, mut forward) = std::io::pipe()?;
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut forward);
        std::process::exit(0)
    });
    worker::serve(std::io::BufReader::new(requests), std::io::stdout().lock())?;
    Ok(Outcome::Done)
}
