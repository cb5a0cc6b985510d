//! Every kernel against the oracle.

use super::KERNELS;
use crate::cpu::checks::{Tested, check_all, check_bits, check_with_edges, check_wrong_buffers};
use kernelsmith_core::expr_text::{BINARY, UNARY};
use kernelsmith_core::inputs::Inputs;
use kernelsmith_core::{DType, Problem};

fn kernels() -> Vec<Tested> {
    let configs = |name: &str| -> &'static [&'static str] {
        match name {
            "map_reference" => &[""],
            "map_blocks" => &["BLOCK=1024,THREADS=1", "BLOCK=64,THREADS=2"],
            other => panic!("no configs for {other}: add them here"),
        }
    };
    KERNELS.iter().map(|entry| Tested { entry, configs: configs(entry.name) }).collect()
}

fn texts(shape: &str, exprs: &[&str], dtypes: &[&str]) -> Vec<String> {
    let mut out = Vec::new();
    for expr in exprs {
        for dtype in dtypes {
            let inputs: String =
                (0..4).filter(|i| expr.contains(&format!("x{i}"))).map(|i| format!(",x{i}={dtype}")).collect();
            out.push(format!("shape={shape},expr={expr}{inputs},out={dtype}"));
        }
    }
    out
}

#[test]
fn arithmetic_in_every_float_dtype() {
    let exprs = ["x0", "add(x0,x1)", "relu(add(x0,x1))", "add(mul(x0,x1),x2)", "select(lt(x0,x1),x2,neg(x0))"];
    check_with_edges(&kernels(), "map", &texts("60x130", &exprs, &["f32", "f64", "f16", "bf16"]));
}

#[test]
fn every_function() {
    let unary = UNARY.iter().map(|(name, _)| format!("{name}(x0)"));
    let exprs: Vec<String> = unary.chain(BINARY.iter().map(|(name, _)| format!("{name}(x0,x1)"))).collect();
    let exprs: Vec<&str> = exprs.iter().map(String::as_str).collect();
    for text in texts("1500", &exprs, &["f32", "f64"]) {
        check_all(&kernels(), &Problem::parse("map", &text).unwrap(), &Inputs::ALL, 3);
    }
}

#[test]
fn every_cast() {
    for from in DType::ALL {
        for to in DType::ALL {
            let text = format!("shape=7x211,expr=mul(x0,100.0),x0={from},out={to}");
            let cast = format!("shape=7x211,expr=x0,x0={from},out={to}");
            check_with_edges(&kernels(), "map", &[text, cast]);
        }
    }
}

#[test]
fn positions_random_numbers_and_rounding() {
    let texts = [
        "shape=33x70,expr=add(mul(i0,70.0),i1),out=f32",
        "shape=33x70,expr=add(mul(i0,70.0),i1),out=i32",
        "shape=5x6x7x8,expr=add(i0,mul(i2,i3)),out=f64",
        "shape=4000,expr=normal(77,i0),out=f32",
        "shape=40x100,expr=uniform(12345678901234,add(mul(i0,100.0),i1)),out=f64",
        "shape=4000,expr=select(lt(uniform(5,i0),0.5),0.0,mul(x0,2.0)),x0=f32,out=f16",
        "shape=4000,expr=add(f16(x0),bf16(x0)),x0=f32,out=f32",
        "shape=4000,expr=add(u8(mul(x0,50.0)),i32(mul(x0,50.0))),x0=f32,out=f32",
        "shape=4000,expr=bool(x0),x0=f32,out=bool",
        "shape=100,expr=0.25,out=f16",
        "shape=scalar,expr=add(x0,1.0),x0=f32,out=f32",
        "shape=100,expr=3,out=i32",
    ];
    check_with_edges(&kernels(), "map", &texts.map(String::from));
}

#[test]
fn mixed_dtypes_and_broadcasts() {
    let texts = [
        "shape=64x300,expr=add(x0,x1),x0=f32,x1=f32@0:0:1,out=f32",
        "shape=64x300,expr=add(x0,x1),x0=f16,x1=f32@0:1:0,out=f32",
        "shape=256x10,expr=relu(add(x0,x1)),x0=f32,x1=f32@0:0:1,out=f32",
        "shape=256x10,expr=add(x0,x1),x0=f32,x1=f32@0:1:0,out=bf16",
        "shape=64x300,expr=mul(x0,x1),x0=f64@3:1:64,x1=bool,out=f32",
        "shape=6x5x40x30,expr=add(x0,x1),x0=f32@0:6000:1:150:5,x1=u8@0:0:30:0:1,out=f32",
        "shape=64x300,expr=le(x0,x1),x0=f32@0:0:0,x1=i32,out=bool",
        "shape=120x110,expr=x0,x0=f32,out=f32@0:1:120",
        "shape=120x110,expr=add(x0,x1),x0=f16@0:1:120,x1=f16,out=f16@0:1:120",
        "shape=30x40x50,expr=exp(x0),x0=f32,out=f32@59999:-2000:-50:-1",
    ];
    check_with_edges(&kernels(), "map", &texts.map(String::from));
}

#[test]
fn threads_do_not_change_the_bits() {
    for text in [
        "shape=700x900,expr=gelu(add(x0,x1)),x0=f32,x1=f32@0:0:1,out=f32",
        "shape=700x900,expr=sin(x0),x0=f16@0:1:700,out=f16",
    ] {
        check_bits(&kernels(), &Problem::parse("map", text).unwrap(), "THREADS");
    }
}

#[test]
fn wrong_buffers_are_errors() {
    check_wrong_buffers(&kernels(), &Problem::parse("map", "shape=20,expr=add(x0,x1),x0=f32,x1=u8,out=f16").unwrap());
}
