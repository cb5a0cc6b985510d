//! Rendering: a prelude of constants, aliases and expressions, then the variant's file.

mod attention;
mod elementwise;
pub mod expression;
mod gemm;
pub mod wgsl;

use crate::Config;
use crate::catalogue::{Catalogue, CatalogueError, scope};
use crate::facts::{DeviceFacts, Target};
use crate::frame::Frame;
use crate::manifest::Variant;
use kernelsmith_core::Problem;
use kernelsmith_core::ops::attention::AttentionProblem;
use kernelsmith_core::ops::gemm::GemmProblem;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Source text ready for a compiler.
#[derive(Clone, Debug)]
pub struct Rendered {
    pub source: String,
    /// Headers the source includes, directly or not: (name, text).
    pub headers: Vec<(String, String)>,
    /// SHA-256 of everything above, in hex.
    pub hash: String,
}

/// Renders CUDA C++ for one candidate and problem. Two problems with the same prelude share a binary.
pub fn cuda(
    catalogue: &Catalogue,
    variant: &Variant,
    config: &Config,
    problem: &Problem,
    facts: &DeviceFacts,
) -> Result<Rendered, CatalogueError> {
    debug_assert_eq!(variant.target, Target::Cuda);
    let mut scope = scope(problem, facts);
    variant.bind(&mut scope, config)?;
    let mut source = String::new();
    let line = |source: &mut String, text: std::fmt::Arguments| {
        let _ = source.write_fmt(text);
        source.push('\n');
    };
    line(&mut source, format_args!("// Rendered from kernels/{}/{}.", variant.op, variant.source));
    for (name, value) in config.iter() {
        line(&mut source, format_args!("[[maybe_unused]] constexpr int {name} = {value};"));
    }
    if let Some(frame) = Frame::of(problem) {
        source.push_str(&elementwise::prelude(&frame));
        source.push_str("#include \"elementwise.cuh\"\n");
        source.push_str(&elementwise::functions(&frame));
    } else if let Some(p) = problem.downcast::<GemmProblem>() {
        source.push_str(&gemm::prelude(p));
        source.push_str("#include \"gemm.cuh\"\n");
        source.push_str(&gemm::epilogue(problem.expr(), problem.expr_operands().len()));
        source.push_str("#include \"gemm_store.cuh\"\n");
    } else if let Some(p) = problem.downcast::<AttentionProblem>() {
        source.push_str(&attention::prelude(p));
    }
    source.push_str("#line 1 \"");
    source.push_str(&variant.source);
    source.push_str("\"\n");
    source.push_str(&variant.text);
    let headers = includes(catalogue, &source);
    let mut hash = Sha256::new();
    hash.update(source.as_bytes());
    for (name, text) in &headers {
        hash.update(name.as_bytes());
        hash.update(text.as_bytes());
    }
    let hash = hex(&hash.finalize());
    Ok(Rendered { source, headers, hash })
}

/// Bytes as lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, b| {
        let _ = write!(out, "{b:02x}");
        out
    })
}

/// The headers a text includes, and those that they include, in name order.
fn includes(catalogue: &Catalogue, source: &str) -> Vec<(String, String)> {
    let named = |text: &str| -> Vec<String> {
        let quoted = |l: &str| {
            let rest = l.trim_start().strip_prefix("#include")?.trim_start();
            rest.strip_prefix('"')?.split('"').next().map(str::to_string)
        };
        text.lines().filter_map(quoted).collect()
    };
    let mut found = BTreeSet::new();
    let mut queue = named(source);
    while let Some(name) = queue.pop() {
        if let Some(text) = catalogue.headers().get(&name)
            && found.insert(name)
        {
            queue.extend(named(text));
        }
    }
    found.into_iter().map(|n| (n.clone(), catalogue.headers()[&n].clone())).collect()
}
