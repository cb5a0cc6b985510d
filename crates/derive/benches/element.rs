//! Conversion of records to bytes and back, beside a memcpy of as many bytes and beside loops that
//! are written by hand. All run in turns on the same buffers; figures are medians, the ratio is to
//! the memcpy.
//!
//! `cargo bench -p kernelsmith-derive`
#![forbid(unsafe_code)]

use kernelsmith_core::element::{self, Element};
use kernelsmith_derive::Element;
use std::hint::black_box;
use std::time::Instant;

#[derive(Clone, Copy, Element)]
#[element(crate = "kernelsmith_core")]
#[repr(C)]
struct Vec3 {
    x: f32,
    y: f32,
    z: f32,
}

/// 32 bytes, C's layout.
#[derive(Clone, Copy, Element)]
#[element(crate = "kernelsmith_core")]
#[repr(C)]
struct Plain {
    position: Vec3,
    mass: f32,
    velocity: [f32; 3],
    id: i32,
}

/// The same fields without the attribute.
#[derive(Clone, Copy, Element)]
#[element(crate = "kernelsmith_core")]
struct Unordered {
    position: Vec3,
    mass: f32,
    velocity: [f32; 3],
    id: i32,
}

/// 32 bytes of which 6 are gaps.
#[derive(Clone, Copy, Element)]
#[element(crate = "kernelsmith_core")]
struct Gaps {
    tag: u8,
    value: f64,
    id: i32,
    weight: f32,
    last: [u8; 7],
}

fn by_hand(records: &[Plain], out: &mut [u8]) {
    for (r, chunk) in records.iter().zip(out.chunks_exact_mut(32)) {
        let numbers = [r.position.x, r.position.y, r.position.z, r.mass, r.velocity[0], r.velocity[1], r.velocity[2]];
        for (x, bytes) in numbers.iter().zip(chunk.chunks_exact_mut(4)) {
            bytes.copy_from_slice(&x.to_ne_bytes());
        }
        chunk[28..].copy_from_slice(&r.id.to_ne_bytes());
    }
}

fn median(samples: &mut [f64]) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}

fn measure(bytes: usize, rounds: usize, inner: usize) {
    let n = bytes / 32;
    let source = vec![1u8; bytes];
    let mut out = vec![2u8; bytes];
    let mut plain: Vec<Plain> = element::decode(&source).expect("whole records");
    let mut unordered: Vec<Unordered> = element::decode(&source).expect("whole records");
    let gaps = vec![Gaps { tag: 1, value: 2.0, id: 3, weight: 4.0, last: [5; 7] }; n];
    assert_eq!((Plain::SIZE, Unordered::SIZE, Gaps::SIZE), (32, 32, 32));

    let names = [
        "memcpy",
        "bytes_of, no copy",
        "write_slice, repr(C)",
        "read_slice, repr(C)",
        "write_slice by hand",
        "write_slice, no repr",
        "read_slice, no repr",
        "write_slice, gaps",
        "memcpy to a new Vec",
        "decode to a new Vec, repr(C)",
    ];
    let mut samples = vec![Vec::with_capacity(rounds); names.len()];
    for round in 0..=rounds {
        let mut row = 0;
        let mut time = |work: &mut dyn FnMut()| {
            let start = Instant::now();
            for _ in 0..inner {
                work();
            }
            if round > 0 {
                samples[row].push(start.elapsed().as_secs_f64() / inner as f64);
            }
            row += 1;
        };
        time(&mut || black_box(&mut out[..]).copy_from_slice(black_box(&source)));
        time(&mut || {
            black_box(element::encode(black_box(&plain[..])));
        });
        time(&mut || Plain::write_slice(black_box(&plain), black_box(&mut out)));
        time(&mut || Plain::read_slice(black_box(&source), black_box(&mut plain)));
        time(&mut || by_hand(black_box(&plain), black_box(&mut out)));
        time(&mut || Unordered::write_slice(black_box(&unordered), black_box(&mut out)));
        time(&mut || Unordered::read_slice(black_box(&source), black_box(&mut unordered)));
        time(&mut || Gaps::write_slice(black_box(&gaps), black_box(&mut out)));
        time(&mut || {
            black_box(black_box(&source).to_vec());
        });
        time(&mut || {
            black_box(element::decode::<Plain>(black_box(&source)).expect("whole records"));
        });
    }
    let medians: Vec<f64> = samples.iter_mut().map(|s| median(s)).collect();
    println!("{} MiB, {rounds} rounds", bytes >> 20);
    println!("  {:<30} {:>10} {:>8} {:>7}", "", "us", "GB/s", "ratio");
    for (name, &m) in names.iter().zip(&medians) {
        println!("  {name:<30} {:>10.2} {:>8.1} {:>7.3}", m * 1e6, bytes as f64 / m / 1e9, m / medians[0]);
    }
}

fn main() {
    measure(1 << 20, 300, 4);
    measure(64 << 20, 21, 1);
}
