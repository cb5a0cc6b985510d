//! The tensor: a node of the expression graph and a layout over the buffer it will fill.

use crate::device::Device;
use crate::error::{Error, Result};
use crate::node::{Node, NodeOp};
use crate::plan::{self, Plan};
use kernelsmith_core::inputs::for_each_position;
use kernelsmith_core::{DType, HostArray, Layout, LayoutError, with_values};
use std::fmt;
use std::sync::Arc;

/// An n-dimensional array on a device. Cheap to clone; views share the elements; nothing is
/// computed before somebody looks ([`Tensor::realize`], [`Tensor::to_vec`]).
#[derive(Clone)]
pub struct Tensor {
    node: Arc<Node>,
    layout: Layout,
}

/// Rust types of elements that go in and out of tensors.
pub trait Scalar: Copy + Send + Sync + 'static {
    const DTYPE: DType;
    /// The values as a host array.
    fn array(values: Vec<Self>) -> HostArray;
    /// The values of an array of this dtype; `None` for another.
    fn values(array: HostArray) -> Option<Vec<Self>>;
}

macro_rules! scalar {
    ($($t:ty, $dtype:ident);*) => {$(
        impl Scalar for $t {
            const DTYPE: DType = DType::$dtype;
            fn array(values: Vec<Self>) -> HostArray {
                HostArray::$dtype(values)
            }
            fn values(array: HostArray) -> Option<Vec<Self>> {
                if let HostArray::$dtype(v) = array { Some(v) } else { None }
            }
        }
    )*};
}
scalar!(f32, F32; f64, F64; half::f16, F16; half::bf16, BF16; i32, I32; u8, U8);

impl Scalar for bool {
    const DTYPE: DType = DType::Bool;
    fn array(values: Vec<Self>) -> HostArray {
        HostArray::Bool(values.into_iter().map(u8::from).collect())
    }
    fn values(array: HostArray) -> Option<Vec<Self>> {
        if let HostArray::Bool(v) = array { Some(v.into_iter().map(|b| b != 0).collect()) } else { None }
    }
}

impl Tensor {
    pub(crate) fn new(node: Arc<Node>, layout: Layout) -> Tensor {
        Tensor { node, layout }
    }

    /// The whole of a new node.
    pub(crate) fn lazy(
        name: &'static str,
        dtype: DType,
        shape: &[usize],
        device: &Device,
        op: NodeOp,
    ) -> Result<Tensor> {
        let layout = Layout::contiguous(shape).map_err(Error::layout(name))?;
        Ok(Tensor { node: Node::lazy(name, dtype, layout, device, op), layout })
    }

    pub(crate) fn node(&self) -> &Arc<Node> {
        &self.node
    }

    pub(crate) fn into_node(self) -> Arc<Node> {
        self.node
    }

    pub fn dtype(&self) -> DType {
        self.node.dtype
    }

    pub fn device(&self) -> &Device {
        &self.node.device
    }

    #[inline]
    pub fn shape(&self) -> &[usize] {
        self.layout.shape()
    }

    #[inline]
    pub fn rank(&self) -> usize {
        self.layout.rank()
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.layout.len()
    }

    pub fn is_empty(&self) -> bool {
        self.layout.is_empty()
    }

    /// Where the elements lie in the buffer: shape, strides, offset.
    #[inline]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    #[inline]
    pub fn is_contiguous(&self) -> bool {
        self.layout.is_contiguous()
    }

    /// Whether two tensors are views of one buffer.
    pub fn shares_buffer_with(&self, other: &Tensor) -> bool {
        Arc::ptr_eq(&self.node, &other.node)
    }

    /// Whether the elements are computed and on the device.
    pub fn is_realized(&self) -> bool {
        self.node.buffer().is_some()
    }

    /// A tensor of host values.
    ///
    /// # Errors
    /// A shape that does not hold as many elements, no memory on the device.
    pub fn from_vec<T: Scalar>(values: Vec<T>, shape: &[usize], device: &Device) -> Result<Tensor> {
        Self::from_array(&T::array(values), shape, device)
    }

