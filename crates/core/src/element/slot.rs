//! What may stand at one place of a record: an element, or an array of what may stand there.

use super::{Element, Field, MAX_FIELD_RANK};

/// The type of a struct's field. Implemented for every [`Element`] and for arrays, also of arrays.
///
/// An array is not an element of its own: its numbers have no names. In a record it is one field with
/// a shape.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not plain data that a record can hold",
    label = "expected f32, f64, f16, bf16, i32, u8, an array of these, or a struct that derives Element"
)]
pub trait Slot: Copy + Send + Sync + 'static {
    /// Fields of the innermost entry.
    const FIELDS: &'static [Field];
    /// Bytes of the innermost entry.
    const ENTRY: usize;
    /// Bytes in all.
    const BYTES: usize;
    /// Dimensions as nested arrays; of an element none.
    const DIMS: &'static [usize];

    /// Writes all [`Slot::BYTES`] bytes.
    fn put(&self, out: &mut [u8]);

    /// Reads all [`Slot::BYTES`] bytes.
    fn take(bytes: &[u8]) -> Self;
}

impl<E: Element> Slot for E {
    const FIELDS: &'static [Field] = E::FIELDS;
    const ENTRY: usize = E::SIZE;
    const BYTES: usize = E::SIZE;
    const DIMS: &'static [usize] = &[];

    #[inline]
    fn put(&self, out: &mut [u8]) {
        self.write(out);
    }

    #[inline]
    fn take(bytes: &[u8]) -> Self {
        E::read(bytes)
    }
}

/// `first`, then `rest`; entries beyond `1 + rest.len()` are not used.
const fn prepend(first: usize, rest: &[usize]) -> [usize; MAX_FIELD_RANK] {
    assert!(rest.len() < MAX_FIELD_RANK, "a field has at most 7 dimensions");
    let mut out = [first; MAX_FIELD_RANK];
    let mut d = 0;
    while d < rest.len() {
        out[d + 1] = rest[d];
        d += 1;
    }
    out
}

impl<T: Slot, const N: usize> Slot for [T; N] {
    const FIELDS: &'static [Field] = T::FIELDS;
    const ENTRY: usize = T::ENTRY;
    const BYTES: usize = T::BYTES * N;
    const DIMS: &'static [usize] = {
        let dims: &'static [usize; MAX_FIELD_RANK] = &const { prepend(N, T::DIMS) };
        dims.split_at(1 + T::DIMS.len()).0
    };

    #[inline]
    fn put(&self, out: &mut [u8]) {
        self.iter().zip(out.chunks_exact_mut(T::BYTES)).for_each(|(x, chunk)| x.put(chunk));
    }

    #[inline]
    fn take(bytes: &[u8]) -> Self {
        std::array::from_fn(|i| T::take(&bytes[i * T::BYTES..(i + 1) * T::BYTES]))
    }
}

/// The bytes in memory of such a type are its record: scalars, arrays of them, and structs that derive
/// [`Element`] with `#[repr(C)]`. What a struct with `#[repr(C)]` may hold.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is within a record that is #[repr(C)], and is not #[repr(C)] itself",
    label = "add #[repr(C)] to this type, or take it away from the struct around it"
)]
pub trait CLayout: bytemuck::Pod {}

impl<T: bytemuck::Pod> CLayout for T {}
