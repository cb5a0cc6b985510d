//! Every kernel against the oracle.

use super::KERNELS;
use crate::cpu::checks::{Tested, check_bits, check_with_edges, check_wrong_buffers};
use kernelsmith_core::{DType, Problem};

fn kernels() -> Vec<Tested> {
    let configs = |name: &str| -> &'static [&'static str] {
        match name {
            "attention_reference" => &[""],
            "attention_online" => &["THREADS=1", "THREADS=2"],
            other => panic!("no configs for {other}: add them here"),
        }
    };
    KERNELS.iter().map(|entry| Tested { entry, configs: configs(entry.name) }).collect()
}

#[test]
fn attention_in_every_dtype() {
    for dtype in [DType::F32, DType::F16, DType::BF16] {
        let texts = [
            format!("batch=2,heads=4,kv_heads=2,queries=33,keys=150,head=64,dtype={dtype},causal=1"),
            format!("heads=2,queries=20,keys=70,head=24,dtype={dtype},order=bshd"),
        ];
        check_with_edges(&kernels(), "attention", &texts);
    }
}

#[test]
fn threads_do_not_change_the_bits() {
    let text = "heads=6,kv_heads=3,queries=150,keys=300,head=80,dtype=f16,causal=1";
    check_bits(&kernels(), &Problem::parse("attention", text).unwrap(), "THREADS");
}

#[test]
fn wrong_buffers_are_errors() {
    let problem = Problem::parse("attention", "heads=2,queries=3,keys=5,head=8,dtype=f16").unwrap();
    check_wrong_buffers(&kernels(), &problem);
}
