//! Files as the format describes them, and damaged ones.

use super::*;
use kernelsmith_core::HostArray;
use proptest::prelude::*;
use std::fs;

/// A file with this header.
fn file(header: &str, values: &[u8]) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(values);
    bytes
}

fn problem(bytes: &[u8]) -> SafetensorsProblem {
    from_bytes(bytes).expect_err("a damaged file").problem
}

fn content() -> NamedArrays {
    let array = |shape: &[usize], values| ShapedArray::new(shape.to_vec(), values).unwrap();
    NamedArrays {
        arrays: [
            ("fc1.bias".to_string(), array(&[3], HostArray::U8(vec![1, 2, 3]))),
            ("fc1.weight".to_string(), array(&[1, 2], HostArray::F32(vec![0.5, -1.0]))),
            ("mask".to_string(), array(&[2], HostArray::Bool(vec![0, 1]))),
            ("step".to_string(), array(&[], HostArray::F64(vec![7.0]))),
        ]
        .into(),
        metadata: [("format".to_string(), "kernelsmith \"1\"".to_string())].into(),
    }
}

#[test]
fn a_file_of_the_format_is_read() {
    let header = r#"{"__metadata__":{"a":"b"},"x":{"dtype":"I32","shape":[2],"data_offsets":[0,8]},"y":{"dtype":"BOOL","shape":[2],"data_offsets":[8,10]}}"#;
    let read = from_bytes(&file(header, &[1, 0, 0, 0, 254, 255, 255, 255, 0, 9])).unwrap();
    assert_eq!(read.arrays["x"].values(), &HostArray::I32(vec![1, -2]));
    assert_eq!(read.arrays["y"].values(), &HostArray::Bool(vec![0, 1]));
    assert_eq!(read.metadata["a"], "b");
}

#[test]
fn what_is_written_is_aligned_and_read() {
    let bytes = to_bytes(&content()).unwrap();
    let size = u64::from_le_bytes(bytes[..8].try_into().unwrap());
    assert_eq!(size % 8, 0);
    // The widest type first.
    assert_eq!(bytes[8 + size as usize..][..8], 7f64.to_le_bytes());
    assert_eq!(from_bytes(&bytes).unwrap(), content());
    assert_eq!(from_bytes(&to_bytes(&NamedArrays::default()).unwrap()).unwrap(), NamedArrays::default());
    assert_eq!(safetensors::SafeTensors::deserialize(&bytes).unwrap().len(), 4);
}

#[test]
fn a_file_is_replaced_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    assert!(matches!(read(&path).unwrap_err().problem, SafetensorsProblem::Open(_)));
    fs::write(&path, b"old").unwrap();
    assert!(read(&path).unwrap_err().to_string().ends_with("the header is cut off: expected 8 bytes, found 3"));
    write(&path, &content()).unwrap();
    assert_eq!(read(&path).unwrap(), content());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn errors_say_what_was_found_and_what_was_expected() {
    let one = |dtype: &str, shape: &str, end: u64| {
        format!(r#"{{"x":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[0,{end}]}}}}"#)
    };
    let message = |bytes: &[u8]| problem(bytes).to_string();
    let good = file(&one("F32", "[2]", 8), &[0; 8]);
    assert!(from_bytes(&good).is_ok());
    assert_eq!(message(&good[..good.len() - 1]), "truncated: the header describes 8 bytes of values, found 7");
    assert_eq!(message(&[&good[..], &[0]].concat()), "oversized: 9 bytes of values, the header describes 8");
    assert_eq!(message(&good[..20]), format!("the header is cut off: expected {} bytes, found 20", good.len() - 8));
    assert_eq!(
        message(&file(&one("I64", "[1]", 8), &[0; 8])),
        "array `x` has values of type I64, expected F32, F64, F16, BF16, I32, U8 or BOOL"
    );
    assert!(message(&file(&one("Q7", "[1]", 8), &[0; 8])).starts_with("damaged header: unknown variant `Q7`"));
    assert!(matches!(problem(&[0xff; 16]), SafetensorsProblem::HeaderSize(u64::MAX)));
    for header in [one("F32", "[3]", 8), one("F32", "[-1]", 8), one("F32", "[18446744073709551615, 2]", 8)] {
        assert!(matches!(problem(&file(&header, &[0; 8])), SafetensorsProblem::Header(_)), "{header}");
    }
    let nine = one("U8", "[1,1,1,1,1,1,1,1,1]", 1);
    assert!(matches!(problem(&file(&nine, &[0])), SafetensorsProblem::Shape { .. }));
    let mut named = NamedArrays::default();
    named.arrays.insert("__metadata__".into(), ShapedArray::new(vec![0], HostArray::U8(vec![])).unwrap());
    assert!(matches!(to_bytes(&named).unwrap_err().problem, SafetensorsProblem::Name));
}

#[test]
fn sizes_near_the_end_of_the_address_range_do_not_overflow() {
    // Each passes the check of its own size in bits; the last ends just below 2^64.
    let most = usize::MAX / 8;
    let arrays: Vec<String> = (0..8)
        .map(|i| {
            let (start, end) = (i * most, (i + 1) * most);
            format!(r#""x{i}":{{"dtype":"U8","shape":[{most}],"data_offsets":[{start},{end}]}}"#)
        })
        .collect();
    let header = format!("{{{}}}", arrays.join(","));
    assert!(matches!(problem(&file(&header, &[0; 8])), SafetensorsProblem::Truncated { .. }));
}

fn arrays() -> impl Strategy<Value = NamedArrays> {
    let array = (proptest::sample::select(&DType::ALL[..]), proptest::collection::vec(0usize..4, 0..4), any::<u8>())
        .prop_map(|(dtype, shape, seed)| {
            let most = if dtype == DType::Bool { 2 } else { 256 };
            let values =
                HostArray::from_fn(dtype, shape.iter().product(), |i| ((i * 37 + seed as usize) % most) as f64);
            ShapedArray::new(shape, values).expect("values of the shape")
        });
    let metadata = proptest::collection::btree_map(".{0,8}", ".{0,8}", 0..3);
    (proptest::collection::btree_map(".{0,8}", array, 0..5), metadata)
        .prop_map(|(arrays, metadata)| NamedArrays { arrays, metadata })
}

proptest! {
    #[test]
    fn any_names_and_arrays_come_back(content in arrays()) {
        let bytes = to_bytes(&content).unwrap();
        for cut in (0..bytes.len()).step_by(7) {
            prop_assert!(from_bytes(&bytes[..cut]).is_err());
        }
        prop_assert_eq!(from_bytes(&bytes).unwrap(), content);
    }

    #[test]
    fn damage_never_panics(
        content in arrays(),
        flips in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = to_bytes(&content).unwrap();
        for (at, to) in flips {
            let at = at.index(bytes.len());
            bytes[at] = to;
        }
        if let Ok(read) = from_bytes(&bytes) {
            let held: usize = read.arrays.values().map(|array| array.values().as_bytes().len()).sum();
            prop_assert!(held <= bytes.len());
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = from_bytes(&bytes);
        let _ = from_bytes(&file(&String::from_utf8_lossy(&bytes), &[0; 8]));
    }
}
