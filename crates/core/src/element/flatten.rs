//! At compile time: offsets of a struct's fields, and the fields of nested records in one list.

use super::Field;

/// One field of a struct as it was written, with the fields of its type.
#[derive(Clone, Copy)]
pub struct Part {
    pub name: &'static str,
    /// The fields of its type, within an array of its innermost entries.
    pub fields: &'static [Field],
    /// Sizes of the array, empty where it is none.
    pub dims: &'static [usize],
    /// Bytes of one innermost entry.
    pub size: usize,
}

impl Part {
    const fn bytes(&self) -> usize {
        let mut bytes = self.size;
        let mut d = 0;
        while d < self.dims.len() {
            assert!(self.dims[d] > 0, "an array in a record has at least one entry");
            bytes *= self.dims[d];
            d += 1;
        }
        bytes
    }
}

/// The largest dtype among fields, in bytes.
const fn alignment(fields: &[Field]) -> usize {
    let mut align = 1;
    let mut i = 0;
    while i < fields.len() {
        if fields[i].dtype.bytes() > align {
            align = fields[i].dtype.bytes();
        }
        i += 1;
    }
    align
}

/// Bytes from a record's start to part `index`, or for the number of parts to the end of the last one.
pub const fn parts_end(parts: &[Part], index: usize) -> usize {
    let mut offset = 0usize;
    let mut i = 0;
    while i < parts.len() {
        offset = offset.next_multiple_of(alignment(parts[i].fields));
        if i == index {
            return offset;
        }
        offset += parts[i].bytes();
        i += 1;
    }
    offset
}

/// Bytes of a record, rounded up to its alignment.
pub const fn record_size(parts: &[Part]) -> usize {
    let mut align = 1;
    let mut i = 0;
    while i < parts.len() {
        let part = alignment(parts[i].fields);
        if part > align {
            align = part;
        }
        i += 1;
    }
    parts_end(parts, parts.len()).next_multiple_of(align)
}

/// Number of fields, nested ones counted one by one.
pub const fn field_count(parts: &[Part]) -> usize {
    let mut count = 0;
    let mut i = 0;
    while i < parts.len() {
        count += parts[i].fields.len();
        i += 1;
    }
    count
}

/// Length of a nested field's path.
const fn path_len(part: &Part, inner: &Field) -> usize {
    let dot = if inner.name.is_empty() { 0 } else { 1 };
    part.name.len() + dot + inner.name.len()
}

/// Bytes of all fields' names.
pub const fn names_len(parts: &[Part]) -> usize {
    let mut len = 0;
    let mut i = 0;
    while i < parts.len() {
        let mut f = 0;
        while f < parts[i].fields.len() {
            len += path_len(&parts[i], &parts[i].fields[f]);
            f += 1;
        }
        i += 1;
    }
    len
}

const fn copy_str<const N: usize>(mut out: [u8; N], at: usize, text: &str) -> [u8; N] {
    let mut i = 0;
    while i < text.len() {
        out[at + i] = text.as_bytes()[i];
        i += 1;
    }
    out
}

/// All fields' names, one after the other.
pub const fn join_names<const N: usize>(parts: &[Part]) -> [u8; N] {
    let mut out = [0; N];
    let mut at = 0;
    let mut i = 0;
    while i < parts.len() {
        let mut f = 0;
        while f < parts[i].fields.len() {
            let (part, inner) = (&parts[i], &parts[i].fields[f]);
            out = copy_str(out, at, part.name);
            if !inner.name.is_empty() {
                out = copy_str(out, at + part.name.len(), ".");
                out = copy_str(out, at + part.name.len() + 1, inner.name);
            }
            at += path_len(part, inner);
            f += 1;
        }
        i += 1;
    }
    out
}

/// All fields with their paths, cut out of what [`join_names`] made, and their offsets in the record.
pub const fn flatten<const N: usize>(parts: &[Part], mut names: &'static [u8]) -> [Field; N] {
    let mut out = [Field::scalar(crate::DType::U8); N];
    let mut n = 0;
    let mut i = 0;
    while i < parts.len() {
        let mut f = 0;
        while f < parts[i].fields.len() {
            let (part, inner) = (parts[i], parts[i].fields[f]);
            let (name, rest) = names.split_at(path_len(&part, &inner));
            names = rest;
            let Ok(name) = core::str::from_utf8(name) else { panic!("a field's name is not text") };
            out[n] = inner.within(name, parts_end(parts, i), part.dims, part.size);
            n += 1;
            f += 1;
        }
        i += 1;
    }
    out
}
