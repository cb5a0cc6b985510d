//! Scaled dot-product attention: out = softmax(scale · Q·Kᵀ)·V for each batch entry and head.
//!
//! Q and out are \[batch, heads, queries, head\], K and V \[batch, kv_heads, keys, head\], each under any
//! layout; heads / kv_heads neighbouring heads read the same keys (grouped-query attention, Ainslie et al.
//! 2023). With `causal` the last query sees all keys, the one before it all but the last, and so on: the
//! triangle ends at the lower right, as decoding behind a cache needs it.

use super::fields::Fields;
use super::leaf::{Leaf, check_array, check_output};
use super::{OpProblem, Operand, OracleBudget, Problem, ProblemError, Role, Var};
use crate::expr::Expr;
use crate::inputs::{Inputs, hash};
use crate::reference::Reference;
use crate::{DType, HostArray, Layout};
use std::any::Any;

/// Sizes of an attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AttentionShape {
    pub batch: usize,
    pub heads: usize,
    /// Heads of K and V; divides `heads`.
    pub kv_heads: usize,
    pub queries: usize,
    pub keys: usize,
    /// Numbers of a head.
    pub head: usize,
}

/// How heads and sequence lie in memory: the dimensions' first letters, outermost first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// \[batch, heads, sequence, head\].
    Bhsd,
    /// \[batch, sequence, heads, head\], as projections leave it.
    Bshd,
}

impl Order {
    pub const ALL: [Order; 2] = [Order::Bhsd, Order::Bshd];

    pub const fn name(self) -> &'static str {
        match self {
            Order::Bhsd => "bhsd",
            Order::Bshd => "bshd",
        }
    }

    /// A contiguous array in this order, as \[batch, heads, sequence, head\].
    fn layout(self, [batch, heads, sequence, head]: [usize; 4]) -> Option<Layout> {
        match self {
            Order::Bhsd => Layout::contiguous(&[batch, heads, sequence, head]).ok(),
            Order::Bshd => Layout::contiguous(&[batch, sequence, heads, head]).ok()?.transpose(1, 2).ok(),
        }
    }
}

/// An attention with everything fixed that can change which kernel is best.
#[derive(Clone, Debug, PartialEq)]
pub struct AttentionProblem {
    pub shape: AttentionShape,
    /// f32, f16 or bf16; scores, weights and sums are in f32, weights possibly in `dtype` where they meet V.
    pub dtype: DType,
    pub causal: bool,
    /// What scores are multiplied by; 1/√head where it is not given.
    pub scale: f64,
    pub q: Layout,
    pub k: Layout,
    pub v: Layout,
    pub out: Layout,
}

/// Dtypes that attention exists in.
const DTYPES: [DType; 3] = [DType::F32, DType::F16, DType::BF16];

impl AttentionShape {
    /// Shape of Q and out.
    pub fn of_queries(&self) -> [usize; 4] {
        [self.batch, self.heads, self.queries, self.head]
    }

    /// Shape of K and V.
    pub fn of_keys(&self) -> [usize; 4] {
        [self.batch, self.kv_heads, self.keys, self.head]
    }

    fn default_scale(&self) -> f64 {
        1.0 / (self.head as f64).sqrt()
    }
}

impl AttentionProblem {
    /// A contiguous attention in an order, not causal, with the default scale.
    ///
    /// # Errors
    /// A size of 0 or over 2³¹ − 1, heads that kv_heads do not divide, another dtype than f32, f16 or bf16,
    /// arrays over the address range.
    pub fn new(shape: AttentionShape, dtype: DType, order: Order) -> Result<Self, ProblemError> {
        let AttentionShape { batch, heads, kv_heads, queries, keys, head } = shape;
        let name = format!(
            "batch={batch},heads={heads},kv_heads={kv_heads},queries={queries},keys={keys},head={head},dtype={dtype}"
        );
        let invalid = |reason: String| ProblemError::Invalid { problem: name.clone(), reason };
        let sizes = [
            ("batch", batch),
            ("heads", heads),
            ("kv_heads", kv_heads),
            ("queries", queries),
            ("keys", keys),
            ("head", head),
        ];
        for (key, size) in sizes {
            if size == 0 {
                return Err(invalid(format!("{key}=0: there is nothing to compute")));
            }
            if size > i32::MAX as usize {
                return Err(invalid(format!("{key}={size} is over the limit of {}", i32::MAX)));
            }
        }
        if !heads.is_multiple_of(kv_heads) {
            return Err(invalid(format!("heads={heads} is no multiple of kv_heads={kv_heads}")));
        }
        if !DTYPES.contains(&dtype) {
            return Err(invalid(format!("attention is not defined for dtype {dtype}, expected f32, f16 or bf16")));
        }
        let large = || invalid("the arrays are larger than the address range".to_string());
        let q = order.layout(shape.of_queries()).ok_or_else(large)?;
        let k = order.layout(shape.of_keys()).ok_or_else(large)?;
        for layout in [&q, &k] {
            layout.span().checked_mul(dtype.bytes()).filter(|&x| x < isize::MAX as usize).ok_or_else(large)?;
        }
        Ok(AttentionProblem { shape, dtype, causal: false, scale: shape.default_scale(), q, k, v: k, out: q })
    }

