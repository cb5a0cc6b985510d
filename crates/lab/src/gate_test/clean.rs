//! Random problems on which the gate must find nothing: every kernel that ships, vendors' among them.

use crate::evidence::Verdict;
use crate::gate::{Fixture, Outcome, is_fair};
use kernelsmith_core::Problem;
use kernelsmith_core::inputs::{Inputs, hash};
use kernelsmith_core::ops::OracleBudget;
use kernelsmith_device::{Device, DeviceError, Executable};
use kernelsmith_kernels::{Candidate, Catalogue, CatalogueError, Variant};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What was checked, and what was said of kernels that are right.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cleaned {
    pub problems: usize,
    /// Candidates times input families times launches.
    pub checks: usize,
    pub alarms: Vec<String>,
    /// Vendors' results beyond the bound whose algorithm says itself that it computes in fewer digits.
    #[serde(default)]
    pub declared: Vec<String>,
}

impl Cleaned {
    pub fn absorb(&mut self, other: Cleaned) {
        self.problems += other.problems;
        self.checks += other.checks;
        self.alarms.extend(other.alarms);
        self.declared.extend(other.declared);
    }
}

/// Flops of a random problem at most: thousands of them must be checked in minutes.
const MOST_FLOPS: f64 = 4e6;
/// Configs tried for one variant before its default is taken.
const TRIES: u64 = 4;

/// Choices that follow from a seed.
struct Dice {
    seed: u64,
    thrown: u64,
}

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.thrown += 1;
        (hash(self.seed, self.thrown) >> 8) as usize % n.max(1)
    }

    fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }

    /// Mostly small, often beside a power of two.
    fn size(&mut self) -> usize {
        match self.below(4) {
            0 => 1 + self.below(8),
            1 => (*self.pick(&[8usize, 16, 32, 64]) + 1 - self.below(3)).max(1),
            _ => 1 + self.below(90),
        }
    }
}

const FLOATS: [&str; 4] = ["f32", "f16", "bf16", "f64"];

/// A random problem of an op, as text.
fn text(op: &str, d: &mut Dice) -> String {
    let dtype = *d.pick(&FLOATS);
    match op {
        "gemm" => {
            let (m, n, k) = (d.size(), d.size(), d.size());
            let mut text = format!("m={m},n={n},k={k},dtype={dtype},layout={}", d.pick(&["nn", "nt", "tn", "tt"]));
            if d.below(4) == 0 {
                text = format!("batch={},{text}", 1 + d.below(4));
            }
            if d.below(3) == 0 {
                text += &format!(",alpha={:?},beta={:?}", d.pick(&[0.5, 1.0, -2.0]), d.pick(&[0.0, 1.0, 0.25]));
            }
            let epilogues = ["bias", "relu", "bias+gelu", "residual+relu", "bias_row+silu", "scale(0.3)+tanh"];
            if d.below(2) == 0 {
                text += &format!(",epilogue={}", d.pick(&epilogues));
            }
            text
        }
        "map" => {
            let exprs = [
                "add(x0,x1)",
                "gelu(mul(sub(x0,x1),1.5))",
                "select(lt(x0,x1),x0,mul(x1,0.1))",
                "max(relu(x0),x1)",
                "silu(add(x0,f16(x1)))",
                "div(x0,sqrt(add(abs(x1),1)))",
                "exp(min(x0,x1))",
                "tanh(sigmoid(mul(x0,x1)))",
            ];
            let (shape, expr) = (shape(d), d.pick(&exprs));
            format!("shape={shape},expr={expr},x0={dtype},x1={},out={}", d.pick(&FLOATS), d.pick(&FLOATS))
        }
        "reduce" => {
            let kind = *d.pick(&["sum", "max", "min", "argmax", "argmin"]);
            let (outer, inner) = (d.size(), d.size());
            let out = if kind.starts_with("arg") { "i32" } else { dtype };
            let expr = d.pick(&["x0", "mul(x0,x0)", "abs(x0)", "sub(x0,0.5)"]);
            let x = if d.below(2) == 0 { format!("{dtype}@0:1:{outer}") } else { dtype.to_string() };
            format!("kind={kind},outer={outer},inner={inner},expr={expr},x0={x},out={out}")
        }
        "row" => {
            let (rows, columns) = (d.size(), d.size());
            match d.below(5) {
                0 => format!("kind=softmax,rows={rows},columns={columns},x0={dtype},out={dtype}"),
                1 => format!("kind=log_softmax,rows={rows},columns={columns},x0={dtype},out=f32"),
                2 => format!(
                    "kind=layer_norm,rows={rows},columns={columns},eps=1e-5,post=add(mul(v,x1),x2),x0={dtype},\
                     x1=f32@0:0:1,x2=f32@0:0:1,out={dtype}"
                ),
                3 => format!("kind=rms_norm,rows={rows},columns={columns},eps=1e-6,x0={dtype},out={dtype}"),
                _ => {
                    format!("kind=cross_entropy,rows={rows},columns={columns},label=1,x0={dtype},x1=i32@0:1:0,out=f32")
                }
            }
        }
        "attention" => {
            let (kv_heads, queries) = (1 + d.below(3), 1 + d.below(30));
            let (heads, keys, head) =
                (kv_heads * (1 + d.below(3)), queries + d.below(60), *d.pick(&[16usize, 32, 64, 24, 7]));
            let mut text = format!("heads={heads},kv_heads={kv_heads},queries={queries},keys={keys},head={head}");
            text += &format!(",dtype={},causal={}", d.pick(&FLOATS[..3]), d.below(2));
            let more: &&str = d.pick(&["", ",scale=1.5", ",order=bshd"]);
            text += more;
            text
        }
        other => {
            let dtype = if other == "gather" { *d.pick(&["f32", "f16", "f64", "i32", "u8"]) } else { dtype };
            let (rows, columns, size, axis) = (d.size(), d.size(), 1 + d.below(300), d.below(2));
            let index = if axis == 0 && d.below(2) == 0 { "i32@0:1:0" } else { "i32" };
            format!("shape={rows}x{columns},axis={axis},size={size},x={dtype},index={index},out={dtype}")
        }
    }
}

