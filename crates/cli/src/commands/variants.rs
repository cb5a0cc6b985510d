//! `smith variants`.

use super::{Failure, open_device};
use crate::Outcome;
use crate::args::VariantsArgs;
use crate::output::{json_line, line, table};
use kernelsmith_core::Problem;
use kernelsmith_core::ops::OPS;
use kernelsmith_lab::worker::catalogue;
use serde_json::json;

pub fn run(args: &VariantsArgs) -> Result<Outcome, Failure> {
    let catalogue = catalogue(args.common.kernels.as_deref())?;
    if !OPS.iter().any(|o| o.name == args.op) {
        return Err(kernelsmith_core::ProblemError::UnknownOp(args.op.clone()).into());
    }
    let Some(text) = &args.problem else {
        let mut t = table(&["variant", "target", "configs", "about", "declared in"]);
        for v in catalogue.all().iter().filter(|v| v.op == args.op) {
            let configs: usize = v.params.iter().map(|(_, values)| values.len()).product();
            if args.common.json {
                json_line(&json!({"op": v.op, "variant": v.name, "target": v.target.name(), "about": v.about,
                    "vendor": v.vendor, "deterministic": v.deterministic, "origin": v.origin.to_string()}));
            }
            t.add_row([
                v.name.clone(),
                v.target.name().to_string(),
                configs.to_string(),
                v.about.clone(),
                v.origin.to_string(),
            ]);
        }
        if !args.common.json {
            line(&t.to_string());
        }
        return Ok(Outcome::Done);
    };
    let problem = Problem::parse(&args.op, text)?;
    let device = open_device(args.device.as_deref(), args.common.json)?;
    let (able, gaps) = catalogue.capable(&problem, device.facts())?;
    let mut t = table(&["variant", "configs", "about or reason for the gap"]);
    for v in &able {
        let space = v.space(&problem, device.facts())?;
        if args.common.json {
            let configs: Vec<String> = space.iter().map(|c| c.to_string()).collect();
            json_line(
                &json!({"op": v.op, "variant": v.name, "problem": problem.text(), "capable": true, "configs": configs, "reason": null}),
            );
        }
        t.add_row([v.name.clone(), space.len().to_string(), v.about.clone()]);
    }
    for g in &gaps {
        if args.common.json {
            json_line(
                &json!({"op": args.op, "variant": g.variant, "problem": problem.text(), "capable": false, "configs": [], "reason": g.reason}),
            );
        }
        t.add_row([g.variant.clone(), "gap".to_string(), g.reason.clone()]);
    }
    if !args.common.json {
        line(&format!("{problem} on {}", device.id()));
        line(&t.to_string());
    }
    Ok(Outcome::Done)
}
