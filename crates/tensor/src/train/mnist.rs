//! A multi-layer perceptron on MNIST: 784 pixels, one hidden layer, ten digits.
//!
//! Data set and parameters stay on the device. An epoch is one recorded step: gather the images
//! in a new order, then every batch's forward pass, gradients and update.

use crate::data::mnist::{CLASSES, PIXELS, Split};
use crate::data::{Mnist, permutation};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::grad::grad;
use crate::nn::{self, Activation, Mode, Module, Sequential};
use crate::optim::{Optimizer, Schedule, Sgd};
use crate::replay::{Replay, Tally, Traced};
use crate::tensor::Tensor;
use kernelsmith_core::DType;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

/// Width of the hidden layer.
pub const HIDDEN: usize = 128;
/// Mean and standard deviation of MNIST's training pixels, in 0..1.
const PIXEL_MEAN: f64 = 0.1307;
const PIXEL_DEVIATION: f64 = 0.3081;

#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub epochs: usize,
    pub batch: usize,
    pub seed: u64,
    /// Learning rate at the start; half a cosine takes it to 0 at the end.
    pub rate: f64,
    pub optimizer: Sgd,
}

impl Default for Options {
    fn default() -> Self {
        let optimizer = Sgd { momentum: 0.9, weight_decay: 1e-3 };
        Options { epochs: 10, batch: 256, seed: 1, rate: 0.1, optimizer }
    }
}

/// What an epoch came to.
#[derive(Clone, Copy, Debug)]
pub struct Epoch {
    /// From 1.
    pub epoch: usize,
    /// Training alone, without the test.
    pub seconds: f64,
    /// Mean cross-entropy over the epoch's batches, while they were learned from.
    pub loss: f64,
    /// Share of the test set that is classified right.
    pub test_accuracy: f64,
}

/// Rows: the digit; columns: what it was taken for.
pub type Confusion = [[usize; CLASSES]; CLASSES];

/// A network in training.
pub struct Trainer {
    options: Options,
    device: Device,
    network: Sequential,
    test_images: Tensor,
    test_labels: Vec<u8>,
    /// Tensors of the network; the replay's state goes on with the optimiser's.
    parameters: usize,
    train_len: usize,
    done: usize,
    /// The next epoch's order: made while the device is busy with this one.
    next: Vec<i32>,
    replay: Replay,
}

/// Pixels of a split as normalised f32 `[n, 784]`, on the device.
fn images(pixels: &[u8], device: &Device) -> Result<Tensor> {
    let bytes = Tensor::from_vec(pixels.to_vec(), &[pixels.len() / PIXELS, PIXELS], device)?;
    let scaled = bytes.cast(DType::F32)?.mul(1.0 / (255.0 * PIXEL_DEVIATION))?.sub(PIXEL_MEAN / PIXEL_DEVIATION)?;
    scaled.realize()?;
    Ok(scaled)
}

fn labels(split: &Split, device: &Device) -> Result<Tensor> {
    Tensor::from_vec(split.labels.iter().map(|l| i32::from(*l)).collect(), &[split.len()], device)
}

/// The untrained network.
///
/// # Errors
/// No memory on the device.
pub fn network(seed: u64, device: &Device) -> Result<Sequential> {
    nn::mlp(&[PIXELS, HIDDEN, CLASSES], Activation::Relu, DType::F32, seed, device)
}

impl Trainer {
    /// Uploads the data, makes the network and records an epoch.
    ///
    /// # Errors
    /// A batch of 0 or more images than there are, no epochs, no memory on the device.
    pub fn new(data: &Mnist, options: Options, device: &Device) -> Result<Trainer> {
        let Options { batch, epochs, seed, rate, optimizer } = options;
        let invalid = |reason: String| Error::Invalid { op: "train", reason };
        if batch == 0 || batch > data.train.len() {
            return Err(invalid(format!("a batch of {batch} of {} images", data.train.len())));
        }
        if epochs == 0 || !rate.is_finite() || rate <= 0.0 {
            return Err(invalid(format!("{epochs} epochs at a rate of {rate}: expected at least one, above 0")));
        }
        let mut network = network(seed, device)?;
        let parameters: Vec<Tensor> = nn::parameters(&mut network)?.into_iter().map(|(_, t)| t).collect();
        let state: Vec<Tensor> = parameters.iter().cloned().chain(optimizer.start(&parameters)?).collect();
        let (train_images, train_labels) = (images(&data.train.images, device)?, labels(&data.train, device)?);
        let batches = data.train.len() / batch;
        let order = Tensor::from_vec(order_of(data.train.len(), &options, 0), &[batches * batch], device)?;
        let rates = Tensor::zeros(&[batches], DType::F32, device)?;
        let replay = Replay::record(device, &state, &[order, rates], |state, inputs| {
            let images = train_images.index_select(0, &inputs[0])?;
            let labels = train_labels.index_select(0, &inputs[0])?;
            let mut state = state.to_vec();
            let mut logits = Vec::with_capacity(batches);
            for i in 0..batches {
                let rows = i * batch..(i + 1) * batch;
                let (x, y) = (images.slice(0, rows.clone())?, labels.slice(0, rows)?);
                let rate = inputs[1].select(0, i)?;
                let (next, seen) = step(&mut network, optimizer, (&x, &y), &rate, &state)?;
                state = next;
                logits.push(seen);
            }
            // The losses of an epoch are one launch at its end.
            let logits = Tensor::concat(&logits.iter().collect::<Vec<_>>(), 0)?;
            Ok(Traced { state, outputs: vec![logits.cross_entropy_rows(&labels)?.mean(&[])?] })
        })?;
        Ok(Trainer {
            next: order_of(data.train.len(), &options, 0),
            options,
            device: device.clone(),
            network,
            test_images: images(&data.test.images, device)?,
            test_labels: data.test.labels.clone(),
            parameters: parameters.len(),
            train_len: data.train.len(),
            done: 0,
            replay,
        })
    }

