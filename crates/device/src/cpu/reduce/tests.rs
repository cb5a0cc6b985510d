//! Every kernel against the oracle.

use super::KERNELS;
use crate::cpu::checks::{Tested, check_bits, check_with_edges, check_wrong_buffers};
use kernelsmith_core::Problem;
use kernelsmith_core::ops::reduce::ReduceKind;

fn kernels() -> Vec<Tested> {
    let configs = |name: &str| -> &'static [&'static str] {
        match name {
            "reduce_reference" => &[""],
            "reduce_blocks" => &["BLOCK=4096,THREADS=1", "BLOCK=64,THREADS=2"],
            other => panic!("no configs for {other}: add them here"),
        }
    };
    KERNELS.iter().map(|entry| Tested { entry, configs: configs(entry.name) }).collect()
}

fn every_kind(dtype: &str) {
    for kind in ReduceKind::ALL {
        let out = if kind.is_position() { "i32" } else { dtype };
        let kind = kind.name();
        let texts = [
            format!("kind={kind},outer=40,inner=300,x0={dtype},out={out}"),
            format!(
                "kind={kind},outer=40,inner=300,expr=mul(x0,x1),post=add(v,x2),x0={dtype},x1={dtype}@0:0:1,x2=f32@0:1:0,out={out}"
            ),
        ];
        check_with_edges(&kernels(), "reduce", &texts);
    }
}

#[test]
fn every_kind_in_f32() {
    every_kind("f32");
}

#[test]
fn every_kind_in_f64() {
    every_kind("f64");
}

#[test]
fn every_kind_in_f16() {
    every_kind("f16");
}

#[test]
fn every_kind_in_bf16() {
    every_kind("bf16");
}

#[test]
fn layouts_whole_numbers_and_exprs() {
    let mut texts = Vec::new();
    for kind in ReduceKind::ALL {
        let kind = kind.name();
        for (shape, x0) in [
            ("outer=128,inner=256", "f32@0:1:128"),
            ("outer=10,inner=256", "f32@0:1:10"),
            ("outer=256,inner=10", "f32"),
            ("outer=scalar,inner=5000", "f32"),
            ("outer=scalar,inner=100x50", "f32@0:1:100"),
            ("outer=6x50,inner=40", "f32@0:2000:1:50"),
            ("outer=5x7,inner=6x9", "f32@0:378:9:63:1"),
            ("outer=900,inner=scalar", "f32"),
            ("outer=33,inner=70", "i32"),
            ("outer=33,inner=70", "u8"),
            ("outer=33,inner=70", "bool@0:1:33"),
            ("outer=33,inner=70", "f32@0:0:0"),
            ("outer=3000,inner=300", "f32@0:1:3000"),
        ] {
            let out = if kind.starts_with("arg") || x0.starts_with("i32") { "i32" } else { "f32" };
            texts.push(format!("kind={kind},{shape},x0={x0},out={out}"));
        }
    }
    texts.extend(
        [
            "kind=sum,outer=40,inner=300,expr=1.0,out=f32",
            "kind=sum,outer=40,inner=300,expr=eq(x0,x1),post=div(v,300.0),x0=i32,x1=i32@0:0:0,out=f32",
            "kind=max,outer=40,inner=300,expr=add(i0,i1),out=f32",
            "kind=argmax,outer=40,inner=300,expr=neg(i1),post=mul(v,2.0),out=i32",
            "kind=sum,outer=40,inner=300,expr=exp(x0),post=log(v),x0=f16,out=f32@0:3",
            "kind=sum,outer=4000,inner=3,expr=uniform(3,add(mul(i0,3.0),i1)),out=f64",
            "kind=sum,outer=300,inner=400,expr=mul(x0,x0),x0=f32@0:1:300,out=f32",
        ]
        .map(String::from),
    );
    check_with_edges(&kernels(), "reduce", &texts);
}

#[test]
fn threads_do_not_change_the_bits() {
    for text in [
        "kind=sum,outer=scalar,inner=1000000,x0=f32,out=f32",
        "kind=sum,outer=700,inner=900,x0=f32,out=f32",
        "kind=sum,outer=700,inner=900,x0=f32@0:1:700,out=f32",
        "kind=argmax,outer=2,inner=300000,x0=f16,out=i32",
        "kind=argmax,outer=1200,inner=700,x0=f32@0:1:1200,out=i32",
    ] {
        check_bits(&kernels(), &Problem::parse("reduce", text).unwrap(), "THREADS");
    }
}

#[test]
fn wrong_buffers_are_errors() {
    check_wrong_buffers(
        &kernels(),
        &Problem::parse("reduce", "kind=sum,outer=4,inner=5,expr=add(x0,x1),x0=f16,x1=f32,out=f16").unwrap(),
    );
}
