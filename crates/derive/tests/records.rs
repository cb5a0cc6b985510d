//! The derive as a crate uses it that forbids unsafe code.
#![forbid(unsafe_code)]

use half::{bf16, f16};
use kernelsmith_core::DType;
use kernelsmith_core::element::{self, Element, FieldError, PartialRecord};
use kernelsmith_derive::Element;
use proptest::prelude::*;

#[derive(Clone, Copy, Debug, PartialEq, Element)]
#[element(crate = "kernelsmith_core")]
#[repr(C)]
struct Vec3 {
    x: f32,
    y: f32,
    z: f32,
}

#[derive(Clone, Copy, Debug, PartialEq, Element)]
#[element(crate = "kernelsmith_core")]
#[repr(C)]
struct Particle {
    position: Vec3,
    mass: f32,
    corners: [Vec3; 2],
    charge: i32,
    tags: [u8; 4],
}

/// Every dtype, gaps, a nested struct within nested arrays.
#[derive(Clone, Copy, Debug, PartialEq, Element)]
#[element(crate = "kernelsmith_core")]
struct Mixed {
    tag: u8,
    value: f64,
    small: f16,
    brain: bf16,
    grid: [[Pair; 3]; 2],
    last: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Element)]
#[element(crate = "kernelsmith_core")]
struct Pair(i32, [u8; 3]);

#[derive(Clone, Copy, Debug, PartialEq, Element)]
#[element(crate = "kernelsmith_core")]
#[repr(transparent)]
struct Metres(f64);

fn names<E: Element>() -> Vec<&'static str> {
    E::FIELDS.iter().map(|f| f.name).collect()
}

#[test]
fn nested_fields_have_paths_and_arrays_have_shapes() {
    assert_eq!(
        names::<Particle>(),
        ["position.x", "position.y", "position.z", "mass", "corners.x", "corners.y", "corners.z", "charge", "tags"]
    );
    assert_eq!(Particle::SIZE, size_of::<Particle>());
    let y = element::field::<Particle>("corners.y").unwrap();
    assert_eq!((y.dtype, y.offset, y.shape(), y.strides()), (DType::F32, 20, &[2][..], &[12][..]));
    let view = y.layout(10, Particle::SIZE).unwrap();
    assert_eq!((view.shape(), view.strides(), view.offset()), (&[10, 2][..], &[12, 3][..], 5));
}

#[test]
fn offsets_follow_the_rules_of_c_and_gaps_are_zero() {
    assert_eq!(names::<Mixed>(), ["tag", "value", "small", "brain", "grid.0", "grid.1", "last"]);
    let offsets: Vec<usize> = Mixed::FIELDS.iter().map(|f| f.offset).collect();
    assert_eq!(offsets, [0, 8, 16, 18, 20, 24, 68]);
    assert_eq!((Mixed::SIZE, Pair::SIZE), (72, 8));
    let grid = element::field::<Mixed>("grid.1").unwrap();
    assert_eq!((grid.shape(), grid.strides()), (&[2, 3, 3][..], &[24, 8, 1][..]));
    for field in Mixed::FIELDS {
        assert!(field.layout(3, Mixed::SIZE).is_ok());
        assert_eq!(field.offset % field.dtype.bytes() + Mixed::SIZE % field.dtype.bytes(), 0, "{}", field.name);
    }
    let record = Mixed {
        tag: 255,
        value: -1.0,
        small: f16::MAX,
        brain: bf16::MAX,
        grid: [[Pair(-1, [255; 3]); 3]; 2],
        last: 255,
    };
    let mut bytes = vec![0xAA; Mixed::SIZE];
    record.write(&mut bytes);
    assert_eq!((bytes[1..8].to_vec(), bytes[69..].to_vec()), (vec![0; 7], vec![0; 3]));
    assert_eq!(bytes[27], 0);
    assert_eq!(Mixed::read(&bytes), record);
}

#[test]
fn a_layout_of_c_is_borrowed_and_another_is_converted() {
    let records = [Metres(1.0), Metres(2.0)];
    assert!(matches!(element::encode(&records), std::borrow::Cow::Borrowed(_)));
    assert_eq!(bytemuck::cast_slice::<_, f64>(&records), [1.0, 2.0]);
    let pairs = [Pair(1, [2, 3, 4])];
    assert!(matches!(element::encode(&pairs), std::borrow::Cow::Owned(_)));
}

