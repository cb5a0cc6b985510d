//! Records: plain structs whose buffer is a tensor.
//!
//! A type that is an [`Element`] has a fixed layout in bytes, so that `n` records are `n · SIZE`
//! bytes and each field is a strided view of them ([`Field::layout`]). `#[derive(Element)]`
//! implements it for structs; the scalars are here.
//!
//! # Layout of a record
//! Fields lie in declaration order. A field's offset is the next multiple of its alignment, which is
//! the size of its dtype, for a nested record the largest of its fields' alignments; a record's size
//! is rounded up to its alignment. That is the layout of `#[repr(C)]`, and it makes every offset and
//! every distance between records a whole number of elements of each field's dtype, as a view
//! requires. Bytes in gaps are written as zero. Numbers have the byte order of the machine.

mod field;
mod flatten;
mod scalar;
mod slot;

pub use field::{Field, FieldError, MAX_FIELD_RANK, field};
pub use slot::{CLayout, Slot};

use std::borrow::Cow;

/// What the expansion of `#[derive(Element)]` uses. Not part of the interface.
#[doc(hidden)]
pub mod expansion {
    pub use super::flatten::{Part, field_count, flatten, join_names, names_len, parts_end, record_size};
    pub use bytemuck;

    /// The whole `T`s in `bytes`. Zeroed memory comes from the system without being written.
    pub fn copied<T: bytemuck::Pod>(bytes: &[u8]) -> Vec<T> {
        let mut values: Vec<T> = bytemuck::zeroed_vec(bytes.len() / size_of::<T>());
        let out: &mut [u8] = bytemuck::cast_slice_mut(&mut values);
        out.copy_from_slice(&bytes[..out.len()]);
        values
    }
}

/// A value of fixed size made of numbers: a scalar, or a struct that derives this trait.
///
/// Conversions never fail for a right length: every pattern of bytes is a valid record.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not plain data that a tensor can hold",
    label = "expected f32, f64, f16, bf16, i32, u8, an array of these, or a struct that derives Element",
    note = "a field's type has its own `#[derive(Element)]`, or is one of the scalars above"
)]
pub trait Element: Copy + Send + Sync + 'static {
    /// The record's fields, those of nested records in place of these, in order of offset.
    const FIELDS: &'static [Field];

    /// Bytes from one record to the next.
    const SIZE: usize;

    /// Writes one record's bytes; gaps become zero.
    ///
    /// # Panics
    /// Where `out` is not [`Element::SIZE`] long.
    fn write(&self, out: &mut [u8]);

    /// Reads one record.
    ///
    /// # Panics
    /// Where `bytes` is not [`Element::SIZE`] long.
    fn read(bytes: &[u8]) -> Self;

    /// The bytes of `records` as they lie in memory, without a copy, where the compiler's layout of
    /// the type is the record's: scalars, and structs with `#[repr(C)]` or `#[repr(transparent)]`.
    fn bytes_of(records: &[Self]) -> Option<&[u8]> {
        let _ = records;
        None
    }

    /// As [`Element::bytes_of`], to be written to.
    fn bytes_of_mut(records: &mut [Self]) -> Option<&mut [u8]> {
        let _ = records;
        None
    }

    /// Writes all of `records`, one after the other; one copy where [`Element::bytes_of`] has them.
    ///
    /// # Panics
    /// Where `out` is not `records.len() · SIZE` long.
    fn write_slice(records: &[Self], out: &mut [u8]) {
        assert_eq!(out.len(), records.len() * Self::SIZE, "bytes for {} records of {}", records.len(), Self::SIZE);
        match Self::bytes_of(records) {
            Some(bytes) => out.copy_from_slice(bytes),
            None => records.iter().zip(out.chunks_exact_mut(Self::SIZE)).for_each(|(r, chunk)| r.write(chunk)),
        }
    }

    /// Reads all of `records`, one after the other; one copy where [`Element::bytes_of_mut`] has them.
    ///
    /// # Panics
    /// Where `bytes` is not `records.len() · SIZE` long.
    fn read_slice(bytes: &[u8], records: &mut [Self]) {
        assert_eq!(bytes.len(), records.len() * Self::SIZE, "bytes for {} records of {}", records.len(), Self::SIZE);
        match Self::bytes_of_mut(records) {
            Some(out) => out.copy_from_slice(bytes),
            None => {
                records.iter_mut().zip(bytes.chunks_exact(Self::SIZE)).for_each(|(r, chunk)| *r = Self::read(chunk))
            }
        }
    }

    /// The records in `bytes`; a last one that is not whole is left out. [`decode`] refuses that.
    fn read_vec(bytes: &[u8]) -> Vec<Self> {
        bytes.chunks_exact(Self::SIZE).map(Self::read).collect()
    }
}

/// The number of bytes is not a whole number of records.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{bytes} bytes are not a whole number of records of {size} bytes: {} are left over", bytes % size)]
pub struct PartialRecord {
    pub bytes: usize,
    pub size: usize,
}

/// The bytes of `records`: borrowed where they already lie in memory in the record's layout.
pub fn encode<E: Element>(records: &[E]) -> Cow<'_, [u8]> {
    match E::bytes_of(records) {
        Some(bytes) => Cow::Borrowed(bytes),
        None => {
            let mut bytes = vec![0; records.len() * E::SIZE];
            E::write_slice(records, &mut bytes);
            Cow::Owned(bytes)
        }
    }
}

/// The records in `bytes`.
///
/// # Errors
/// The length is not a multiple of [`Element::SIZE`].
pub fn decode<E: Element>(bytes: &[u8]) -> Result<Vec<E>, PartialRecord> {
    if !bytes.len().is_multiple_of(E::SIZE) {
        return Err(PartialRecord { bytes: bytes.len(), size: E::SIZE });
    }
    Ok(E::read_vec(bytes))
}
