//! The real MNIST, where it is.

use kernelsmith::data::Mnist;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// The folder of data that tests may use: `KERNELSMITH_DATA`, else beside the checkout.
fn data_folder() -> PathBuf {
    match std::env::var_os("KERNELSMITH_DATA") {
        Some(folder) => folder.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
    }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

#[test]
fn the_real_files_are_read_bit_by_bit() {
    let folder = data_folder().join("mnist");
    if !folder.join("train-images-idx3-ubyte.gz").is_file() {
        println!("skipped the_real_files_are_read_bit_by_bit: no train-images-idx3-ubyte.gz in {}", folder.display());
        return;
    }
    let mnist = Mnist::load(&folder).unwrap();
    assert_eq!((mnist.train.len(), mnist.test.len()), (60_000, 10_000));
    let sums = [&mnist.train.images, &mnist.train.labels, &mnist.test.images, &mnist.test.labels].map(|b| sha256(b));
    assert_eq!(
        sums,
        [
            "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
            "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
            "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
            "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
        ]
    );
}
