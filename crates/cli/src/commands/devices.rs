//! `smith devices`.

use super::Failure;
use crate::Outcome;
use crate::args::DevicesArgs;
use crate::output::{json_line, line};
use kernelsmith_device::Device;
use serde_json::json;

pub fn run(args: &DevicesArgs) -> Result<Outcome, Failure> {
    let (found, missing) = Device::discover();
    for id in found {
        let device = match Device::open(id) {
            Ok(device) => device,
            Err(error) => {
                eprintln!("smith: {error}");
                continue;
            }
        };
        let f = device.facts();
        if args.json {
            let mut value = serde_json::to_value(f)?;
            value["device"] = json!(id.to_string());
            json_line(&value);
            continue;
        }
        line(&format!("{id}  {}", f.name));
        let gib = f.memory_bytes as f64 / (1u64 << 30) as f64;
        let memory = if f.memory_bytes > 0 { format!("{gib:.1} GiB") } else { "unknown".to_string() };
        line(&format!("    memory {memory}, last-level cache {:.0} MiB", f.l2_bytes as f64 / (1u64 << 20) as f64));
        if !f.adapter.api.is_empty() {
            let a = &f.adapter;
            let kind = if a.software { ", on the CPU's cores: used by name only" } else { "" };
            line(&format!("    {}{kind}", a.api));
            line(&format!("    features: {}", a.features.join(", ")));
            line(&format!(
                "    subgroups of {} to {}, workgroups of {} with {} KiB, bindings {} of {} MiB",
                a.subgroup_min,
                a.subgroup_max,
                a.block_max,
                f.shared_max >> 10,
                a.bindings,
                a.binding_max >> 20
            ));
            let matrices = if a.matrices.is_empty() { "none".to_string() } else { a.matrices.join(", ") };
            line(&format!("    cooperative matrices: {matrices}"));
        } else if f.sms > 0 {
            line(&format!(
                "    compute capability {}.{}, {} multiprocessors, {} KiB shared memory a block",
                f.cc / 10,
                f.cc % 10,
                f.sms,
                f.shared_max >> 10
            ));
        } else {
            line(&format!("    {} threads", f.threads));
        }
        line(&format!("    driver {}", f.driver));
        line(&format!("    compiler {}", f.toolchain));
        line(&format!(
            "    vendor libraries: {}",
            if f.libraries.is_empty() { "none".to_string() } else { f.libraries.join(", ") }
        ));
    }
    for reason in missing {
        if args.json {
            json_line(&json!({"device": null, "missing": reason}));
        } else {
            line(&format!("not here: {reason}"));
        }
    }
    Ok(Outcome::Done)
}
