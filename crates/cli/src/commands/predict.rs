//! `smith predict`.

use super::{Failure, tensor_device};
use crate::Outcome;
use crate::args::PredictArgs;
use crate::output::{json_line, line};
use kernelsmith::data::mnist::read_images;
use kernelsmith::train::mnist::predict;
use serde_json::json;

pub fn run(args: &PredictArgs) -> Result<Outcome, Failure> {
    let pixels = read_images(&args.images)?;
    let device = tensor_device(args.device.as_deref(), args.common.kernels.as_deref(), true)?;
    for (image, digit) in predict(&args.model, &pixels, &device)?.into_iter().enumerate() {
        if args.common.json {
            json_line(&json!({"image": image, "digit": digit}));
        } else {
            line(&digit.to_string());
        }
    }
    Ok(Outcome::Done)
}
