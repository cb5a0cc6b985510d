//! Every kernel against the oracle.

use super::KERNELS;
use crate::cpu::checks::{Tested, check_bits, check_with_edges, check_wrong_buffers};
use kernelsmith_core::Problem;
use kernelsmith_core::ops::row::RowKind;

fn kernels() -> Vec<Tested> {
    let configs = |name: &str| -> &'static [&'static str] {
        match name {
            "row_reference" => &[""],
            "row_blocks" => &["BLOCK=2048,THREADS=1", "BLOCK=64,THREADS=2"],
            other => panic!("no configs for {other}: add them here"),
        }
    };
    KERNELS.iter().map(|entry| Tested { entry, configs: configs(entry.name) }).collect()
}

fn every_kind(dtype: &str) {
    for kind in RowKind::ALL {
        let eps = if matches!(kind, RowKind::LayerNorm | RowKind::RmsNorm) { ",eps=1e-5" } else { "" };
        let weights = if kind.reduces() {
            format!("post=mul(v,x1),x0={dtype},x1=f32@0:1:0")
        } else {
            format!("post=add(mul(v,x1),x2),x0={dtype},x1={dtype}@0:0:1,x2=f32@0:0:1")
        };
        let kind = kind.name();
        let texts = [
            format!("kind={kind},rows=40,columns=300{eps},x0={dtype},out={dtype}"),
            format!("kind={kind},rows=40,columns=300{eps},expr=add(x0,mul(x0,0.5)),{weights},out={dtype}"),
        ];
        check_with_edges(&kernels(), "row", &texts);
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
fn labels_and_layouts() {
    let texts = [
        "kind=cross_entropy,rows=256,columns=10,label=1,x0=f32,x1=i32@0:1:0,out=f32",
        "kind=softmax,rows=256,columns=10,post=mul(v,0.00390625),label=1,x0=f32,x1=i32@0:1:0,out=f32",
        "kind=softmax,rows=64,columns=130,label=1,x0=f16@0:1:64,x1=i32@5:2:0,out=f16@0:1:64",
        "kind=cross_entropy,rows=64,columns=5000,expr=mul(x0,0.1),label=1,x0=f64,x1=i32@0:1:0,out=f64",
        "kind=softmax,rows=4x5,columns=77,expr=select(le(i2,i1),x0,-inf),x0=f32@0:385:77:1,out=f32",
        "kind=log_softmax,rows=3x8x5,columns=20,x0=f32@0:800:20:160:1,out=f32",
        "kind=layer_norm,rows=33,columns=1,eps=1e-5,x0=f32,out=f32",
        "kind=rms_norm,rows=scalar,columns=9000,eps=1e-5,x0=bf16,out=f32",
    ];
    check_with_edges(&kernels(), "row", &texts.map(String::from));
}

#[test]
fn threads_do_not_change_the_bits() {
    for text in [
        "kind=softmax,rows=700,columns=900,x0=f32,out=f32",
        "kind=layer_norm,rows=20000,columns=16,eps=1e-5,x0=f16,out=f16",
    ] {
        check_bits(&kernels(), &Problem::parse("row", text).unwrap(), "THREADS");
    }
}

#[test]
fn wrong_buffers_are_errors() {
    check_wrong_buffers(
        &kernels(),
        &Problem::parse("row", "kind=softmax,rows=4,columns=5,label=1,x0=f32,x1=i32@0:1:0,out=f16").unwrap(),
    );
}
