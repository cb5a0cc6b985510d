//! The header of an `.npy` file: magic, version, length, and a dictionary in Python's notation.

use super::NpyProblem;
use crate::io::bytes::ByteOrder;
use kernelsmith_core::DType;
use std::io::Read;

const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// Data start at a multiple of this.
const ALIGNMENT: usize = 64;

pub(super) struct Header {
    pub dtype: DType,
    pub order: ByteOrder,
    /// The first dimension varies fastest.
    pub column_major: bool,
    pub shape: Vec<usize>,
}

/// Reads the header of a file of `length` bytes; also says where the values start.
pub(super) fn read(reader: &mut dyn Read, length: u64) -> Result<(Header, u64), NpyProblem> {
    let fixed = exact(reader, 8, length, 0)?;
    if fixed[..6] != MAGIC[..] {
        return Err(NpyProblem::Magic(fixed[..6].to_vec()));
    }
    let (prefix, size) = match (fixed[6], fixed[7]) {
        (1, 0) => {
            let n = exact(reader, 2, length, 8)?;
            (10, u32::from(u16::from_le_bytes([n[0], n[1]])))
        }
        (2 | 3, 0) => {
            let n = exact(reader, 4, length, 8)?;
            (12, u32::from_le_bytes([n[0], n[1], n[2], n[3]]))
        }
        (major, minor) => return Err(NpyProblem::Version(major, minor)),
    };
    let text = exact(reader, size as usize, length, prefix)?;
    let text = std::str::from_utf8(&text).map_err(|e| NpyProblem::HeaderText(prefix as usize + e.valid_up_to()))?;
    Ok((Parser { text, at: 0, start: prefix as usize }.dictionary()?, prefix + u64::from(size)))
}

/// `size` bytes of a file of `length` bytes, `at` of which are read.
fn exact(reader: &mut dyn Read, size: usize, length: u64, at: u64) -> Result<Vec<u8>, NpyProblem> {
    let expected = at + size as u64;
    if expected > length {
        return Err(NpyProblem::HeaderCut { expected, found: length });
    }
    let mut bytes = vec![0; size];
    reader.read_exact(&mut bytes).map_err(NpyProblem::Read)?;
    Ok(bytes)
}

/// A header of version 1.0: a shape of at most 8 dimensions is far from its limit.
pub(super) fn format(dtype: DType, shape: &[usize]) -> Result<Vec<u8>, NpyProblem> {
    let descr = match dtype {
        DType::F16 => "<f2",
        DType::F32 => "<f4",
        DType::F64 => "<f8",
        DType::I32 => "<i4",
        DType::U8 => "|u1",
        DType::Bool => "|b1",
        DType::BF16 | DType::E4M3 | DType::E5M2 => return Err(NpyProblem::NoType(dtype)),
    };
    let sizes: Vec<String> = shape.iter().map(usize::to_string).collect();
    let comma = if shape.len() == 1 { "," } else { "" };
    let mut text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({}{comma}), }}", sizes.join(", "));
    let whole = (MAGIC.len() + 4 + text.len() + 1).next_multiple_of(ALIGNMENT);
    while MAGIC.len() + 4 + text.len() + 1 < whole {
        text.push(' ');
    }
    text.push('\n');
    let mut bytes = MAGIC.to_vec();
    bytes.extend([1, 0]);
    bytes.extend((text.len() as u16).to_le_bytes());
    bytes.extend(text.as_bytes());
    Ok(bytes)
}

fn element_type(descr: &str) -> Result<(DType, ByteOrder), NpyProblem> {
    let unknown = || NpyProblem::Type(descr.to_string());
    let mut chars = descr.chars();
    let order = match chars.next() {
        Some('<') => ByteOrder::Little,
        Some('>') => ByteOrder::Big,
        Some('=' | '|') => ByteOrder::NATIVE,
        _ => return Err(unknown()),
    };
    let dtype = match chars.as_str() {
        "f2" => DType::F16,
        "f4" => DType::F32,
        "f8" => DType::F64,
        "i4" => DType::I32,
        "u1" => DType::U8,
        "b1" => DType::Bool,
        _ => return Err(unknown()),
    };
    Ok((dtype, order))
}

