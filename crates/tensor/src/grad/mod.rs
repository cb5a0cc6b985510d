//! Gradients, graph to graph: a gradient is an expression like any other, so it is planned, fused
//! and can be differentiated again. A view's gradient is a view, or a sum where it broadcasts.

mod derivative;
mod rules;

use crate::error::{Error, Result};
use crate::node::Node;
use crate::tensor::Tensor;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};

/// Gradients of one scalar, by parameter.
pub struct Gradients(HashMap<usize, Gradient>);

struct Gradient {
    /// Keeps the address that is the key from being given to another node.
    _variable: Weak<Node>,
    value: Tensor,
}

impl Gradients {
    /// The gradient for a variable; `None` where the scalar does not depend on it.
    pub fn get(&self, variable: &Tensor) -> Option<&Tensor> {
        self.0.get(&address(variable.node())).map(|g| &g.value)
    }

    /// Every gradient, to realize them together.
    pub fn all(&self) -> impl Iterator<Item = &Tensor> {
        self.0.values().map(|g| &g.value)
    }
}

fn address(node: &Arc<Node>) -> usize {
    Arc::as_ptr(node) as usize
}

impl Tensor {
    /// The gradients of this scalar for every variable that it depends on.
    ///
    /// # Errors
    /// More than one element, a dtype that is not floating-point, an op without a gradient.
    pub fn backward(&self) -> Result<Gradients> {
        let (order, sums) = reverse(self)?;
        let variables = order.into_iter().filter(|n| n.variable);
        let found = variables.filter_map(|n| {
            let value = sums.get(&address(&n))?.clone();
            Some((address(&n), Gradient { _variable: Arc::downgrade(&n), value }))
        });
        Ok(Gradients(found.collect()))
    }
}

/// The gradients of the scalar `output` for `inputs`, each of its input's shape: zeros where the
/// output does not depend on it.
///
/// # Errors
/// An output of more than one element, an input that is neither a variable nor computed from one,
/// an op without a gradient.
pub fn grad(output: &Tensor, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
    if let Some(i) = inputs.iter().position(|t| !t.node().tracked) {
        let why = format!("input {i} of shape {:?} is no variable: make it one with `variable`", inputs[i].shape());
        return Err(Error::NoGradient { op: "grad", why });
    }
    let (_, sums) = reverse(output)?;
    inputs
        .iter()
        .map(|t| match sums.get(&address(t.node())) {
            None => Tensor::zeros(t.shape(), t.dtype(), t.device()),
            Some(whole) if *t.layout() == t.node().layout => Ok(whole.clone()),
            Some(whole) => rules::seen(whole, t.layout()),
        })
        .collect()
}

/// The value of `f` at `params` and its gradients for them.
///
/// # Errors
/// What `f` fails with; as [`grad`].
pub fn value_and_grad(f: impl FnOnce(&[Tensor]) -> Result<Tensor>, params: &[Tensor]) -> Result<(Tensor, Vec<Tensor>)> {
    let variables = params.iter().map(Tensor::variable).collect::<Result<Vec<_>>>()?;
    let value = f(&variables)?;
    let gradients = grad(&value, &variables.iter().collect::<Vec<_>>())?;
    Ok((value, gradients))
}

/// Tracked nodes below `output`, the output's first, and the gradient of each.
fn reverse(output: &Tensor) -> Result<(Vec<Arc<Node>>, HashMap<usize, Tensor>)> {
    if output.len() != 1 {
        let expected = "a scalar: reduce it first".to_string();
        return Err(Error::Shape { op: "backward", shapes: vec![output.shape().to_vec()], expected });
    }
    output.float("backward")?;
    let mut order = tracked(output.node());
    order.reverse();
    let mut sums: HashMap<usize, Tensor> = HashMap::new();
    if output.node().tracked {
        let one = Tensor::ones(output.shape(), output.dtype(), output.device())?;
        sums.insert(address(output.node()), rules::unseen(&one, output.layout(), output.node())?);
    }
    for node in &order {
        let Some(op) = node.op().filter(|_| !node.variable) else { continue };
        let Some(g) = sums.get(&address(node)).cloned() else { continue };
        // The node's own value, whole.
        let y = Tensor::new(node.clone(), node.layout);
        for (input, part) in rules::pull(node, &op, &g, &y)? {
            let to = input.node();
            if !to.dtype.is_float() {
                // Truths are constant almost everywhere; whole numbers are refused aloud.
                if to.dtype == kernelsmith_core::DType::Bool {
                    continue;
                }
                let why = format!("its result is {}: whole numbers carry no gradient", to.dtype);
                return Err(Error::NoGradient { op: to.name, why });
            }
            let part = rules::unseen(&part, input.layout(), to)?;
            let sum = match sums.remove(&address(to)) {
                Some(sum) => sum.add(&part)?,
                None => part,
            };
            sums.insert(address(to), sum);
        }
    }
    Ok((order, sums))
}

/// Tracked nodes that `root` needs, each after all that it reads; without recursion.
fn tracked(root: &Arc<Node>) -> Vec<Arc<Node>> {
    let mut order = Vec::new();
    let mut seen = HashSet::new();
    let mut stack = vec![(root.clone(), false)];
    while let Some((node, expanded)) = stack.pop() {
        if expanded {
            order.push(node);
            continue;
        }
        if !node.tracked || !seen.insert(address(&node)) {
            continue;
        }
        stack.push((node.clone(), true));
        if let Some(op) = node.op().filter(|_| !node.variable) {
            stack.extend(op.inputs().map(|t| (t.node().clone(), false)));
        }
    }
    order
}