    /// A tensor of a host array, in row-major order.
    ///
    /// # Errors
    /// As [`Tensor::from_vec`].
    pub fn from_array(array: &HostArray, shape: &[usize], device: &Device) -> Result<Tensor> {
        let layout = Layout::contiguous(shape).map_err(Error::layout("from_vec"))?;
        if layout.len() != array.len() {
            return Err(Error::Shape {
                op: "from_vec",
                shapes: vec![shape.to_vec()],
                expected: format!("{} elements were given", array.len()),
            });
        }
        let buffer = device.0.raw.alloc(layout.len() * array.dtype().bytes())?;
        device.0.queue.write(&buffer, 0, array.as_bytes())?;
        let node = Node::source(array.dtype(), layout, device, buffer, false);
        if let HostArray::I32(v) = array
            && let (Some(low), Some(high)) = (v.iter().min(), v.iter().max())
        {
            let _ = node.range.set((i64::from(*low), i64::from(*high)));
        }
        Ok(Tensor { node, layout })
    }

    /// The elements in row-major order.
    ///
    /// # Errors
    /// Another dtype than `T`'s; whatever computing them fails with.
    pub fn to_vec<T: Scalar>(&self) -> Result<Vec<T>> {
        let array = self.to_array()?;
        let found = array.dtype();
        T::values(array).ok_or_else(|| Error::DType { op: "to_vec", found, expected: T::DTYPE.to_string() })
    }

    /// The elements in row-major order, in the tensor's own dtype.
    ///
    /// # Errors
    /// Whatever computing them fails with.
    pub fn to_array(&self) -> Result<HostArray> {
        if self.is_empty() {
            return Ok(HostArray::zeros(self.dtype(), 0));
        }
        self.realize()?;
        let missing = || Error::Invalid { op: "to_vec", reason: "the elements were not computed".to_string() };
        let buffer = self.node.buffer().ok_or_else(missing)?;
        let size = self.dtype().bytes();
        // Only the part of the buffer that the view reaches.
        let start = self.layout.offset() - lowest(&self.layout);
        let (first, end) = (start, self.layout.span());
        let mut raw = HostArray::zeros(self.dtype(), end - first);
        self.device().0.queue.read(buffer, first * size, raw.as_bytes_mut())?;
        if self.layout.is_contiguous() && self.len() == end - first {
            return Ok(raw);
        }
        let no_room = || {
            let reason = format!("shape {:?} of {} does not fit host memory", self.shape(), self.dtype());
            Error::Invalid { op: "to_vec", reason }
        };
        macro_rules! pick {
            ($v:expr, $kind:ident) => {{
                let mut out = Vec::new();
                // A broadcast view can be larger than the host.
                out.try_reserve_exact(self.len()).map_err(|_| no_room())?;
                for_each_position(&self.layout, |_, at| out.push($v[at - first]));
                HostArray::$kind(out)
            }};
        }
        Ok(match &raw {
            HostArray::F32(v) => pick!(v, F32),
            HostArray::F64(v) => pick!(v, F64),
            HostArray::F16(v) => pick!(v, F16),
            HostArray::BF16(v) => pick!(v, BF16),
            HostArray::I32(v) => pick!(v, I32),
            HostArray::U8(v) => pick!(v, U8),
            HostArray::Bool(v) => pick!(v, Bool),
            HostArray::E4M3(v) => pick!(v, E4M3),
            HostArray::E5M2(v) => pick!(v, E5M2),
        })
    }

    /// The only element, in f64.
    ///
    /// # Errors
    /// More or fewer elements than one; whatever computing it fails with.
    pub fn to_scalar(&self) -> Result<f64> {
        if self.len() != 1 {
            let expected = "one element".to_string();
            return Err(Error::Shape { op: "to_scalar", shapes: vec![self.shape().to_vec()], expected });
        }
        let array = self.to_array()?;
        Ok(with_values!(&array, _v => array.get(0)))
    }

    /// Computes the elements, if they are not computed yet, and keeps them on the device.
    /// Launches are queued; only reading waits.
    ///
    /// # Errors
    /// Whatever planning, allocating or launching fails with.
    pub fn realize(&self) -> Result<&Tensor> {
        plan::realize(&[self])?;
        Ok(self)
    }

    /// Computes several tensors with one plan, so that what they share is computed once.
    ///
    /// # Errors
    /// As [`Tensor::realize`].
    pub fn realize_all(tensors: &[&Tensor]) -> Result<()> {
        plan::realize(tensors)
    }

    /// What would run to compute this tensor, without running it.
    ///
    /// # Errors
    /// Whatever planning fails with.
    pub fn plan(&self) -> Result<Arc<Plan>> {
        Tensor::plan_all(&[self])
    }

    /// [`Tensor::plan`] of several tensors at once.
    ///
    /// # Errors
    /// Whatever planning fails with.
    pub fn plan_all(tensors: &[&Tensor]) -> Result<Arc<Plan>> {
        plan::plan(tensors)
    }