    /// Lets each query see only the keys up to its own, the last query all of them.
    ///
    /// # Errors
    /// More queries than keys: the first ones would see none.
    pub fn with_causal(mut self) -> Result<Self, ProblemError> {
        let AttentionShape { queries, keys, .. } = self.shape;
        if queries > keys {
            let reason = format!("causal=1 with queries={queries} over keys={keys}: the first ones would see no key");
            return Err(ProblemError::Invalid { problem: self.text(), reason });
        }
        self.causal = true;
        Ok(self)
    }

    /// Replaces what scores are multiplied by.
    ///
    /// # Errors
    /// A scale that is not finite.
    pub fn with_scale(mut self, scale: f64) -> Result<Self, ProblemError> {
        if !scale.is_finite() {
            let reason = format!("scale={scale}: expected a finite number");
            return Err(ProblemError::Invalid { problem: self.text(), reason });
        }
        self.scale = scale;
        Ok(self)
    }

    /// Replaces the layouts of Q, K, V and out.
    ///
    /// # Errors
    /// A shape that does not fit the problem, or an output whose elements overlap.
    pub fn with_layouts(mut self, [q, k, v, out]: [Layout; 4]) -> Result<Self, ProblemError> {
        let invalid = |reason: String| ProblemError::Invalid { problem: self.text(), reason };
        let (of_queries, of_keys) = (self.shape.of_queries(), self.shape.of_keys());
        for (name, layout, want) in
            [("q", &q, of_queries), ("k", &k, of_keys), ("v", &v, of_keys), ("out", &out, of_queries)]
        {
            check_array(name, &Leaf { layout: *layout, dtype: self.dtype }, &want, &invalid)?;
        }
        check_output(&out, &invalid)?;
        (self.q, self.k, self.v, self.out) = (q, k, v, out);
        Ok(self)
    }

    /// The layouts in the order of the operands.
    pub fn layouts(&self) -> [(&'static str, &Layout); 4] {
        [("q", &self.q), ("k", &self.k), ("v", &self.v), ("out", &self.out)]
    }

    /// Keys that a query sees: the first ones.
    pub fn visible(&self, query: usize) -> usize {
        let AttentionShape { queries, keys, .. } = self.shape;
        if self.causal { keys - queries + query + 1 } else { keys }
    }

    /// The head of K and V that a head reads.
    pub fn kv_head(&self, head: usize) -> usize {
        head / (self.shape.heads / self.shape.kv_heads)
    }

    /// Pairs of a query and a key that it sees, over all batches and heads.
    fn pairs(&self) -> f64 {
        let AttentionShape { batch, heads, queries, keys, .. } = self.shape;
        let (queries, keys) = (queries as f64, keys as f64);
        let seen =
            if self.causal { queries * (keys - queries) + queries * (queries + 1.0) / 2.0 } else { queries * keys };
        (batch * heads) as f64 * seen
    }

    /// The order that explains most layouts; bhsd wins ties, so text is canonical.
    fn order(&self) -> Order {
        let plain = |order: Order| {
            let [q, k] = [self.shape.of_queries(), self.shape.of_keys()].map(|s| order.layout(s));
            [(&self.q, &q), (&self.k, &k), (&self.v, &k), (&self.out, &q)]
                .into_iter()
                .filter(|(found, plain)| Some(**found) == **plain)
                .count()
        };
        Order::ALL.into_iter().rev().max_by_key(|o| plain(*o)).unwrap_or(Order::Bhsd)
    }

    /// `head` where the numbers of a head lie side by side, else `none`.
    fn inner(layout: &Layout) -> &'static str {
        if layout.strides()[3] == 1 { "head" } else { "none" }
    }

    /// Bytes of alignment, up to 16, that every head's numbers have in a layout.
    fn align(&self, layout: &Layout) -> usize {
        layout.alignment(self.dtype.bytes(), (layout.strides()[3] == 1).then_some(3))
    }
}

