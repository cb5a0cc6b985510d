//! `smith plan`.

use super::{Failure, tensor_device};
use crate::Outcome;
use crate::args::PlanArgs;
use crate::output::{json_line, line};
use kernelsmith::{DType, Device, Tensor, formula, grad};
use serde_json::json;
use std::collections::BTreeMap;

pub fn run(args: &PlanArgs) -> Result<Outcome, Failure> {
    let device = tensor_device(args.device.as_deref(), args.common.kernels.as_deref(), true)?;
    device.forbid_copies(args.forbid_copies);
    let mut tensors = BTreeMap::new();
    for text in &args.tensors {
        let (name, tensor) = tensor(text, args.gradients, &device)?;
        if tensors.insert(name.clone(), tensor).is_some() {
            return Err(format!("tensor `{name}` is given twice").into());
        }
    }
    let value = formula::parse(&args.expression, &tensors)?;
    let mut asked = vec![value.clone()];
    if args.gradients {
        let variables: Vec<&Tensor> = tensors.values().filter(|t| t.dtype().is_float()).collect();
        let scalar = if value.len() == 1 { value } else { value.sum(&[])? };
        asked.extend(grad(&scalar, &variables)?);
    }
    let plan = Tensor::plan_all(&asked.iter().collect::<Vec<_>>())?;
    if !args.common.json {
        line(plan.describe(&device)?.trim_end());
        return Ok(Outcome::Done);
    }
    for (step, (candidate, why)) in plan.steps().into_iter().zip(plan.candidates(&device)?) {
        json_line(&json!({"op": step.op, "problem": step.problem, "fused": step.fused, "candidate": candidate,
            "why": why, "copied_bytes": step.copied_bytes, "copy_reason": step.copy_reason,
            "reads": step.reads, "writes": step.writes}));
    }
    Ok(Outcome::Done)
}

/// Reads `x=f32:256x784`.
fn tensor(text: &str, variable: bool, device: &Device) -> Result<(String, Tensor), Failure> {
    let expected = || format!("`{text}`: expected NAME=DTYPE:SHAPE, as x=f32:256x784 or s=f32:scalar");
    let (name, rest) = text.split_once('=').ok_or_else(expected)?;
    let (dtype, shape) = rest.split_once(':').ok_or_else(expected)?;
    let dtype: DType = dtype.parse()?;
    let shape: Vec<usize> = match shape {
        "scalar" => Vec::new(),
        sizes => sizes.split('x').map(|s| s.parse().map_err(|_| expected())).collect::<Result<_, _>>()?,
    };
    let tensor = Tensor::zeros(&shape, dtype, device)?;
    tensor.realize()?;
    Ok((name.to_string(), if variable && dtype.is_float() { tensor.variable()? } else { tensor }))
}
