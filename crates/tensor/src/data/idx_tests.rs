//! IDX files made here, whole and damaged.

use super::*;
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use std::io::Write;

fn idx(code: u8, sizes: &[u32], values: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, code, sizes.len() as u8];
    sizes.iter().for_each(|n| bytes.extend(n.to_be_bytes()));
    bytes.extend(values);
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn problem(bytes: &[u8]) -> IdxProblem {
    read_from(bytes, "test").expect_err("a damaged file").problem
}

#[test]
fn every_type_is_read_in_big_endian_order() {
    let bytes = idx(0x0c, &[2], &[0, 0, 1, 0, 0xff, 0xff, 0xff, 0xfe]);
    assert_eq!(read_from(&bytes[..], "i").unwrap().values(), &HostArray::I32(vec![256, -2]));
    let bytes = idx(0x0d, &[1, 1], &1.5f32.to_be_bytes());
    assert_eq!(read_from(&bytes[..], "f").unwrap().into_parts(), (vec![1, 1], HostArray::F32(vec![1.5])));
    let bytes = idx(0x0e, &[], &(-2.5f64).to_be_bytes());
    assert_eq!(read_from(&bytes[..], "d").unwrap().into_parts(), (vec![], HostArray::F64(vec![-2.5])));
}

#[test]
fn gzip_is_known_by_its_bytes() {
    let bytes = idx(8, &[2, 3], &[1, 2, 3, 4, 5, 6]);
    let folder = tempfile::tempdir().unwrap();
    let (plain, packed) = (folder.path().join("plain.gz"), folder.path().join("packed"));
    std::fs::write(&plain, &bytes).unwrap();
    std::fs::write(&packed, gzip(&bytes)).unwrap();
    let expected = ShapedArray::new(vec![2, 3], HostArray::U8(vec![1, 2, 3, 4, 5, 6])).unwrap();
    assert_eq!(read(&plain).unwrap(), expected);
    assert_eq!(read(&packed).unwrap(), expected);
    let mut members = gzip(&bytes[..7]);
    members.extend(gzip(&bytes[7..]));
    assert_eq!(read_from(&members[..], "members").unwrap(), expected);
}

#[test]
fn errors_name_the_file_what_was_found_and_what_was_expected() {
    let path = Path::new("/no/such/file");
    assert!(read(path).unwrap_err().to_string().starts_with("/no/such/file: cannot be opened: "));
    let message = |bytes: &[u8]| read_from(bytes, "images").unwrap_err().to_string();
    assert_eq!(message(b"PK\x03\x04"), "images: not an IDX file: expected two zero bytes first, found 50 4b");
    assert_eq!(
        message(&idx(9, &[1], &[0])),
        "images: values of type i8 (0x09) are not supported, expected u8 (0x08), i32 (0x0c), f32 (0x0d) or f64 (0x0e)"
    );
    assert_eq!(message(&[]), "images: the header is cut off: expected 4 bytes, found 0");
    assert_eq!(message(&[0, 0, 8, 3, 0]), "images: the header is cut off: expected 16 bytes, found 5");
    assert_eq!(
        message(&idx(0x0c, &[2, 2], &[0; 15])),
        "images: truncated: shape [2, 2] of i32 takes 16 bytes after the header, found 15"
    );
    assert_eq!(
        message(&idx(8, &[2], &[0; 3])),
        "images: oversized: there is more after the 2 bytes of shape [2] of u8"
    );
}

#[test]
fn an_absurd_header_is_an_error_and_allocates_nothing_like_it() {
    let huge = idx(0x0e, &[u32::MAX, 1 << 20], &[0; 8]);
    assert!(matches!(problem(&huge), IdxProblem::Truncated { found: 8, .. }));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("huge");
    std::fs::write(&path, &huge).unwrap();
    assert!(matches!(read(&path).unwrap_err().problem, IdxProblem::Truncated { found: 8, .. }));
    std::fs::write(&path, gzip(&huge)).unwrap();
    assert!(matches!(read(&path).unwrap_err().problem, IdxProblem::Truncated { found: 8, .. }));
    assert!(matches!(problem(&idx(8, &[u32::MAX; 8], &[])), IdxProblem::Shape(ShapeError::Overflow(_))));
    assert!(matches!(problem(&idx(8, &[1; 9], &[0])), IdxProblem::Shape(ShapeError::Rank(_))));
    assert!(matches!(problem(&[0, 0, 8, 255]), IdxProblem::Header { expected: 1024, found: 4 }));
}

#[test]
fn damaged_gzip_is_found_also_in_its_checksum() {
    let mut packed = gzip(&idx(8, &[1000], &[7; 1000]));
    let end = packed.len();
    assert!(matches!(problem(&packed[..end - 9]), IdxProblem::Gzip(_)));
    assert!(matches!(problem(&packed[..end - 1]), IdxProblem::Gzip(_)));
    assert!(matches!(problem(&packed[..1]), IdxProblem::Gzip(_)));
    packed[end - 6] ^= 1;
    assert!(matches!(problem(&packed), IdxProblem::Gzip(_)));
    packed[end - 6] ^= 1;
    packed.extend(b"garbage");
    assert!(matches!(problem(&packed), IdxProblem::Gzip(_) | IdxProblem::Oversized { .. }));
}

proptest! {
    #[test]
    fn what_is_written_is_read(shape in proptest::collection::vec(0u32..5, 0..5), seed in any::<u8>()) {
        let count: u32 = shape.iter().product();
        let values: Vec<u8> = (0..count).map(|i| (i as u8).wrapping_mul(31).wrapping_add(seed)).collect();
        let bytes = idx(8, &shape, &values);
        let array = read_from(&bytes[..], "x").unwrap();
        prop_assert_eq!(array.values(), &HostArray::U8(values));
        prop_assert_eq!(&read_from(&gzip(&bytes)[..], "x").unwrap(), &array);
        for cut in 0..bytes.len() {
            prop_assert!(read_from(&bytes[..cut], "x").is_err());
        }
    }

    #[test]
    fn damage_never_panics(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..200),
        kind in 0usize..4,
        at in any::<proptest::sample::Index>(),
        flip in 1u8..,
    ) {
        if kind > 0 {
            bytes = idx(8, &[5, 7], &[3; 35]);
        }
        if kind > 1 {
            bytes = gzip(&bytes);
        }
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
        }
        let _ = read_from(&bytes[..], "x");
    }
}