/// Reads the part of Python's notation that headers consist of.
struct Parser<'a> {
    text: &'a str,
    at: usize,
    /// Where the text starts in the file, for messages.
    start: usize,
}

impl<'a> Parser<'a> {
    fn dictionary(mut self) -> Result<Header, NpyProblem> {
        let (mut element, mut column_major, mut shape) = (None, None, None);
        self.expect('{', "`{`")?;
        while !self.accept('}') {
            let at = self.at;
            let key = self.string("a key, or `}`")?;
            self.expect(':', "`:`")?;
            let again = match key {
                "descr" => {
                    if self.peek() == Some('[') {
                        return Err(NpyProblem::Type("a structure of several fields".into()));
                    }
                    element.replace(element_type(self.string("a type such as '<f4'")?)?).is_some()
                }
                "fortran_order" => column_major.replace(self.boolean()?).is_some(),
                "shape" => shape.replace(self.tuple()?).is_some(),
                _ => true,
            };
            if again {
                self.at = at;
                return Err(self.damage("each of 'descr', 'fortran_order' and 'shape' once"));
            }
            if !self.accept(',') && self.peek() != Some('}') {
                return Err(self.damage("`,` or `}`"));
            }
        }
        if self.peek().is_some() {
            return Err(self.damage("nothing but spaces after `}`"));
        }
        let (Some((dtype, order)), Some(column_major), Some(shape)) = (element, column_major, shape) else {
            return Err(self.damage("'descr', 'fortran_order' and 'shape' before the end"));
        };
        Ok(Header { dtype, order, column_major, shape })
    }

    /// The next character that is not white space, which is passed.
    fn peek(&mut self) -> Option<char> {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
        self.text[self.at..].chars().next()
    }

    fn accept(&mut self, c: char) -> bool {
        let found = self.peek() == Some(c);
        if found {
            self.at += c.len_utf8();
        }
        found
    }

    fn expect(&mut self, c: char, expected: &'static str) -> Result<(), NpyProblem> {
        if self.accept(c) { Ok(()) } else { Err(self.damage(expected)) }
    }

    fn damage(&mut self, expected: &'static str) -> NpyProblem {
        let found = match self.peek() {
            Some(_) => format!("`{}`", self.text[self.at..].chars().take(12).collect::<String>().escape_debug()),
            None => "the end".to_string(),
        };
        NpyProblem::Header { at: self.start + self.at, expected, found }
    }

    /// Text in single or double quotes; no name or type in a header has an escape.
    fn string(&mut self, expected: &'static str) -> Result<&'a str, NpyProblem> {
        let quote = match self.peek() {
            Some(quote @ ('\'' | '"')) => quote,
            _ => return Err(self.damage(expected)),
        };
        let rest = &self.text[self.at + 1..];
        let Some(end) = rest.find(quote) else { return Err(self.damage("a closing quote")) };
        self.at += end + 2;
        Ok(&rest[..end])
    }

    fn boolean(&mut self) -> Result<bool, NpyProblem> {
        self.peek();
        for (word, value) in [("True", true), ("False", false)] {
            if self.text[self.at..].starts_with(word) {
                self.at += word.len();
                return Ok(value);
            }
        }
        Err(self.damage("True or False"))
    }

    fn tuple(&mut self) -> Result<Vec<usize>, NpyProblem> {
        self.expect('(', "`(`")?;
        let mut sizes = Vec::new();
        while !self.accept(')') {
            self.peek();
            let rest = &self.text[self.at..];
            let digits = &rest[..rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())];
            let Ok(size) = digits.parse() else { return Err(self.damage("a size below 2^64, or `)`")) };
            sizes.push(size);
            self.at += digits.len();
            // Python 2 wrote `3L`.
            if self.text[self.at..].starts_with('L') {
                self.at += 1;
            }
            if !self.accept(',') && self.peek() != Some(')') {
                return Err(self.damage("`,` or `)`"));
            }
        }
        Ok(sizes)
    }
}