    /// Trains for one epoch more and tests.
    ///
    /// # Errors
    /// What launching or reading fails with.
    pub fn epoch(&mut self) -> Result<Epoch> {
        let start = Instant::now();
        let loss = self.train()?;
        let seconds = start.elapsed().as_secs_f64();
        let confusion = self.confusion()?;
        let right: usize = (0..CLASSES).map(|d| confusion[d][d]).sum();
        let test_accuracy = right as f64 / self.test_labels.len().max(1) as f64;
        Ok(Epoch { epoch: self.done, seconds, loss, test_accuracy })
    }

    /// Trains for one epoch more. Returns the mean loss.
    ///
    /// # Errors
    /// What launching or reading fails with.
    pub fn train(&mut self) -> Result<f64> {
        let Options { batch, epochs, rate, .. } = self.options;
        let batches = self.train_len / batch;
        let order = std::mem::take(&mut self.next);
        let schedule = Schedule::Cosine { rate, steps: epochs * batches };
        let rates = (0..batches).map(|i| schedule.rate(self.done * batches + i) as f32).collect();
        let order = Tensor::from_vec(order, &[batches * batch], &self.device)?;
        let rates = Tensor::from_vec::<f32>(rates, &[batches], &self.device)?;
        self.replay.run(&[order, rates])?;
        self.done += 1;
        self.next = order_of(self.train_len, &self.options, self.done);
        self.replay.outputs()[0].to_scalar()
    }

    /// The test set, digit by digit, as the network sees it now.
    ///
    /// # Errors
    /// What launching or reading fails with.
    pub fn confusion(&mut self) -> Result<Confusion> {
        nn::set_parameters(&mut self.network, &self.replay.state()[..self.parameters])?;
        let found = classify(&self.network, &self.test_images)?;
        let mut out = [[0; CLASSES]; CLASSES];
        for (label, found) in self.test_labels.iter().zip(found) {
            out[usize::from(*label)][usize::from(found)] += 1;
        }
        Ok(out)
    }

    /// Launches that an epoch replays.
    pub fn launches(&self) -> usize {
        self.replay.launches()
    }

    /// What an epoch replays.
    pub fn replay(&self) -> &Replay {
        &self.replay
    }

    /// The problems that an epoch computes, each with its number of launches.
    ///
    /// # Errors
    /// As [`Replay::tally`].
    pub fn tally(&self) -> Result<Vec<Tally>> {
        self.replay.tally()
    }

    /// Writes the network as safetensors.
    ///
    /// # Errors
    /// A path that cannot be written.
    pub fn save(&mut self, path: &Path) -> Result<()> {
        nn::set_parameters(&mut self.network, &self.replay.state()[..self.parameters])?;
        let about = [("model", "mlp"), ("data", "mnist")].map(|(k, v)| (k.to_string(), v.to_string()));
        nn::save(&mut self.network, path, &BTreeMap::from(about))
    }
}

/// The order of the images in an epoch: whole batches of them.
fn order_of(images: usize, options: &Options, epoch: usize) -> Vec<i32> {
    let mut order = permutation(images, options.seed.wrapping_add(epoch as u64));
    order.truncate(images / options.batch * options.batch);
    order
}

/// One batch: the new parameters with the optimiser's new state, and what the network said of it.
fn step(
    network: &mut Sequential,
    optimizer: Sgd,
    (x, y): (&Tensor, &Tensor),
    rate: &Tensor,
    state: &[Tensor],
) -> Result<(Vec<Tensor>, Tensor)> {
    let count = nn::parameters(network)?.len();
    let variables = state[..count].iter().map(Tensor::variable).collect::<Result<Vec<_>>>()?;
    nn::set_parameters(network, &variables)?;
    let logits = network.forward(x, Mode::Evaluate)?;
    let loss = logits.cross_entropy_rows(y)?.mean(&[])?;
    let gradients = grad(&loss, &variables.iter().collect::<Vec<_>>())?;
    let update = optimizer.update(&variables, &gradients, &state[count..], rate)?;
    Ok((update.parameters.into_iter().chain(update.state).collect(), logits))
}

fn classify(network: &Sequential, images: &Tensor) -> Result<Vec<u8>> {
    let digits: Vec<i32> = network.forward(images, Mode::Evaluate)?.argmax(-1)?.to_vec()?;
    Ok(digits.into_iter().map(|d| d as u8).collect())
}

/// The digits that a saved network sees in images of 28×28 pixels, row-major, 0 paper and 255 ink.
///
/// # Errors
/// A model file that is missing, damaged or of another network; pixels that are no whole images.
pub fn predict(model: &Path, pixels: &[u8], device: &Device) -> Result<Vec<u8>> {
    if pixels.is_empty() || !pixels.len().is_multiple_of(PIXELS) {
        let reason = format!("{} pixels are no whole number of images of {PIXELS}", pixels.len());
        return Err(Error::Invalid { op: "predict", reason });
    }
    let mut network = network(0, device)?;
    nn::load(&mut network, model, device)?;
    classify(&network, &images(pixels, device)?)
}
