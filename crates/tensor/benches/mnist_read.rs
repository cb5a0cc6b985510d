//! Reading MNIST's four gzip files, from disk cache to checked images in memory.
//!
//! `cargo bench -p kernelsmith --bench mnist_read`, with MNIST in `$KERNELSMITH_DATA/mnist`
#![forbid(unsafe_code)]

use kernelsmith::data::Mnist;
use std::path::Path;
use std::time::Instant;

fn main() {
    let data = std::env::var_os("KERNELSMITH_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"), Into::into);
    let folder = data.join("mnist");
    let mut seconds = Vec::new();
    for _ in 0..11 {
        let start = Instant::now();
        match Mnist::load(&folder) {
            Ok(mnist) => std::hint::black_box(&mnist),
            Err(error) => {
                println!("skipped: {error}");
                return;
            }
        };
        seconds.push(start.elapsed().as_secs_f64());
    }
    let first = seconds[0];
    seconds.sort_by(f64::total_cmp);
    println!("MNIST from {}: first {first:.3} s, median {:.3} s", folder.display(), seconds[seconds.len() / 2]);
}