#[test]
fn indices_follow_a_name() {
    let whole = element::field::<Mixed>("grid.1").unwrap();
    let entry = element::field::<Mixed>("grid.1.1.2.0").unwrap();
    assert_eq!((entry.offset, entry.shape()), (whole.offset + 24 + 16, &[][..]));
    let row = element::field::<Particle>("tags.3").unwrap();
    assert_eq!((row.offset, row.shape().len()), (Particle::SIZE - 1, 0));
}

#[test]
fn a_field_that_is_not_there_says_what_is() {
    let error = element::field::<Vec3>("w").unwrap_err();
    assert_eq!(error.to_string(), "no field `w`, the record has x, y, z");
    let error = element::field::<Particle>("tags.4").unwrap_err();
    assert!(matches!(error, FieldError::Index { dim: 0, index: 4, size: 4, .. }), "{error}");
    let error = element::field::<Particle>("tags.1.0").unwrap_err();
    assert!(matches!(error, FieldError::Indices { indices: 2, .. }), "{error}");
    for path in ["", ".", "mass.", "mass.x", "positionx", "tags.-1", "tags.99999999999999999999999"] {
        assert!(element::field::<Particle>(path).is_err(), "{path}");
    }
}

#[test]
fn a_part_of_a_record_is_refused() {
    assert_eq!(element::decode::<Vec3>(&[0; 13]), Err(PartialRecord { bytes: 13, size: 12 }));
    assert_eq!(element::decode::<Vec3>(&[]), Ok(vec![]));
}

/// A view's element, read through its layout, is the field's value.
fn through_view<E: Element>(bytes: &[u8], path: &str, records: usize, index: &[usize]) -> Vec<u8> {
    let field = element::field::<E>(path).unwrap();
    let view = field.layout(records, E::SIZE).unwrap();
    let at: isize = index.iter().zip(view.strides()).map(|(&i, &s)| i as isize * s).sum();
    let start = (view.offset() as isize + at) as usize * field.dtype.bytes();
    bytes[start..start + field.dtype.bytes()].to_vec()
}

fn mixed() -> impl Strategy<Value = Mixed> {
    let pair = (any::<i32>(), any::<[u8; 3]>()).prop_map(|(a, b)| Pair(a, b));
    let grid = proptest::array::uniform2(proptest::array::uniform3(pair));
    (any::<u8>(), any::<f64>(), any::<u16>(), any::<u16>(), grid, any::<u8>()).prop_map(
        |(tag, value, small, brain, grid, last)| Mixed {
            tag,
            value,
            small: f16::from_bits(small),
            brain: bf16::from_bits(brain),
            grid,
            last,
        },
    )
}

proptest! {
    #[test]
    fn records_come_back_with_the_same_bits(records in proptest::collection::vec(mixed(), 0..20)) {
        let bytes = element::encode(&records).into_owned();
        prop_assert_eq!(bytes.len(), records.len() * Mixed::SIZE);
        let back: Vec<Mixed> = element::decode(&bytes).unwrap();
        prop_assert_eq!(element::encode(&back), bytes.clone());
        for (i, r) in records.iter().enumerate() {
            prop_assert_eq!(through_view::<Mixed>(&bytes, "value", records.len(), &[i]), r.value.to_ne_bytes());
            prop_assert_eq!(through_view::<Mixed>(&bytes, "brain", records.len(), &[i]), r.brain.to_ne_bytes());
            prop_assert_eq!(
                through_view::<Mixed>(&bytes, "grid.0", records.len(), &[i, 1, 2]), r.grid[1][2].0.to_ne_bytes());
            prop_assert_eq!(through_view::<Mixed>(&bytes, "grid.1", records.len(), &[i, 0, 2, 1]), vec![r.grid[0][2].1[1]]);
        }
    }

    #[test]
    fn every_pattern_of_bytes_is_a_record(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let whole = bytes.len() / Particle::SIZE * Particle::SIZE;
        let records: Vec<Particle> = element::decode(&bytes[..whole]).unwrap();
        prop_assert_eq!(&*element::encode(&records), &bytes[..whole]);
        let mut again = records.clone();
        Particle::read_slice(&bytes[..whole], &mut again);
        prop_assert_eq!(&*element::encode(&again), &bytes[..whole]);
        let one_by_one: Vec<Particle> = bytes.chunks_exact(Particle::SIZE).map(Particle::read).collect();
        prop_assert_eq!(&*element::encode(&one_by_one), &bytes[..whole]);
    }
}
