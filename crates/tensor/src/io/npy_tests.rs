//! Files as NumPy writes them, and damaged ones.

use super::*;
use half::f16;
use proptest::prelude::*;

/// A file of version `major` with this dictionary.
fn file(major: u8, dictionary: &str, values: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY".to_vec();
    bytes.extend([major, 0]);
    match major {
        1 => bytes.extend((dictionary.len() as u16).to_le_bytes()),
        _ => bytes.extend((dictionary.len() as u32).to_le_bytes()),
    }
    bytes.extend(dictionary.as_bytes());
    bytes.extend(values);
    bytes
}

fn dictionary(descr: &str, order: &str, shape: &str) -> String {
    format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}          \n")
}

fn message(bytes: &[u8]) -> String {
    from_bytes(bytes).expect_err("a damaged file").to_string()
}

#[test]
fn a_file_is_what_numpy_writes() {
    // np.save of np.array([[1, 2, 3], [4, 5, 6]], dtype="<f4"), NumPy 2.
    let mut expected = b"\x93NUMPY\x01\x00\x76\x00{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }".to_vec();
    expected.resize(127, b' ');
    expected.push(b'\n');
    (1..=6).for_each(|i| expected.extend((i as f32).to_le_bytes()));
    let array = ShapedArray::new(vec![2, 3], HostArray::F32((1..=6).map(|i| i as f32).collect())).unwrap();
    assert_eq!(to_bytes(&array).unwrap(), expected);
    assert_eq!(from_bytes(&expected).unwrap(), array);
}

#[test]
fn all_versions_types_and_orders_are_read() {
    for major in 1..=3 {
        let bytes = file(major, &dictionary(">i4", "False", "(2,)"), &[0, 0, 1, 0, 0xff, 0xff, 0xff, 0xff]);
        assert_eq!(from_bytes(&bytes).unwrap().into_parts(), (vec![2], HostArray::I32(vec![256, -1])));
    }
    let bytes = file(1, &dictionary("<f2", "False", "()"), &f16::from_f32(0.5).to_le_bytes());
    assert_eq!(from_bytes(&bytes).unwrap().into_parts(), (vec![], HostArray::F16(vec![f16::from_f32(0.5)])));
    let bytes = file(1, &dictionary("|b1", "False", "(3,)"), &[0, 1, 7]);
    assert_eq!(from_bytes(&bytes).unwrap().values(), &HostArray::Bool(vec![0, 1, 1]));
    let bytes = file(1, "{\"shape\":(2L , 0),'fortran_order':True,'descr':'>f8'}", &[]);
    assert_eq!(from_bytes(&bytes).unwrap().into_parts(), (vec![2, 0], HostArray::F64(vec![])));
}

#[test]
fn column_major_values_become_row_major() {
    // [[0, 1, 2], [10, 11, 12]] by columns.
    let bytes = file(1, &dictionary("|u1", "True", "(2, 3)"), &[0, 10, 1, 11, 2, 12]);
    assert_eq!(from_bytes(&bytes).unwrap().values(), &HostArray::U8(vec![0, 1, 2, 10, 11, 12]));
    let mut values = vec![0; 24];
    for (i, j, k) in (0..24).map(|n| (n % 2, n / 2 % 3, n / 6)) {
        values[i + 2 * j + 6 * k] = (100 * i + 10 * j + k) as u8;
    }
    let array = from_bytes(&file(1, &dictionary("|u1", "True", "(2, 3, 4)"), &values)).unwrap();
    let expected = (0..24).map(|n| (100 * (n / 12) + 10 * (n / 4 % 3) + n % 4) as u8).collect();
    assert_eq!(array.values(), &HostArray::U8(expected));
}

#[test]
fn errors_say_where_what_was_found_and_what_was_expected() {
    assert_eq!(
        message(b"PK\x03\x04\0\0\0\0"),
        "npy bytes: not an npy file: expected 93 4e 55 4d 50 59 first, found [50, 4b, 03, 04, 00, 00]"
    );
    assert_eq!(message(b"\x93NUM"), "npy bytes: the header is cut off: expected 8 bytes, found 4");
    assert_eq!(message(b"\x93NUMPY\x09\x00"), "npy bytes: npy version 9.0 is not known, expected 1.0, 2.0 or 3.0");
    assert_eq!(
        message(&file(1, &dictionary("<i8", "False", "(1,)"), &[0; 8])),
        "npy bytes: values of type `<i8` are not supported, expected f2, f4, f8, i4, u1 or b1: convert with numpy's astype"
    );
    assert_eq!(
        message(&file(1, "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}", &[0; 4])),
        "npy bytes: values of type `a structure of several fields` are not supported, expected f2, f4, f8, i4, u1 or b1: \
         convert with numpy's astype"
    );
    assert_eq!(
        message(&file(1, "{'descr': '<f4', 'fortran_order': Perhaps}", &[])),
        "npy bytes: the header is damaged at byte 44: expected True or False, found `Perhaps}`"
    );
    assert_eq!(
        message(&file(1, "{'descr': '<f4', 'fortran_order': True}", &[])),
        "npy bytes: the header is damaged at byte 49: expected 'descr', 'fortran_order' and 'shape' before the end, \
         found the end"
    );
    assert_eq!(
        message(&file(1, &dictionary("<f4", "False", "(2, 2)"), &[0; 15])),
        "npy bytes: truncated: shape [2, 2] of f32 takes 16 bytes after the header, found 15"
    );
    assert_eq!(
        message(&file(1, &dictionary("<f4", "False", "(2, 2)"), &[0; 17])),
        "npy bytes: oversized: 17 bytes after the header, shape [2, 2] of f32 takes 16"
    );
    let bf16 = ShapedArray::new(vec![1], HostArray::zeros(DType::BF16, 1)).unwrap();
    assert!(to_bytes(&bf16).unwrap_err().to_string().contains("npy has no type for bf16: cast to f32 first"));
}