    /// The same elements without their history: no gradient flows through it.
    ///
    /// # Errors
    /// Whatever computing them fails with.
    pub fn detach(&self) -> Result<Tensor> {
        self.source(false)
    }

    /// A parameter: [`Tensor::backward`] and [`crate::grad::grad`] give gradients for it.
    ///
    /// # Errors
    /// A dtype without gradients; whatever computing the elements fails with.
    pub fn variable(&self) -> Result<Tensor> {
        if !self.dtype().is_float() {
            let expected = "f32, f64, f16 or bf16".to_string();
            return Err(Error::DType { op: "variable", found: self.dtype(), expected });
        }
        if self.is_realized() || self.is_empty() {
            return self.source(true);
        }
        // Not computed here and now: a step that is being recorded makes variables of new parameters.
        let input = if self.layout == self.node.layout { self.clone() } else { self.duplicate()? };
        let layout = input.layout;
        let node = Node::variable(self.dtype(), layout, self.device(), NodeOp::Alias { input });
        Ok(Tensor { node, layout })
    }

    fn source(&self, tracked: bool) -> Result<Tensor> {
        let layout = Layout::contiguous(self.shape()).map_err(Error::layout("detach"))?;
        if self.is_empty() {
            let buffer = self.device().0.raw.alloc(0)?;
            let node = Node::source(self.dtype(), layout, self.device(), buffer, tracked);
            return Ok(Tensor { node, layout });
        }
        // A node's elements start where its buffer does.
        let starts = self.layout.offset() == 0 && self.layout.is_contiguous();
        let whole = if starts { self.clone() } else { self.copied("detach", "its elements are part of a buffer")? };
        whole.realize()?;
        let missing = || Error::Invalid { op: "detach", reason: "the elements were not computed".to_string() };
        let buffer = whole.node.buffer().ok_or_else(missing)?.clone();
        let node = Node::source(self.dtype(), layout, self.device(), buffer, tracked);
        if let Some(range) = self.node.range.get() {
            let _ = node.range.set(*range);
        }
        Ok(Tensor { node, layout })
    }

    /// A copy on another device, through host memory.
    ///
    /// # Errors
    /// Whatever computing, reading or allocating fails with.
    pub fn to_device(&self, device: &Device) -> Result<Tensor> {
        if self.device().is(device) {
            return Ok(self.clone());
        }
        Tensor::from_array(&self.to_array()?, self.shape(), device)
    }

    /// The view that a layout gives, or the error that it is; the layout is moved once.
    #[inline]
    pub(crate) fn viewed(&self, op: &'static str, layout: std::result::Result<Layout, LayoutError>) -> Result<Tensor> {
        let node = self.node.clone();
        match layout {
            Ok(layout) => Ok(Tensor { node, layout }),
            Err(source) => Err(Error::Layout { op, source }),
        }
    }

    #[inline]
    pub(crate) fn with_layout(&self, layout: Layout) -> Tensor {
        Tensor { node: self.node.clone(), layout }
    }

    /// Checks that tensors are on one device.
    pub(crate) fn same_device(op: &'static str, tensors: &[&Tensor]) -> Result<()> {
        for pair in tensors.windows(2) {
            if !pair[0].device().is(pair[1].device()) {
                return Err(Error::DeviceMismatch {
                    op,
                    left: pair[0].device().name(),
                    right: pair[1].device().name(),
                });
            }
        }
        Ok(())
    }

    /// Checks that a tensor holds floating-point numbers.
    pub(crate) fn float(&self, op: &'static str) -> Result<()> {
        if self.dtype().is_float() {
            return Ok(());
        }
        Err(Error::DType { op, found: self.dtype(), expected: "f32, f64, f16 or bf16".to_string() })
    }

    /// An axis counted from the front, or from the back where it is negative.
    #[inline]
    pub(crate) fn axis(&self, op: &'static str, axis: isize) -> Result<usize> {
        let rank = self.rank();
        let at = if axis < 0 { axis + rank as isize } else { axis };
        match usize::try_from(at) {
            Ok(at) if at < rank => Ok(at),
            _ => Err(Error::Axis { op, axis, rank }),
        }
    }
}

/// How far below its first element a layout reaches, in elements.
pub(crate) fn lowest(layout: &Layout) -> usize {
    layout.shape().iter().zip(layout.strides()).map(|(n, s)| if *s < 0 { s.unsigned_abs() * (n - 1) } else { 0 }).sum()
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor({} {:?} {} on {})", self.node.name, self.shape(), self.dtype(), self.device().name())
    }
}
