//! General matrix product: D = epilogue(alpha · A·B + beta · C), batched.
//!
//! A is \[batch, m, k\], B is \[batch, k, n\], C and D are \[batch, m, n\], each under any layout.
//! C is read from its own buffer, so inputs are never overwritten.

use super::fields::{Fields, is_input};
use super::leaf::{Leaf, MAX_INPUTS, check_array, check_expr, check_output};
use super::{OpProblem, Operand, OracleBudget, Problem, ProblemError, Role, Var};
use crate::expr::{Binary, Expr, Unary};
use crate::inputs::{Inputs, hash};
use crate::reference::Reference;
use crate::{DType, HostArray, Layout};
use std::any::Any;
use std::fmt;

/// How input values enter the product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compute {
    /// Inputs as they are, sums in f32 (f64 for f64).
    Default,
    /// f32 inputs rounded to 11 bits of mantissa; opt-in by name.
    Tf32,
    /// f32 inputs in three parts, multiplied by matrix units: as accurate as f32 arithmetic, but for
    /// what lies under 2⁻¹³³. Any f32 product will do; opt-in by name.
    F32x3,
    /// Eight-bit inputs whose sums stay in matrix units, which keep 13 bits behind the leading one;
    /// opt-in by name. By default they are added up in f32 every 128 k.
    Fast,
}

impl Compute {
    pub fn name(self) -> &'static str {
        match self {
            Compute::Default => "default",
            Compute::Tf32 => "tf32",
            Compute::F32x3 => "f32x3",
            Compute::Fast => "fast",
        }
    }
}

/// One link of an epilogue chain.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    /// Adds a vector of n: one value per column.
    Bias,
    /// Adds a vector of m: one value per row.
    BiasRow,
    /// Adds a \[batch, m, n\] array.
    Residual,
    Scale(f64),
    Activation(Unary),
}

const ACTIVATIONS: [(&str, Unary); 6] = [
    ("relu", Unary::Relu),
    ("gelu", Unary::Gelu),
    ("gelu_tanh", Unary::GeluTanh),
    ("silu", Unary::Silu),
    ("sigmoid", Unary::Sigmoid),
    ("tanh", Unary::Tanh),
];

impl Step {
    fn parse(word: &str) -> Option<Step> {
        match word {
            "bias" => Some(Step::Bias),
            "bias_row" => Some(Step::BiasRow),
            "residual" => Some(Step::Residual),
            _ => {
                if let Some((_, op)) = ACTIVATIONS.iter().find(|(name, _)| *name == word) {
                    return Some(Step::Activation(*op));
                }
                let value = word.strip_prefix("scale(")?.strip_suffix(')')?;
                value.parse().ok().filter(|x: &f64| x.is_finite()).map(Step::Scale)
            }
        }
    }

    fn input(self) -> Option<&'static str> {
        match self {
            Step::Bias => Some("bias"),
            Step::BiasRow => Some("bias_row"),
            Step::Residual => Some("residual"),
            _ => None,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Scale(x) => write!(f, "scale({x:?})"),
            Step::Activation(op) => {
                let entry = ACTIVATIONS.iter().find(|(_, o)| o == op);
                f.write_str(entry.map_or("?", |(name, _)| name))
            }
            other => f.write_str(other.input().unwrap_or("?")),
        }
    }
}

/// A matrix product with everything fixed that can change which kernel is best.
#[derive(Clone, Debug, PartialEq)]
pub struct GemmProblem {
    pub batch: usize,
    pub m: usize,
    pub n: usize,
    pub k: usize,
    /// Of C, D and the epilogue's inputs, and of A and B unless `inputs` says otherwise.
    pub dtype: DType,
    /// The dtypes of A and B: `dtype` both, or eight-bit floats.
    pub inputs: [DType; 2],
    pub compute: Compute,
    pub a: Layout,
    pub b: Layout,
    pub c: Layout,
    pub d: Layout,
    pub alpha: f64,
    pub beta: f64,
    /// The epilogue where it is a chain of named steps; empty where it is another expression.
    pub steps: Vec<Step>,
    expr: Expr,
    /// Inputs of an epilogue that is no chain, broadcast to \[batch, m, n\].
    leaves: Vec<Layout>,
}

/// Whether each input is stored transposed: `n` row-major as the name says, `t` column-major.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Storage {
    pub a_transposed: bool,
    pub b_transposed: bool,
}

impl Storage {
    pub const ALL: [Storage; 4] = [
        Storage { a_transposed: false, b_transposed: false },
        Storage { a_transposed: false, b_transposed: true },
        Storage { a_transposed: true, b_transposed: false },
        Storage { a_transposed: true, b_transposed: true },
    ];

