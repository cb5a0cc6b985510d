//! Values as bytes of a given order.

use kernelsmith_core::{DType, HostArray};
use std::io::{self, Read};

/// The order of bytes in a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ByteOrder {
    Little,
    Big,
}

impl ByteOrder {
    pub(crate) const NATIVE: ByteOrder = if cfg!(target_endian = "big") { ByteOrder::Big } else { ByteOrder::Little };
}

/// Turns values between `order` and the machine's.
pub(crate) fn reorder(values: &mut HostArray, order: ByteOrder) {
    let size = values.dtype().bytes();
    if size > 1 && order != ByteOrder::NATIVE {
        values.as_bytes_mut().chunks_exact_mut(size).for_each(<[u8]>::reverse);
    }
}

/// Reads `count` values. The caller knows that the reader holds about as many bytes: they are
/// allocated at once.
pub(crate) fn read_values(
    reader: &mut dyn Read,
    dtype: DType,
    count: usize,
    order: ByteOrder,
) -> io::Result<HostArray> {
    let mut values = HostArray::zeros(dtype, count);
    reader.read_exact(values.as_bytes_mut())?;
    reorder(&mut values, order);
    if let HostArray::Bool(flags) = &mut values {
        // Other programs take every byte but zero as true; here a flag is 0 or 1.
        flags.iter_mut().for_each(|flag| *flag = (*flag != 0).into());
    }
    Ok(values)
}

/// The bytes of `values` in little-endian order.
pub(crate) fn little_endian(values: &HostArray) -> std::borrow::Cow<'_, [u8]> {
    if ByteOrder::NATIVE == ByteOrder::Little || values.dtype().bytes() == 1 {
        return values.as_bytes().into();
    }
    let mut turned = values.clone();
    reorder(&mut turned, ByteOrder::Little);
    turned.as_bytes().to_vec().into()
}
