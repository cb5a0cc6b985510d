//! Buffers of plain structs: each field is a tensor, an O(1) strided view of the buffer.

use crate::device::Device;
use crate::error::{Error, Result};
use crate::node::Node;
use crate::tensor::Tensor;
use kernelsmith_core::Layout;
use kernelsmith_core::element::{self, Element};
use kernelsmith_device::Buffer;
use std::marker::PhantomData;

/// An array of structs that derive [`Element`], on a device.
#[derive(Clone)]
pub struct Records<E: Element> {
    buffer: Buffer,
    device: Device,
    len: usize,
    element: PhantomData<E>,
}

impl<E: Element> Records<E> {
    /// Uploads records as they lie in memory.
    ///
    /// # Errors
    /// No memory on the device.
    pub fn from_slice(records: &[E], device: &Device) -> Result<Self> {
        let bytes = element::encode(records);
        let buffer = device.0.raw.alloc(bytes.len())?;
        device.0.queue.write(&buffer, 0, &bytes)?;
        Ok(Records { buffer, device: device.clone(), len: records.len(), element: PhantomData })
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// One field of every record, by its dotted path (`position.x`): a view that every op takes.
    /// Its shape is `[len]`, then the shape of the field where it is an array.
    ///
    /// # Errors
    /// A field that does not exist; the message lists those that do.
    pub fn field(&self, path: &str) -> Result<Tensor> {
        let fail = |e: element::FieldError| Error::Invalid { op: "field", reason: e.to_string() };
        let field = element::field::<E>(path).map_err(fail)?;
        let view = field.layout(self.len, E::SIZE).map_err(Error::layout("field"))?;
        // The buffer as elements of the field's dtype; the view picks those of the field.
        let count = self.len * E::SIZE / field.dtype.bytes();
        let whole = Layout::contiguous(&[count]).map_err(Error::layout("field"))?;
        let node = Node::source(field.dtype, whole, &self.device, self.buffer.clone(), false);
        Ok(Tensor::new(node, view))
    }

    /// The records, back on the host.
    ///
    /// # Errors
    /// What reading fails with.
    pub fn to_vec(&self) -> Result<Vec<E>> {
        let mut bytes = vec![0; self.len * E::SIZE];
        self.device.0.queue.read(&self.buffer, 0, &mut bytes)?;
        element::decode(&bytes).map_err(|e| Error::Invalid { op: "to_vec", reason: e.to_string() })
    }
}