    pub fn name(self) -> &'static str {
        match (self.a_transposed, self.b_transposed) {
            (false, false) => "nn",
            (false, true) => "nt",
            (true, false) => "tn",
            (true, true) => "tt",
        }
    }
}

/// Sizes and storage of a contiguous product: where every [`GemmProblem`] starts.
#[derive(Clone, Copy, Debug)]
pub struct GemmShape {
    pub batch: usize,
    pub m: usize,
    pub n: usize,
    pub k: usize,
    pub storage: Storage,
}

pub(super) fn stored(batch: usize, rows: usize, cols: usize, transposed: bool) -> Option<Layout> {
    if transposed {
        Layout::contiguous(&[batch, cols, rows]).ok()?.transpose(1, 2).ok()
    } else {
        Layout::contiguous(&[batch, rows, cols]).ok()
    }
}

impl GemmProblem {
    /// A contiguous product with alpha 1, beta 0 and no epilogue. k may be 0 here.
    ///
    /// # Errors
    /// A size of 0 in batch, m or n, sizes over 2³¹ − 1, buffers over the address range, a dtype
    /// that products do not exist in.
    pub fn new(shape: GemmShape, dtype: DType) -> Result<Self, ProblemError> {
        let GemmShape { batch, m, n, k, storage } = shape;
        let name = || format!("batch={batch},m={m},n={n},k={k},dtype={dtype}");
        let invalid = |reason: String| ProblemError::Invalid { problem: name(), reason };
        for (key, size) in [("batch", batch), ("m", m), ("n", n)] {
            if size == 0 {
                return Err(invalid(format!("{key}=0: there is nothing to compute")));
            }
        }
        for (key, size) in [("batch", batch), ("m", m), ("n", n), ("k", k)] {
            if size > i32::MAX as usize {
                return Err(invalid(format!("{key}={size} is over the limit of {}", i32::MAX)));
            }
        }
        if !dtype.is_float() {
            return Err(invalid(format!("products are not defined for dtype {dtype}")));
        }
        let large = || invalid("the arrays are larger than the address range".to_string());
        let a = stored(batch, m, k, storage.a_transposed).ok_or_else(large)?;
        let b = stored(batch, k, n, storage.b_transposed).ok_or_else(large)?;
        let d = stored(batch, m, n, false).ok_or_else(large)?;
        for layout in [&a, &b, &d] {
            layout.span().checked_mul(dtype.bytes()).filter(|&x| x < isize::MAX as usize).ok_or_else(large)?;
        }
        Ok(GemmProblem {
            batch,
            m,
            n,
            k,
            dtype,
            inputs: [dtype; 2],
            compute: Compute::Default,
            a,
            b,
            c: d,
            d,
            alpha: 1.0,
            beta: 0.0,
            steps: Vec::new(),
            expr: Expr::Value,
            leaves: Vec::new(),
        })
    }

    /// Makes A and B eight-bit floats.
    ///
    /// # Errors
    /// Another dtype than those, or a product of them in f64.
    pub fn with_inputs(mut self, inputs: [DType; 2]) -> Result<Self, ProblemError> {
        if !inputs.iter().all(|d| d.is_fp8()) || self.dtype == DType::F64 {
            let reason = format!("inputs {} and {} with dtype {}", inputs[0], inputs[1], self.dtype);
            return Err(ProblemError::Invalid { problem: self.text(), reason });
        }
        self.inputs = inputs;
        Ok(self)
    }

    /// Whether A and B are eight-bit floats.
    pub fn is_fp8(&self) -> bool {
        self.inputs[0].is_fp8()
    }

    /// `e4m3` where both inputs are that, `e4m3:e5m2` for A and B, empty where they have the problem's dtype.
    fn inputs_text(&self) -> String {
        match self.inputs {
            _ if !self.is_fp8() => String::new(),
            [a, b] if a == b => a.to_string(),
            [a, b] => format!("{a}:{b}"),
        }
    }

    /// Replaces the epilogue chain.
    pub fn with_steps(mut self, steps: Vec<Step>) -> Self {
        let mut expr = Expr::Value;
        let mut inputs = 0;
        for step in &steps {
            expr = match *step {
                Step::Scale(x) => Expr::binary(Binary::Mul, expr, Expr::Const(x)),
                Step::Activation(op) => Expr::unary(op, expr),
                Step::Bias | Step::BiasRow | Step::Residual => {
                    inputs += 1;
                    Expr::binary(Binary::Add, expr, Expr::Input(inputs - 1))
                }
            };
        }
        self.steps = steps;
        self.expr = expr;
        self.leaves = Vec::new();
        self
    }

