//! Rendering: a prelude of constants, aliases and the epilogue, then the variant's file.

use crate::Config;
use crate::catalogue::{Catalogue, CatalogueError, scope};
use crate::facts::{DeviceFacts, Target};
use crate::manifest::Variant;
use kernelsmith_core::expr::{Binary, Expr};
use kernelsmith_core::ops::gemm::{Compute, GemmProblem};
use kernelsmith_core::{DType, Problem};
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
    if let Some(gemm) = problem.downcast::<GemmProblem>() {
        source.push_str(&gemm_prelude(gemm));
    }
    source.push_str("#include \"gemm.cuh\"\n");
    source.push_str(&epilogue(problem.expr(), problem.expr_operands().len()));
    source.push_str("#include \"gemm_store.cuh\"\n#line 1 \"");
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

fn gemm_prelude(p: &GemmProblem) -> String {
    let mut out = String::new();
    let dtype = match p.dtype {
        DType::F64 => "F64",
        DType::F16 => "F16",
        DType::BF16 => "BF16",
        _ => "F32",
    };
    let flag = |b: bool| u8::from(b);
    let _ = writeln!(out, "#define DTYPE_{dtype} 1");
    let _ = writeln!(out, "#define COMPUTE_TF32 {}", flag(p.compute == Compute::Tf32));
    let _ = writeln!(out, "#define HAS_BETA {}", flag(p.has_beta()));
    for (name, layout) in [("A", &p.a), ("B", &p.b), ("C", &p.c), ("D", &p.d)] {
        let _ = writeln!(out, "#define {name}_INNER {}", GemmProblem::inner(layout));
        let _ = writeln!(out, "[[maybe_unused]] constexpr int {name}_VEC = {};", p.vector(layout).1);
    }
    out
}

fn epilogue(expr: &Expr, inputs: usize) -> String {
    let mut out = String::from("struct Epilogue {");
    for i in 0..inputs {
        let _ = write!(out, " Matrix<const T> in{i};");
    }
    if inputs == 0 {
        out.push_str(" int unused;");
    }
    out.push_str(" };\n__device__ __forceinline__ Acc epilogue_apply(Acc v, const Epilogue& e, long long batch, long long row, long long col) {\n    return ");
    out.push_str(&expression(expr));
    out.push_str(";\n}\n");
    out
}

/// An expression as CUDA C++.
pub fn expression(expr: &Expr) -> String {
    match expr {
        Expr::Value => "v".to_string(),
        Expr::Input(i) => format!("ks_load(e.in{i}, batch, row, col)"),
        Expr::Const(c) => format!("Acc({c:?})"),
        Expr::Index(d) => format!("Acc(i{d})"),
        Expr::Unary(op, x) => format!("ks_{}({})", op.name(), expression(x)),
        Expr::Binary(op, x, y) => {
            let (x, y) = (expression(x), expression(y));
            match op {
                Binary::Add => format!("({x} + {y})"),
                Binary::Sub => format!("({x} - {y})"),
                Binary::Mul => format!("({x} * {y})"),
                Binary::Div => format!("({x} / {y})"),
                _ => format!("ks_{}({x}, {y})", op.name()),
            }
        }
        Expr::Select(c, x, y) => format!("ks_select({}, {}, {})", expression(c), expression(x), expression(y)),
        Expr::Round(dtype, x) => format!("ks_round_{dtype}({})", expression(x)),
        Expr::Random(s, x) => {
            format!("Acc(ks_{}({}ull, (unsigned long long)({})))", s.distribution.name(), s.seed, expression(x))
        }
    }
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