#[test]
fn headers_that_lie_are_refused_before_anything_is_allocated() {
    let huge = dictionary("<f8", "False", "(4611686018427387904, 2)");
    assert!(matches!(from_bytes(&file(1, &huge, &[])).unwrap_err().problem, NpyProblem::Shape(_)));
    let large = dictionary("<f8", "False", "(1099511627776,)");
    assert!(matches!(from_bytes(&file(1, &large, &[])).unwrap_err().problem, NpyProblem::Truncated { .. }));
    let long = b"\x93NUMPY\x02\x00\xff\xff\xff\xff{";
    assert!(matches!(from_bytes(long).unwrap_err().problem, NpyProblem::HeaderCut { expected: 4294967307, .. }));
    for shape in ["(-1,)", "(1.5,)", "(99999999999999999999,)", "(1", "(1 2)", "[1]", "(,)"] {
        let bytes = file(1, &dictionary("<f4", "False", shape), &[0; 4]);
        assert!(matches!(from_bytes(&bytes).unwrap_err().problem, NpyProblem::Header { .. }), "{shape}");
    }
    for text in ["", "{", "{'a': 1}", "{'descr': '<f4', 'descr': '<f4'}", "{'descr': '<f4", "\u{e9}", "{'descr' '<f4'}"]
    {
        assert!(matches!(from_bytes(&file(3, text, &[])).unwrap_err().problem, NpyProblem::Header { .. }), "{text}");
    }
}

#[test]
fn files_are_written_and_read_by_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.npy");
    assert!(read(&path).unwrap_err().to_string().contains("x.npy: cannot be opened"));
    let array = ShapedArray::new(vec![3], HostArray::I32(vec![1, -2, 3])).unwrap();
    write(&path, &array).unwrap();
    assert_eq!(read(&path).unwrap(), array);
    assert!(read(folder.path()).is_err());
}

fn array() -> impl Strategy<Value = ShapedArray> {
    const DTYPES: [DType; 6] = [DType::F32, DType::F64, DType::F16, DType::I32, DType::U8, DType::Bool];
    (proptest::sample::select(&DTYPES[..]), proptest::collection::vec(0usize..4, 0..5), any::<u8>()).prop_map(
        |(dtype, shape, seed)| {
            let count = shape.iter().product();
            let values = HostArray::from_fn(dtype, count, |i| ((i as u8).wrapping_mul(37) ^ seed) as f64);
            ShapedArray::new(shape, values).expect("values of the shape")
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_is_read(array in array()) {
        let bytes = to_bytes(&array).unwrap();
        prop_assert_eq!((bytes.len() - array.values().as_bytes().len()) % 64, 0);
        prop_assert_eq!(from_bytes(&bytes).unwrap(), array);
        for cut in 0..bytes.len() {
            prop_assert!(from_bytes(&bytes[..cut]).is_err());
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), major in 1u8..4) {
        let _ = from_bytes(&bytes);
        let _ = from_bytes(&file(major, &String::from_utf8_lossy(&bytes), &[0; 8]));
    }

    #[test]
    fn flipped_bytes_never_panic(
        array in array(),
        flips in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = to_bytes(&array).unwrap();
        for (at, to) in flips {
            let at = at.index(bytes.len().min(80));
            bytes[at] = to;
        }
        if let Ok(read) = from_bytes(&bytes) {
            prop_assert!(read.values().as_bytes().len() <= bytes.len());
        }
    }

    #[test]
    fn dictionaries_of_python_tokens_never_panic(
        tokens in proptest::collection::vec(
            proptest::sample::select(&["{", "}", "(", ")", ",", ":", "'descr'", "'<f4'", "'fortran_order'", "False",
                "'shape'", "3", " ", "\"", "'", "é", "L"][..]), 0..30),
    ) {
        let _ = from_bytes(&file(3, &tokens.concat(), &[0; 12]));
    }
}