    /// Replaces the epilogue by an expression of the product `v` and of inputs in the problem's
    /// dtype, broadcast to \[batch, m, n\]. What is a chain of named steps becomes one.
    ///
    /// # Errors
    /// An input of another shape, an expression that reads what is not there or asks for its position.
    pub fn with_expr(mut self, expr: Expr, inputs: &[Layout]) -> Result<Self, ProblemError> {
        let invalid = |reason: String| ProblemError::Invalid { problem: self.text(), reason };
        let shape = [self.batch, self.m, self.n];
        if let Some(l) = inputs.iter().find(|l| l.shape() != shape) {
            return Err(invalid(format!("an epilogue's input has shape {:?}, expected {shape:?}", l.shape())));
        }
        if inputs.len() > MAX_INPUTS {
            return Err(invalid(format!("{} epilogue inputs, at most {MAX_INPUTS}", inputs.len())));
        }
        check_expr(&expr, "expr", inputs.len(), 0, true, &invalid)?;
        if expr.any(&|x| matches!(x, Expr::Random(..))) {
            return Err(invalid("random numbers are not drawn in epilogues".to_string()));
        }
        if let Some(steps) = self.chain(&expr, inputs) {
            return Ok(self.with_steps(steps));
        }
        self.steps = Vec::new();
        self.expr = expr;
        self.leaves = inputs.to_vec();
        Ok(self)
    }

    /// The named steps that an expression is, if it is a chain of them that reads every input once, in order.
    fn chain(&self, expr: &Expr, inputs: &[Layout]) -> Option<Vec<Step>> {
        let mut steps = Vec::new();
        let mut left = inputs.len();
        let mut at = expr;
        while *at != Expr::Value {
            at = match at {
                Expr::Unary(op, x) if ACTIVATIONS.iter().any(|(_, a)| a == op) => {
                    steps.push(Step::Activation(*op));
                    x
                }
                Expr::Binary(Binary::Mul, x, y) => match (&**x, &**y) {
                    (x, Expr::Const(c)) | (Expr::Const(c), x) if c.is_finite() => {
                        steps.push(Step::Scale(*c));
                        x
                    }
                    _ => return None,
                },
                Expr::Binary(Binary::Add, x, y) => {
                    let (x, i) = match (&**x, &**y) {
                        (x, Expr::Input(i)) | (Expr::Input(i), x) => (x, *i),
                        _ => return None,
                    };
                    let named = [Step::Bias, Step::BiasRow, Step::Residual];
                    let step = named.into_iter().find(|s| self.step_layout(*s).as_ref() == inputs.get(i));
                    left = left.checked_sub(1).filter(|l| *l == i)?;
                    steps.push(step?);
                    x
                }
                _ => return None,
            };
        }
        steps.reverse();
        (left == 0).then_some(steps)
    }

    /// Where the input of a named step lies, broadcast to \[batch, m, n\].
    fn step_layout(&self, step: Step) -> Option<Layout> {
        let shape = [self.batch, self.m, self.n];
        let base = match step {
            Step::Bias => Layout::contiguous(&[self.n]),
            Step::BiasRow => Layout::contiguous(&[self.m, 1]),
            Step::Residual => Layout::contiguous(&shape),
            Step::Scale(_) | Step::Activation(_) => return None,
        };
        base.and_then(|l| l.broadcast(&shape)).ok()
    }

    /// The epilogue of `base`, whose inputs are as they are there but for the sizes.
    pub(super) fn with_epilogue_of(self, base: &GemmProblem) -> Option<Self> {
        if base.leaves.is_empty() && base.expr == Expr::Value || !base.steps.is_empty() {
            return Some(self.with_steps(base.steps.clone()));
        }
        let shape = [self.batch, self.m, self.n];
        let like = |l: &Layout| {
            let thin: Vec<usize> = shape.iter().zip(l.strides()).map(|(n, s)| if *s == 0 { 1 } else { *n }).collect();
            Layout::contiguous(&thin).ok()?.broadcast(&shape).ok()
        };
        let inputs: Vec<Layout> = base.leaves.iter().map(like).collect::<Option<_>>()?;
        self.with_expr(base.expr.clone(), &inputs).ok()
    }

    /// Replaces the layouts of A, B, C and D.
    ///
    /// # Errors
    /// A shape that does not fit the problem, or an output whose elements overlap.
    pub fn with_layouts(mut self, a: Layout, b: Layout, c: Layout, d: Layout) -> Result<Self, ProblemError> {
        let (bt, m, n, k) = (self.batch, self.m, self.n, self.k);
        let invalid = |reason: String| ProblemError::Invalid { problem: self.text(), reason };
        for (name, layout, want) in
            [("a", &a, [bt, m, k]), ("b", &b, [bt, k, n]), ("c", &c, [bt, m, n]), ("d", &d, [bt, m, n])]
        {
            check_array(name, &Leaf { layout: *layout, dtype: self.dtype }, &want, &invalid)?;
        }
        check_output(&d, &invalid)?;
        (self.a, self.b, self.c, self.d) = (a, b, c, d);
        Ok(self)
    }

