//! Every kernel against the oracle.

use super::KERNELS;
use crate::cpu::checks::{Tested, check_bits, check_with_edges, check_wrong_buffers};
use kernelsmith_core::{DType, Problem};

fn kernels(op: &str) -> Vec<Tested> {
    let configs = |name: &str| -> &'static [&'static str] {
        match name {
            "gather_reference" | "scatter_add_reference" => &[""],
            "gather_runs" | "scatter_add_runs" => &["THREADS=1", "THREADS=2"],
            other => panic!("no configs for {other}: add them here"),
        }
    };
    let of = KERNELS.iter().filter(|e| e.name.starts_with(op));
    of.map(|entry| Tested { entry, configs: configs(entry.name) }).collect()
}

fn texts(dtype: DType) -> Vec<String> {
    vec![
        format!("shape=40x60,axis=0,size=100,x={dtype},index=i32@0:1:0,out={dtype}"),
        format!("shape=40x60,axis=1,size=10,x={dtype},index=i32,out={dtype}"),
        format!("shape=3x40x6,axis=1,size=9,x={dtype},index=i32@0:0:1:0,out={dtype}"),
        format!("shape=300x1,axis=1,size=10,x={dtype},index=i32,out={dtype}"),
    ]
}

#[test]
fn gather_in_every_dtype() {
    for dtype in DType::ALL {
        check_with_edges(&kernels("gather"), "gather", &texts(dtype));
    }
}

#[test]
fn scatter_add_in_every_float_dtype() {
    for dtype in DType::ALL.into_iter().filter(|d| d.is_float()) {
        check_with_edges(&kernels("scatter_add"), "scatter_add", &texts(dtype));
    }
}

#[test]
fn threads_do_not_change_the_bits() {
    for op in ["gather", "scatter_add"] {
        for text in [
            "shape=3000x300,axis=0,size=50,x=f32,index=i32@0:1:0,out=f32",
            "shape=500x1100,axis=1,size=40,x=f16,index=i32,out=f16",
        ] {
            check_bits(&kernels(op), &Problem::parse(op, text).unwrap(), "THREADS");
        }
    }
}

#[test]
fn wrong_buffers_are_errors() {
    for op in ["gather", "scatter_add"] {
        let problem = Problem::parse(op, "shape=4x5,axis=0,size=7,x=f32,index=i32@0:1:0,out=f32").unwrap();
        check_wrong_buffers(&kernels(op), &problem);
    }
}
