//! Attention to read first: one query after the other, any layout and dtype, safe Rust.
//!
//! Idea: the definition in f64. Scores of the keys that a query sees, their largest, exponentials and
//! their sum, then each number of the result.
//!
//! Bound: two walks of some 5 ns for each query, key and number of a head.
//!
//! `smith bench attention --problem heads=2,queries=64,keys=64,head=64,dtype=f32,causal=1 --candidate reference`

use crate::cpu::kernel::{CpuCall, CpuKernelError};
use crate::cpu::operands::{self, Source};
use kernelsmith_core::ops::OpProblem;
use kernelsmith_core::ops::attention::AttentionProblem;

pub fn run(call: &mut CpuCall<'_>) -> Result<(), CpuKernelError> {
    let p: &AttentionProblem = operands::problem(call, "attention")?;
    let (sources, mut target) = operands::check(&p.operands(), call.inputs, call.output)?;
    let [q, k, v] = &sources[..] else { return Err(CpuKernelError("q, k and v are needed".to_string())) };
    let get = |x: &Source, at: [usize; 4]| x.get(x.layout.at(&at));
    let s = p.shape;
    for row in 0..s.batch * s.heads * s.queries {
        let (query, head, batch) = (row % s.queries, row / s.queries % s.heads, row / s.queries / s.heads);
        let from = p.kv_head(head);
        let score = |j: usize| {
            let products = (0..s.head).map(|d| get(q, [batch, head, query, d]) * get(k, [batch, from, j, d]));
            p.scale * products.sum::<f64>()
        };
        let mut weights: Vec<f64> = (0..p.visible(query)).map(score).collect();
        let max = weights.iter().fold(f64::NEG_INFINITY, |m, x| if *x > m || x.is_nan() { *x } else { m });
        weights.iter_mut().for_each(|x| *x = (*x - max).exp());
        let sum: f64 = weights.iter().sum();
        for d in 0..s.head {
            let weighed = weights.iter().enumerate().map(|(j, w)| w * get(v, [batch, from, j, d]));
            target.set(target.layout.at(&[batch, head, query, d]), weighed.sum::<f64>() / sum);
        }
    }
    Ok(())
}