    /// Whether C is read.
    pub fn has_beta(&self) -> bool {
        self.beta != 0.0
    }

    /// Which dimension of a \[batch, rows, columns\] operand is contiguous: 0 columns, 1 rows, 2 neither.
    pub fn inner(layout: &Layout) -> usize {
        let (shape, strides) = (layout.shape(), layout.strides());
        match (strides[1], strides[2]) {
            // A dimension of size 1 has no neighbours: the other one decides.
            (1, _) if shape[2] == 1 && shape[1] != 1 => 1,
            (_, 1) => 0,
            (1, _) => 1,
            _ => 2,
        }
    }

    /// Bytes of alignment (up to 16) that every vector of `dtype` along the contiguous dimension has,
    /// and the elements that fit in it.
    pub fn vector(layout: &Layout, dtype: DType) -> (usize, usize) {
        let inner = match Self::inner(layout) {
            0 => Some(2),
            1 => Some(1),
            _ => None,
        };
        let align = layout.alignment(dtype.bytes(), inner);
        let vec = if inner.is_some() { (align / dtype.bytes()).max(1) } else { 1 };
        (align, vec)
    }

    /// `nn`, `nt`, `tn` or `tt` by what is contiguous in A and B, else `strided`.
    pub fn layout_name(&self) -> &'static str {
        match (Self::inner(&self.a), Self::inner(&self.b)) {
            (0, 0) => "nn",
            (0, 1) => "nt",
            (1, 0) => "tn",
            (1, 1) => "tt",
            _ => "strided",
        }
    }

    /// Names and layouts of the epilogue's inputs, each broadcast to \[batch, m, n\].
    pub fn epilogue_inputs(&self) -> Vec<(String, Layout)> {
        if !self.leaves.is_empty() {
            return self.leaves.iter().enumerate().map(|(i, l)| (format!("x{i}"), *l)).collect();
        }
        let mut seen: Vec<&str> = Vec::new();
        let mut out = Vec::new();
        for step in &self.steps {
            let Some(name) = step.input() else { continue };
            let layout = self.step_layout(*step).expect("sizes were checked when the problem was made");
            let repeats = seen.iter().filter(|s| **s == name).count();
            seen.push(name);
            let label = if repeats == 0 { name.to_string() } else { format!("{name}{}", repeats + 1) };
            out.push((label, layout));
        }
        out
    }

    fn epilogue_text(&self) -> String {
        if self.steps.is_empty() && !self.expr.is_identity() {
            return self.expr.to_string();
        }
        self.steps.iter().map(|s| s.to_string()).collect::<Vec<_>>().join("+")
    }
}

