//! Small folders in MNIST's form.

use super::*;
use std::fs;

fn images(n: u32, rows: u32) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, 3];
    [n, rows, 28].iter().for_each(|size| bytes.extend(size.to_be_bytes()));
    bytes.resize(16 + (n * rows * 28) as usize, 9);
    bytes
}

fn labels(values: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, 1];
    bytes.extend((values.len() as u32).to_be_bytes());
    bytes.extend(values);
    bytes
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: Vec<u8>| fs::write(folder.path().join(name), bytes).unwrap();
    write("train-images-idx3-ubyte", images(3, 28));
    write("train-labels.idx1-ubyte", labels(&[0, 9, 5]));
    write("t10k-images.idx3-ubyte.gz", images(2, 28));
    write("t10k-labels-idx1-ubyte", labels(&[1, 2]));
    folder
}

#[test]
fn both_spellings_are_found() {
    let mnist = Mnist::load(folder().path()).unwrap();
    assert_eq!((mnist.train.len(), mnist.train.images.len()), (3, 3 * PIXELS));
    assert_eq!(mnist.test.labels, [1, 2]);
}

#[test]
fn a_missing_file_says_what_was_looked_for_and_where_to_get_it() {
    let folder = folder();
    fs::remove_file(folder.path().join("train-labels.idx1-ubyte")).unwrap();
    let message = Mnist::load(folder.path()).unwrap_err().to_string();
    for part in [
        "no training labels in",
        "train-labels-idx1-ubyte, train-labels.idx1-ubyte, train-labels-idx1-ubyte.gz",
        "https://",
    ] {
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn counts_labels_and_shapes_are_checked() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("t10k-labels-idx1-ubyte"), labels(&[1])).unwrap();
    assert!(matches!(Mnist::load(folder.path()), Err(MnistError::Count { images: 2, labels: 1, .. })));
    fs::write(path("t10k-labels-idx1-ubyte"), labels(&[1, 10])).unwrap();
    let message = Mnist::load(folder.path()).unwrap_err().to_string();
    assert!(message.ends_with("t10k-labels-idx1-ubyte: label 1 is 10, expected 0 to 9"), "{message}");
    fs::write(path("train-images-idx3-ubyte"), images(3, 27)).unwrap();
    let message = Mnist::load(folder.path()).unwrap_err().to_string();
    assert!(message.ends_with("expected shape [n, 28, 28] of u8, found shape [3, 27, 28] of u8"), "{message}");
    fs::write(path("train-images-idx3-ubyte"), &images(3, 28)[..2000]).unwrap();
    assert!(matches!(Mnist::load(folder.path()), Err(MnistError::Idx(_))));
}