fn shape(d: &mut Dice) -> String {
    let rank = 1 + d.below(3);
    (0..rank).map(|_| d.size().min(if rank == 3 { 20 } else { 90 }).to_string()).collect::<Vec<_>>().join("x")
}

/// The random problem of a seed: as drawn, or an edge case of what was drawn.
fn problem(op: &str, seed: u64) -> Option<Problem> {
    let mut d = Dice { seed, thrown: 0 };
    let drawn = Problem::parse(op, &text(op, &mut d)).ok()?;
    let small = |p: &Problem| p.flops() <= MOST_FLOPS && p.bytes() <= 1e6;
    let edges: Vec<Problem> = if d.below(2) == 0 { drawn.edge_cases() } else { Vec::new() };
    let edges: Vec<Problem> = edges.into_iter().filter(small).collect();
    Some(if edges.is_empty() { drawn } else { d.pick(&edges).clone() })
}

/// A random config of a variant.
fn config(
    variant: &Variant,
    problem: &Problem,
    device: &Device,
    d: &mut Dice,
) -> Result<Option<Candidate>, CatalogueError> {
    let facts = device.facts();
    let mut scope = kernelsmith_kernels::catalogue::scope(problem, facts);
    for _ in 0..TRIES {
        let values = variant.params.iter().map(|(name, values)| (name.clone(), *d.pick(values)));
        let config = kernelsmith_kernels::Config::new(values);
        if variant.violation(&mut scope, &config)?.is_none() {
            return Ok(Some(Candidate { variant: variant.name.clone(), config }));
        }
    }
    Ok(variant.fallback(problem, facts)?.map(|config| Candidate { variant: variant.name.clone(), config }))
}

/// The ops of random problems, in turn.
const OPS: [&str; 7] = ["gemm", "map", "reduce", "row", "gather", "scatter_add", "attention"];

/// Checks `count` random problems, all that follow from the seed.
///
/// # Errors
/// A device that does not give memory, a manifest that does not evaluate.
///
/// A candidate whose launch fails ends the batch, with its name in the last alarm.
pub fn batch(
    device: &Device,
    catalogue: &Catalogue,
    op: Option<&str>,
    seed: u64,
    count: usize,
) -> Result<Cleaned, DeviceError> {
    let mut out = Cleaned::default();
    let mut drawn = 0;
    while out.problems < count && drawn < 4 * count as u64 {
        drawn += 1;
        let seed = hash(seed, drawn);
        let op = op.unwrap_or(OPS[drawn as usize % OPS.len()]);
        let Some(problem) = problem(op, seed) else { continue };
        out.problems += 1;
        let mut d = Dice { seed: !seed, thrown: 0 };
        let mut executables = Vec::new();
        for variant in catalogue.capable(&problem, device.facts())?.0 {
            let Some(candidate) = config(&variant, &problem, device, &mut d)? else { continue };
            match Executable::prepare(device, catalogue, &candidate, &problem) {
                Ok(executable) => executables.push(Arc::new(executable)),
                Err(DeviceError::NotOffered { .. }) => {}
                Err(error) => out.alarms.push(format!("{op} {candidate} on {problem}: {error}")),
            }
        }
        for family in Inputs::ALL.into_iter().filter(|f| is_fair(device, &problem, *f)) {
            let fixture = Fixture::new(device, &problem, family, OracleBudget::default(), d.below(2) == 0)?;
            for executable in &executables {
                let Outcome { verdict, detail, checks, .. } = fixture.check(device, executable);
                out.checks += checks;
                if verdict == Verdict::Ok {
                    continue;
                }
                let (name, detail) = (executable.candidate(), detail.unwrap_or_default());
                let said = format!("{op} {name} on {problem} with {family:?} inputs: {}: {detail}", verdict.name());
                if let (Verdict::Wrong, Some(remark)) = (verdict, executable.remark()) {
                    out.declared.push(format!("{said} ({remark})"));
                    continue;
                }
                out.alarms.push(said);
                // A device that failed may answer nothing any more: what is known so far must not be lost.
                if verdict == Verdict::Launch {
                    return Ok(out);
                }
            }
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_random_problems_parse() {
        for op in OPS {
            let drawn = (0..200).filter(|s| problem(op, *s).is_some()).count();
            assert!(drawn > 190, "{op}: {drawn} of 200");
        }
    }
}
