//! MNIST: 28×28 images of handwritten digits, 60,000 to train on and 10,000 to test with.
//!
//! LeCun, Cortes, Burges: The MNIST database of handwritten digits. Data sets in the same four files,
//! such as Fashion-MNIST, read as well.

use super::idx::{self, IdxError};
use kernelsmith_core::{DType, HostArray};
use std::path::{Path, PathBuf};

/// Rows of an image.
pub const ROWS: usize = 28;
/// Columns of an image.
pub const COLUMNS: usize = 28;
/// Pixels of an image.
pub const PIXELS: usize = ROWS * COLUMNS;
/// Labels are below this.
pub const CLASSES: usize = 10;

/// The data set in host memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mnist {
    pub train: Split,
    pub test: Split,
}

/// Images and their labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// `[len, 28, 28]`, row-major; 0 is paper, 255 ink.
    pub images: Vec<u8>,
    /// `[len]`, each below 10.
    pub labels: Vec<u8>,
}

impl Split {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }
}

/// MNIST that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum MnistError {
    #[error(
        "no {what} in {}: looked for {}; MNIST is at https://ossci-datasets.s3.amazonaws.com/mnist/ \
         (four files, to be left as they are)",
        folder.display(), names.join(", ")
    )]
    Missing { what: &'static str, folder: PathBuf, names: Vec<String> },
    #[error(transparent)]
    Idx(#[from] IdxError),
    #[error("{}: expected {expected}, found shape {shape:?} of {dtype}", file.display())]
    Shape { file: PathBuf, expected: &'static str, shape: Vec<usize>, dtype: DType },
    #[error("{}: {images} images, but {labels} labels in {}", image_file.display(), label_file.display())]
    Count { image_file: PathBuf, images: usize, label_file: PathBuf, labels: usize },
    #[error("{}: label {index} is {label}, expected 0 to 9", file.display())]
    Label { file: PathBuf, index: usize, label: u8 },
}

impl Mnist {
    /// Reads the four files in `folder`, plain or gzip, named `train-images-idx3-ubyte` or
    /// `train-images.idx3-ubyte` and so on, with or without `.gz`. Two are read at a time.
    ///
    /// # Errors
    /// A file that is missing (the message lists the names and where to get it), damaged or of another
    /// shape; counts of images and labels that differ; a label above 9.
    pub fn load(folder: &Path) -> Result<Self, MnistError> {
        let train = Files::find(folder, "train", "training images", "training labels")?;
        let test = Files::find(folder, "t10k", "test images", "test labels")?;
        let (train, test) = rayon::join(|| train.read(), || test.read());
        Ok(Mnist { train: train?, test: test? })
    }
}

struct Files {
    images: PathBuf,
    labels: PathBuf,
}

impl Files {
    fn find(folder: &Path, set: &str, images: &'static str, labels: &'static str) -> Result<Self, MnistError> {
        Ok(Files {
            images: find(folder, &format!("{set}-images"), "idx3-ubyte", images)?,
            labels: find(folder, &format!("{set}-labels"), "idx1-ubyte", labels)?,
        })
    }

    fn read(&self) -> Result<Split, MnistError> {
        let images = read_images(&self.images)?;
        let labels = match idx::read(&self.labels)?.into_parts() {
            (shape, HostArray::U8(labels)) if shape.len() == 1 => labels,
            parts => return Err(other_shape(&self.labels, "shape [n] of u8", parts)),
        };
        if images.len() != labels.len() * PIXELS {
            return Err(MnistError::Count {
                image_file: self.images.clone(),
                images: images.len() / PIXELS,
                label_file: self.labels.clone(),
                labels: labels.len(),
            });
        }
        if let Some(index) = labels.iter().position(|&label| label as usize >= CLASSES) {
            return Err(MnistError::Label { file: self.labels.clone(), index, label: labels[index] });
        }
        Ok(Split { images, labels })
    }
}

fn other_shape(file: &Path, expected: &'static str, (shape, values): (Vec<usize>, HostArray)) -> MnistError {
    MnistError::Shape { file: file.to_path_buf(), expected, shape, dtype: values.dtype() }
}

fn find(folder: &Path, stem: &str, kind: &str, what: &'static str) -> Result<PathBuf, MnistError> {
    let names: Vec<String> =
        ["", ".gz"].iter().flat_map(|end| [format!("{stem}-{kind}{end}"), format!("{stem}.{kind}{end}")]).collect();
    names.iter().map(|name| folder.join(name)).find(|path| path.is_file()).ok_or(MnistError::Missing {
        what,
        folder: folder.to_path_buf(),
        names,
    })
}

/// The images in an IDX file, `[n, 28, 28]`; also those that are not MNIST's, to predict on.
///
/// # Errors
/// A file that cannot be read, or of another shape.
pub fn read_images(file: &Path) -> Result<Vec<u8>, MnistError> {
    match idx::read(file)?.into_parts() {
        (shape, HostArray::U8(images)) if shape.len() == 3 && shape[1..] == [ROWS, COLUMNS] => Ok(images),
        parts => Err(other_shape(file, "shape [n, 28, 28] of u8", parts)),
    }
}

#[cfg(test)]
#[path = "mnist_tests.rs"]
mod tests;