impl OpProblem for AttentionProblem {
    fn op(&self) -> &'static str {
        "attention"
    }

    fn text(&self) -> String {
        let AttentionShape { batch, heads, kv_heads, queries, keys, head } = self.shape;
        let mut parts = Vec::new();
        if batch != 1 {
            parts.push(format!("batch={batch}"));
        }
        parts.push(format!("heads={heads}"));
        if kv_heads != heads {
            parts.push(format!("kv_heads={kv_heads}"));
        }
        parts.push(format!("queries={queries},keys={keys},head={head},dtype={}", self.dtype));
        if self.causal {
            parts.push("causal=1".to_string());
        }
        if self.scale != self.shape.default_scale() {
            parts.push(format!("scale={:?}", self.scale));
        }
        let order = self.order();
        if order != Order::Bhsd {
            parts.push(format!("order={}", order.name()));
        }
        if let Ok(plain) = AttentionProblem::new(self.shape, self.dtype, order) {
            for ((name, layout), (_, plain)) in self.layouts().into_iter().zip(plain.layouts()) {
                if layout != plain {
                    let s = layout.strides();
                    parts.push(format!("{name}={}@{}:{}:{}:{}", layout.offset(), s[0], s[1], s[2], s[3]));
                }
            }
        }
        parts.join(",")
    }

    fn operands(&self) -> Vec<Operand> {
        let make = |(name, layout): (&str, &Layout)| {
            let role = if name == "out" { Role::Output } else { Role::Input };
            Operand { name: name.to_string(), dtype: self.dtype, layout: *layout, role, below: None }
        };
        self.layouts().into_iter().map(make).collect()
    }

    /// The two products, over the pairs that are seen.
    fn flops(&self) -> f64 {
        4.0 * self.shape.head as f64 * self.pairs()
    }

    fn bytes(&self) -> f64 {
        let unique = |layout: &Layout| -> f64 {
            layout.shape().iter().zip(layout.strides()).filter(|(_, s)| **s != 0).map(|(n, _)| *n as f64).product()
        };
        self.layouts().iter().map(|(_, l)| unique(l) * self.dtype.bytes() as f64).sum()
    }

    fn variables(&self) -> Vec<(String, Var)> {
        let int = |name: &str, x: usize| (name.to_string(), Var::Int(x as i64));
        let text = |name: &str, x: &str| (name.to_string(), Var::Text(x.to_string()));
        let AttentionShape { batch, heads, kv_heads, queries, keys, head } = self.shape;
        let mut out = vec![
            int("batch", batch),
            int("heads", heads),
            int("kv_heads", kv_heads),
            int("queries", queries),
            int("keys", keys),
            int("head", head),
            int("causal", usize::from(self.causal)),
            ("scale".to_string(), Var::Float(self.scale)),
            int("element", self.dtype.bytes()),
            text("dtype", self.dtype.name()),
        ];
        for (name, layout) in self.layouts() {
            let fields = vec![text("inner", Self::inner(layout)), int("align", self.align(layout))];
            out.push((name.to_string(), Var::Map(fields)));
        }
        out
    }

    fn class(&self) -> String {
        let along: Vec<&str> = self.layouts().into_iter().map(|(_, l)| Self::inner(l)).collect();
        let grouped = self.shape.heads != self.shape.kv_heads;
        let single = self.shape.queries == 1;
        format!(
            "{},head={},causal={},grouped={grouped},single={single},{}",
            self.dtype,
            self.shape.head,
            self.causal,
            along.join(":")
        )
    }

    fn coordinates(&self) -> Vec<f64> {
        let AttentionShape { batch, heads, queries, keys, .. } = self.shape;
        let sizes = [batch * heads, queries, keys].map(|n| (n as f64).log2());
        let aligns = self.layouts().map(|(_, l)| (self.align(l) as f64).log2());
        sizes.into_iter().chain(aligns).collect()
    }

    fn expr(&self) -> &Expr {
        &Expr::Value
    }

    fn expr_operands(&self) -> Vec<String> {
        Vec::new()
    }

    fn reference(&self, arrays: &[&HostArray], inputs: Inputs, budget: OracleBudget) -> Reference {
        super::attention_oracle::reference(self, arrays, inputs, budget)
    }

    fn edge_cases(&self) -> Vec<Problem> {
        super::attention_edges::edge_cases(self)
    }

    fn fingerprint(&self) -> u64 {
        let AttentionShape { batch, heads, kv_heads, queries, keys, head } = self.shape;
        let mut h = hash(self.dtype as u64 ^ u64::from(self.causal) << 8, self.scale.to_bits());
        for x in [batch, heads, kv_heads, queries, keys, head] {
            h = hash(h, x as u64);
        }
        for (_, layout) in self.layouts() {
            h = layout.strides().iter().fold(hash(h, layout.offset() as u64), |h, s| hash(h, *s as u64));
        }
        h
    }

    fn same_as(&self, other: &dyn OpProblem) -> bool {
        other.as_any().downcast_ref::<AttentionProblem>() == Some(self)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

const KEYS: [&str; 14] = [
    "batch", "heads", "kv_heads", "queries", "keys", "head", "dtype", "causal", "scale", "order", "q", "k", "v", "out",
];

/// Reads `batch=4,heads=16,kv_heads=4,queries=2048,keys=2048,head=128,dtype=f16,causal=1,order=bshd`. `batch` (1),
/// `kv_heads` (heads), `causal` (0), `scale` (1/√head) and `order` (bhsd) are optional;
/// `q=offset@batch:head:row:column` gives explicit strides (also k, v, out).
pub fn parse_problem(text: &str) -> Result<Problem, ProblemError> {
    let fields = Fields::parse(text, |k| KEYS.contains(&k), &KEYS.join(", "))?;
    let heads = fields.size("heads", None)?;
    let shape = AttentionShape {
        batch: fields.size("batch", Some(1))?,
        heads,
        kv_heads: fields.size("kv_heads", Some(heads))?,
        queries: fields.size("queries", None)?,
        keys: fields.size("keys", None)?,
        head: fields.size("head", None)?,
    };
    let dtype = fields.required("dtype")?;
    let dtype =
        DTYPES.into_iter().find(|d| d.name() == dtype).ok_or_else(|| fields.bad("dtype", dtype, "f32, f16 or bf16"))?;
    let order = fields.get("order").unwrap_or(Order::Bhsd.name());
    let order =
        Order::ALL.into_iter().find(|o| o.name() == order).ok_or_else(|| fields.bad("order", order, "bhsd or bshd"))?;
    let own = |e: ProblemError| match e {
        ProblemError::Invalid { reason, .. } => fields.invalid(reason),
        other => other,
    };
    let mut out = AttentionProblem::new(shape, dtype, order).map_err(own)?;
    out = match fields.get("causal") {
        None | Some("0") => out,
        Some("1") => out.with_causal().map_err(own)?,
        Some(other) => return Err(fields.bad("causal", other, "0 or 1")),
    };
    out = out.clone().with_scale(fields.real("scale", out.scale)?).map_err(own)?;
    let strides = |key: &str, default: Layout| match fields.get(key) {
        None => Ok(default),
        Some(v) => parse_strides(v, default.shape())
            .ok_or_else(|| fields.bad(key, v, "offset@batch:head:row:column in elements, inside the buffer")),
    };
    let layouts = [strides("q", out.q)?, strides("k", out.k)?, strides("v", out.v)?, strides("out", out.out)?];
    out.with_layouts(layouts).map(Problem::new).map_err(own)
}

fn parse_strides(text: &str, shape: &[usize]) -> Option<Layout> {
    let (offset, strides) = text.split_once('@')?;
    let strides: Vec<isize> = strides.split(':').map(|s| s.parse().ok()).collect::<Option<_>>()?;
    Layout::strided(shape, &strides, offset.parse().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> AttentionProblem {
        parse_problem(text).unwrap_or_else(|e| panic!("{e}")).downcast::<AttentionProblem>().unwrap().clone()
    }

    #[test]
    fn what_is_as_usual_is_left_out_of_the_text() {
        let full = "batch=1,heads=16,kv_heads=16,queries=8,keys=9,head=64,dtype=f16,causal=0,scale=0.125,order=bhsd";
        assert_eq!(parse(full).text(), "heads=16,queries=8,keys=9,head=64,dtype=f16");
        for text in [
            "batch=4,heads=16,kv_heads=4,queries=20,keys=20,head=128,dtype=bf16,causal=1,order=bshd",
            "heads=2,queries=20,keys=5,head=8,dtype=f32,scale=-0.5,q=3@0:200:10:1",
        ] {
            assert_eq!(parse(text).text(), text);
        }
    }

    #[test]
    fn the_triangle_ends_at_the_lower_right() {
        let p = parse("heads=6,kv_heads=2,queries=3,keys=5,head=2,dtype=f32,causal=1");
        assert_eq!([0, 1, 2].map(|i| p.visible(i)), [3, 4, 5]);
        assert_eq!([0, 2, 3, 5].map(|h| p.kv_head(h)), [0, 0, 1, 1]);
        assert_eq!(p.flops(), 4.0 * 2.0 * 6.0 * 12.0);
        assert_eq!(p.bytes(), 4.0 * 2.0 * (2.0 * 6.0 * 3.0 + 2.0 * 2.0 * 5.0));
    }
}