impl OpProblem for GemmProblem {
    fn op(&self) -> &'static str {
        "gemm"
    }

    fn text(&self) -> String {
        let mut parts = Vec::new();
        if self.batch != 1 {
            parts.push(format!("batch={}", self.batch));
        }
        parts.push(format!("m={},n={},k={},dtype={}", self.m, self.n, self.k, self.dtype));
        if self.is_fp8() {
            parts.push(format!("inputs={}", self.inputs_text()));
        }
        if self.compute != Compute::Default {
            parts.push(format!("compute={}", self.compute.name()));
        }
        let shape = |storage| GemmShape { batch: self.batch, m: self.m, n: self.n, k: self.k, storage };
        let fits = |s: &Storage| {
            GemmProblem::new(shape(*s), self.dtype)
                .map_or(0, |p| usize::from(p.a == self.a) + usize::from(p.b == self.b))
        };
        // The storage that explains most; earlier names win ties, so text is canonical.
        let storage = Storage::ALL.into_iter().rev().max_by_key(fits).unwrap_or(Storage::ALL[0]);
        parts.push(format!("layout={}", storage.name()));
        if let Ok(plain) = GemmProblem::new(shape(storage), self.dtype) {
            let operands = [
                ("a", &self.a, &plain.a),
                ("b", &self.b, &plain.b),
                ("c", &self.c, &plain.c),
                ("d", &self.d, &plain.d),
            ];
            for (name, layout, default) in operands {
                if layout != default {
                    let s = layout.strides();
                    parts.push(format!("{name}={}@{}:{}:{}", layout.offset(), s[0], s[1], s[2]));
                }
            }
        }
        if self.alpha != 1.0 {
            parts.push(format!("alpha={:?}", self.alpha));
        }
        if self.beta != 0.0 {
            parts.push(format!("beta={:?}", self.beta));
        }
        if !self.steps.is_empty() {
            parts.push(format!("epilogue={}", self.epilogue_text()));
        } else if !self.expr.is_identity() {
            parts.push(format!("expr={}", self.expr));
            let leaf = |(i, l): (usize, &Layout)| format!("x{i}={}", Leaf::new(self.dtype, *l));
            parts.extend(self.leaves.iter().enumerate().map(leaf));
        }
        parts.join(",")
    }

    fn operands(&self) -> Vec<Operand> {
        let typed =
            |name: &str, dtype, layout, role| Operand { name: name.to_string(), dtype, layout, role, below: None };
        let make = |name: &str, layout, role| typed(name, self.dtype, layout, role);
        let [a, b] = self.inputs;
        let mut out = vec![typed("a", a, self.a, Role::Input), typed("b", b, self.b, Role::Input)];
        if self.has_beta() {
            out.push(make("c", self.c, Role::Input));
        }
        out.extend(self.epilogue_inputs().into_iter().map(|(name, layout)| make(&name, layout, Role::Input)));
        out.push(make("d", self.d, Role::Output));
        out
    }

    fn flops(&self) -> f64 {
        2.0 * self.batch as f64 * self.m as f64 * self.n as f64 * self.k as f64
    }

    fn bytes(&self) -> f64 {
        let unique = |layout: &Layout| -> f64 {
            layout.shape().iter().zip(layout.strides()).filter(|(_, s)| **s != 0).map(|(n, _)| *n as f64).product()
        };
        self.operands().iter().map(|o| unique(&o.layout) * o.dtype.bytes() as f64).sum()
    }

    fn variables(&self) -> Vec<(String, Var)> {
        let int = |name: &str, x: usize| (name.to_string(), Var::Int(x as i64));
        let text = |name: &str, x: &str| (name.to_string(), Var::Text(x.to_string()));
        let operand = |name: &str, dtype: DType, layout: &Layout, names: [&str; 3]| {
            let (align, vec) = Self::vector(layout, dtype);
            let s = layout.strides();
            let fields = vec![
                text("inner", names[Self::inner(layout)]),
                int("align", align),
                int("vec", vec),
                ("batch_stride".to_string(), Var::Int(s[0] as i64)),
                ("row_stride".to_string(), Var::Int(s[1] as i64)),
                ("col_stride".to_string(), Var::Int(s[2] as i64)),
            ];
            (name.to_string(), Var::Map(fields))
        };
        vec![
            int("batch", self.batch),
            int("m", self.m),
            int("n", self.n),
            int("k", self.k),
            int("element", self.dtype.bytes()),
            text("dtype", self.dtype.name()),
            text("inputs", &self.inputs_text()),
            text("compute", self.compute.name()),
            text("layout", self.layout_name()),
            text("epilogue", &self.epilogue_text()),
            ("alpha".to_string(), Var::Float(self.alpha)),
            ("beta".to_string(), Var::Float(self.beta)),
            operand("a", self.inputs[0], &self.a, ["k", "m", "none"]),
            operand("b", self.inputs[1], &self.b, ["n", "k", "none"]),
            operand("c", self.dtype, &self.c, ["n", "m", "none"]),
            operand("d", self.dtype, &self.d, ["n", "m", "none"]),
        ]
    }

    fn class(&self) -> String {
        let d_inner = ["n", "m", "none"][Self::inner(&self.d)];
        let shape_class = if self.batch > 1 { "batched" } else { "single" };
        let inputs = if self.is_fp8() { format!("{}>", self.inputs_text()) } else { String::new() };
        format!(
            "{inputs}{},{},{},d_inner={d_inner},{shape_class},beta={},epilogue={}",
            self.dtype,
            self.compute.name(),
            self.layout_name(),
            self.has_beta(),
            self.epilogue_text()
        )
    }

    fn coordinates(&self) -> Vec<f64> {
        let align = |layout, dtype| (Self::vector(layout, dtype).0 as f64).log2();
        let mut out: Vec<f64> =
            [self.batch, self.m, self.n, self.k].iter().map(|&x| (x.max(1) as f64).log2()).collect();
        out.extend([align(&self.a, self.inputs[0]), align(&self.b, self.inputs[1]), align(&self.d, self.dtype)]);
        out
    }

    fn expr(&self) -> &Expr {
        &self.expr
    }

    fn expr_operands(&self) -> Vec<String> {
        self.epilogue_inputs().into_iter().map(|(name, _)| name).collect()
    }

    fn reference(&self, arrays: &[&HostArray], inputs: Inputs, budget: OracleBudget) -> Reference {
        super::gemm_oracle::reference(self, arrays, inputs, budget)
    }

    fn edge_cases(&self) -> Vec<Problem> {
        super::gemm_edges::edge_cases(self)
    }

    fn fingerprint(&self) -> u64 {
        // Sizes, first strides and offsets tell nearly all problems apart; equality settles the rest.
        let [a, b] = self.inputs;
        let types = self.dtype as u64 ^ (self.compute as u64) << 8 ^ (a as u64) << 16 ^ (b as u64) << 24;
        let mut h = hash(types, (self.steps.len() + 64 * self.leaves.len()) as u64);
        for x in [self.batch, self.m, self.n, self.k] {
            h = hash(h, x as u64);
        }
        for layout in [&self.a, &self.b, &self.d] {
            let s = layout.strides();
            h = hash(h ^ layout.offset() as u64, (s[0] ^ s[1] << 21 ^ s[2] << 42) as u64);
        }
        hash(h ^ self.alpha.to_bits(), self.beta.to_bits())
    }

    fn same_as(&self, other: &dyn OpProblem) -> bool {
        other.as_any().downcast_ref::<GemmProblem>() == Some(self)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

const KEYS: [&str; 16] = [
    "batch", "m", "n", "k", "dtype", "inputs", "compute", "layout", "a", "b", "c", "d", "alpha", "beta", "epilogue",
    "expr",
];

/// Reads `m=1,n=9728,k=896,dtype=f16,layout=nt,epilogue=bias+gelu`. `batch`, `inputs`, `compute`, `layout`
/// (nn), `alpha`, `beta` and `epilogue` are optional; `inputs=e4m3:e5m2` are eight-bit dtypes of A and B; `a=offset@batch:row:column` gives explicit
/// strides (also b, c, d). `expr=mul(v,x0),x0=f16@0:0:1` is an epilogue that is no chain.
pub fn parse_problem(text: &str) -> Result<Problem, ProblemError> {
    parse(text).map(Problem::new)
}

/// [`parse_problem`], typed.
pub fn parse(text: &str) -> Result<GemmProblem, ProblemError> {
    let fields = Fields::parse(text, |k| KEYS.contains(&k) || is_input(k), &KEYS.join(", "))?;
    let layout = fields.get("layout").unwrap_or("nn");
    let storage = Storage::ALL
        .into_iter()
        .find(|s| s.name() == layout)
        .ok_or_else(|| fields.bad("layout", layout, "nn, nt, tn or tt"))?;
    let shape = GemmShape {
        batch: fields.size("batch", Some(1))?,
        m: fields.size("m", None)?,
        n: fields.size("n", None)?,
        k: fields.size("k", None)?,
        storage,
    };
    let dtype = fields.required("dtype")?;
    let dtype: DType = dtype
        .parse()
        .ok()
        .filter(|d: &DType| d.is_float())
        .ok_or_else(|| fields.bad("dtype", dtype, "f32, f64, f16 or bf16"))?;
    let mut out = GemmProblem::new(shape, dtype)?;
    if let Some(inputs) = fields.get("inputs") {
        let bad = || fields.bad("inputs", inputs, "e4m3 or e5m2, or one for A and one for B like e4m3:e5m2");
        let named = |name: &str| DType::FP8.into_iter().find(|d| d.name() == name).ok_or_else(bad);
        let (a, b) = inputs.split_once(':').unwrap_or((inputs, inputs));
        out = out
            .with_inputs([named(a)?, named(b)?])
            .map_err(|_| fields.bad("dtype", dtype.name(), "f16, bf16 or f32"))?;
    }
    out.compute = match fields.get("compute") {
        None | Some("default") => Compute::Default,
        Some("fast") if out.is_fp8() => Compute::Fast,
        Some("fast") => return Err(fields.bad("compute", "fast", "inputs=e4m3 or e5m2 beside it")),
        Some("tf32") if dtype == DType::F32 && !out.is_fp8() => Compute::Tf32,
        Some("f32x3") if dtype == DType::F32 && !out.is_fp8() => Compute::F32x3,
        Some(name @ ("tf32" | "f32x3")) => return Err(fields.bad("compute", name, "inputs in dtype=f32")),
        Some(other) => return Err(fields.bad("compute", other, "default, tf32, f32x3 or fast")),
    };
    (out.alpha, out.beta) = (fields.real("alpha", 1.0)?, fields.real("beta", 0.0)?);
    let leaves = fields.leaves(&[out.batch, out.m, out.n])?;
    if let Some(leaf) = leaves.iter().find(|l| l.dtype != dtype) {
        return Err(fields.invalid(format!("an epilogue's input has dtype {}, expected {dtype}", leaf.dtype)));
    }
    if let Some(epilogue) = fields.get("epilogue").filter(|e| !e.is_empty() && *e != "none") {
        if fields.get("expr").is_some() || !leaves.is_empty() {
            return Err(fields.invalid("epilogue= is a chain, expr= an expression: give one of them".to_string()));
        }
        let steps: Option<Vec<Step>> = epilogue.split('+').map(Step::parse).collect();
        let names: Vec<&str> = ACTIVATIONS.iter().map(|(n, _)| *n).collect();
        let expected = format!("a chain of bias, bias_row, residual, scale(x), {} joined by +", names.join(", "));
        out = out.with_steps(steps.ok_or_else(|| fields.bad("epilogue", epilogue, &expected))?);
    }
    let expr = fields.expr("expr", Expr::Value)?;
    if !expr.is_identity() || !leaves.is_empty() {
        let layouts: Vec<Layout> = leaves.iter().map(|l| l.layout).collect();
        out = out.with_expr(expr, &layouts).map_err(|e| match e {
            ProblemError::Invalid { reason, .. } => fields.invalid(reason),
            other => other,
        })?;
    }
    let strides = |key: &str, default: Layout| match fields.get(key) {
        None => Ok(default),
        Some(v) => parse_strides(v, default.shape())
            .ok_or_else(|| fields.bad(key, v, "offset@batch:row:column in elements, inside the buffer")),
    };
    let (a, b, c, d) = (strides("a", out.a)?, strides("b", out.b)?, strides("c", out.c)?, strides("d", out.d)?);
    out.with_layouts(a, b, c, d)
}

fn parse_strides(text: &str, shape: &[usize]) -> Option<Layout> {
    let (offset, strides) = text.split_once('@')?;
    let strides: Vec<isize> = strides.split(':').map(|s| s.parse().ok()).collect::<Option<_>>()?;
    Layout::strided(shape, &strides, offset.parse().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_form_in_the_readme() {
        let p = parse("m=1,n=9728,k=896,dtype=f16,layout=nt,epilogue=bias+gelu").unwrap();
        assert_eq!((p.m, p.n, p.k, p.batch, p.dtype), (1, 9728, 896, 1, DType::F16));
        assert_eq!(p.layout_name(), "nt");
        assert_eq!(p.flops(), 2.0 * 9728.0 * 896.0);
        assert_eq!(p.bytes(), 2.0 * (896.0 + 9728.0 * 896.0 + 9728.0 + 9728.0));
        let names: Vec<String> = p.operands().into_iter().map(|o| o.name).collect();
        assert_eq!(names, ["a", "b", "bias", "d"]);
    }

    #[test]
    fn bad_text_says_what_was_expected() {
        for (text, needle) in [
            ("m=1,n=2,k=0,dtype=f32", "k=0"),
            ("m=1,n=2,dtype=f32", "`k` is missing"),
            ("m=1,n=2,k=3,dtype=f31", "f32, f64, f16 or bf16"),
            ("m=1,n=2,k=3,dtype=i32", "dtype=i32"),
            ("m=1,n=2,k=3,dtype=f32,layout=xx", "nn, nt, tn or tt"),
            ("m=1,n=2,k=3,dtype=f32,colour=red", "unknown key `colour`"),
            ("m=1,m=2,n=2,k=3,dtype=f32", "twice"),
            ("m=1,n=2,k=3,dtype=f32,epilogue=bias+frelu", "bias+frelu"),
            ("m=1,n=2,k=3,dtype=f16,compute=tf32", "tf32"),
            ("m=1,n=2,k=3,dtype=f64,compute=f32x3", "inputs in dtype=f32"),
            ("m=1,n=2,k=3,dtype=f32,compute=f32x2", "default, tf32, f32x3 or fast"),
            ("m=1,n=2,k=3,dtype=f32,compute=fast", "inputs=e4m3 or e5m2 beside it"),
            ("m=1,n=2,k=3,dtype=f32,inputs=e4m3,compute=tf32", "inputs in dtype=f32"),
            ("m=1,n=2,k=3,dtype=f64,inputs=e4m3", "f16, bf16 or f32"),
            ("m=1,n=2,k=3,dtype=f32,inputs=e4m3:f16", "e4m3:e5m2"),
            ("m=1,n=2,k=3,dtype=e4m3", "f32, f64, f16 or bf16"),
            ("m=-1,n=2,k=3,dtype=f32", "whole number"),
            ("m=1,n=2,k=3,dtype=f32,d=0@0:0:0", "overlap"),
            ("m=1,n=2,k=3,dtype=f32,a=0@1:-1", "a=0@1:-1"),
            ("m=99999999999999999999,n=2,k=3,dtype=f32", "whole number"),
            ("rubbish", "not key=value"),
            ("", "not key=value"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(needle), "{text}: {error}");
        }
    }

    #[test]
    fn text_parses_back() {
        let base = parse("batch=2,m=9,n=16,k=24,dtype=bf16,layout=tn,alpha=0.5,beta=-1.0,epilogue=bias_row+silu+scale(0.25)+residual").unwrap();
        assert_eq!(parse(&base.text()).unwrap(), base);
        for case in base.edge_cases() {
            let p = case.downcast::<GemmProblem>().unwrap();
            if p.k > 0 {
                assert_eq!(&parse(&p.text()).unwrap(), p, "{}", p.text());
            }
        }
    }

    #[test]
    fn eight_bit_inputs_have_their_own_dtypes_sizes_and_alignments() {
        for (text, inputs) in [
            ("m=32,n=48,k=64,dtype=bf16,inputs=e4m3,layout=nt", [DType::E4M3; 2]),
            (
                "m=32,n=48,k=64,dtype=f32,inputs=e5m2:e4m3,compute=fast,layout=nt,epilogue=bias",
                [DType::E5M2, DType::E4M3],
            ),
        ] {
            let p = parse(text).unwrap();
            assert_eq!((p.text().as_str(), p.inputs), (text, inputs));
            let dtypes: Vec<DType> = p.operands().iter().map(|o| o.dtype).collect();
            assert_eq!(dtypes[..2], inputs);
            assert!(dtypes[2..].iter().all(|d| *d == p.dtype));
            let output = p.dtype.bytes() * (32 * 48 + if p.steps.is_empty() { 0 } else { 48 });
            assert_eq!(p.bytes(), (32 * 64 + 48 * 64 + output) as f64);
            assert_eq!(GemmProblem::vector(&p.a, p.inputs[0]), (16, 16));
            for case in p.edge_cases() {
                let case = case.downcast::<GemmProblem>().unwrap();
                assert_eq!((case.inputs, case.compute), (p.inputs, p.compute));
            }
            let plain = parse("m=32,n=48,k=64,dtype=bf16,layout=nt").unwrap();
            assert!(plain.fingerprint() != p.fingerprint() && plain.class() != p.class());
        }
    }

    #[test]
    fn an_expression_that_is_a_chain_becomes_one() {
        let base = || parse("m=4,n=6,k=8,dtype=f32").unwrap();
        let bias = Layout::contiguous(&[6]).unwrap().broadcast(&[1, 4, 6]).unwrap();
        let whole = Layout::contiguous(&[1, 4, 6]).unwrap();
        let chained = base().with_expr("relu(add(mul(v,0.5),x0))".parse().unwrap(), &[bias]).unwrap();
        assert_eq!(chained.text(), "m=4,n=6,k=8,dtype=f32,layout=nn,epilogue=scale(0.5)+bias+relu");
        for (expr, inputs) in [
            ("add(x0,mul(v,x1))", vec![whole, bias]),
            ("add(add(v,x1),x0)", vec![bias, whole]),
            ("mul(v,lt(0.0,x0))", vec![whole]),
            ("sin(v)", vec![]),
        ] {
            let p = base().with_expr(expr.parse().unwrap(), &inputs).unwrap();
            assert!(p.steps.is_empty(), "{expr}");
            assert_eq!(parse(&p.text()).unwrap(), p, "{}", p.text());
            assert_eq!(p.operands().len(), 3 + inputs.len());
            assert!(p.edge_cases().iter().all(|c| c.expr() == p.expr()), "{expr}");
        }
        for text in ["m=4,n=6,k=8,dtype=f32,expr=add(v,x0)", "m=4,n=6,k=8,dtype=f32,epilogue=relu,expr=sin(v)"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn alignment_follows_offsets_and_strides() {
        let p = parse("m=8,n=16,k=24,dtype=f16,a=0@192:24:1,b=8@0:17:1").unwrap();
        assert_eq!(GemmProblem::vector(&p.a, p.dtype), (16, 8));
        assert_eq!(GemmProblem::vector(&p.b, p.dtype), (2, 1));
        assert_eq!(GemmProblem::vector(&p.d, p.dtype), (16, 8));
    }

    #[test]
    fn repeated_inputs_get_their_own_names() {
        let p = parse("m=2,n=2,k=2,dtype=f32,epilogue=bias+relu+bias").unwrap();
        assert_eq!(p.expr_operands(), ["bias", "bias2"]);
    }
}
