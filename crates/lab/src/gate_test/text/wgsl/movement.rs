//! Gather and scatter-add.

use super::Mutation;
use crate::gate_test::Class;

const GATHER: Mutation = Mutation {
    op: "gather",
    kernel: "elements",
    file: "gather/elements.wgsl",
    name: "",
    class: Class::Tail,
    problem: "shape=64x70,axis=0,size=301,x=f32,index=i32@0:1:0,out=f32",
    config: None,
    find: "",
    replace: "",
};
const SCATTER: Mutation = Mutation {
    op: "scatter_add",
    kernel: "owner",
    file: "scatter_add/owner.wgsl",
    name: "",
    class: Class::Tail,
    problem: "shape=90x40,axis=0,size=7,x=f32,index=i32@0:1:0,out=f32",
    config: None,
    find: "",
    replace: "",
};

pub static MUTATIONS: &[Mutation] = &[
    Mutation {
        name: "upper_bound_not_checked",
        class: Class::Index,
        find: "to >= 0 && to < args.size",
        replace: "to >= 0",
        ..GATHER
    },
    Mutation {
        name: "lower_bound_not_checked",
        class: Class::Index,
        find: "to >= 0 && to < args.size",
        replace: "to < args.size",
        ..GATHER
    },
    Mutation {
        name: "bound_off_by_one",
        class: Class::Index,
        find: "to >= 0 && to < args.size",
        replace: "to >= 0 && to <= args.size",
        ..GATHER
    },
    Mutation {
        name: "last_index_refused",
        class: Class::Index,
        problem: "shape=64x70,axis=0,size=7,x=f32,index=i32@0:1:0,out=f32",
        find: "to >= 0 && to < args.size",
        replace: "to >= 0 && to + 1 < args.size",
        ..GATHER
    },
    Mutation { name: "missing_elements_are_zero", class: Class::Nan, find: "acc_nan()", replace: "Acc(0)", ..GATHER },
    Mutation {
        name: "last_element_unwritten",
        class: Class::Tail,
        find: "i < total; i +=",
        replace: "i + 1u < total; i +=",
        ..GATHER
    },
    Mutation {
        name: "one_element_more",
        class: Class::Guard,
        find: "i < total; i +=",
        replace: "i <= total; i +=",
        ..GATHER
    },
    Mutation {
        name: "place_not_replaced",
        class: Class::Index,
        find: "(to - i32(p.at[AXIS])) * x_axis()",
        replace: "to * x_axis()",
        ..GATHER
    },
    Mutation {
        name: "index_of_eight_bits",
        class: Class::Index,
        find: "bitcast<i32>(raw_index(p.offset[1]))",
        replace: "(bitcast<i32>(raw_index(p.offset[1])) << 24u) >> 24u",
        ..GATHER
    },
    Mutation {
        name: "stride_of_the_output",
        class: Class::Stride,
        problem: "shape=20x30,axis=0,size=40,x=i32@4:31:1,index=i32@0:1:0,out=i32",
        find: "* x_axis()",
        replace: "* out_axis()",
        ..GATHER
    },
    Mutation {
        name: "offset_of_x_ignored",
        class: Class::Offset,
        problem: "shape=20x30,axis=0,size=40,x=i32@4:31:1,index=i32@0:1:0,out=i32",
        find: "raw_x(p.offset[0] +",
        replace: "raw_x(p.offset[0] - args.x_offset +",
        ..GATHER
    },
    Mutation {
        name: "last_term_wins",
        class: Class::Accumulation,
        find: "sum += load_x(",
        replace: "sum = load_x(",
        ..SCATTER
    },
    Mutation {
        name: "terms_added_in_f16",
        class: Class::Accumulation,
        find: "sum += load_x(p.offset[0] + k * x_axis());",
        replace: "sum = ks_round_f16(sum + load_x(p.offset[0] + k * x_axis()));",
        ..SCATTER
    },
    Mutation {
        name: "last_index_not_seen",
        class: Class::Tail,
        find: "k < i32(axis_size()); k++",
        replace: "k + 1 < i32(axis_size()); k++",
        ..SCATTER
    },
    Mutation {
        name: "adds_to_output",
        class: Class::Stale,
        find: "var sum = Acc(0);",
        replace: "var sum = bitcast<f32>(out_data[p.offset[2] + i32(to) * out_axis()]);",
        ..SCATTER
    },
    Mutation {
        name: "last_element_unwritten",
        class: Class::Guard,
        find: "i < u32(args.out_n); i +=",
        replace: "i + 1u < u32(args.out_n); i +=",
        ..SCATTER
    },
    Mutation {
        name: "one_element_more",
        class: Class::Guard,
        find: "i < u32(args.out_n); i +=",
        replace: "i <= u32(args.out_n); i +=",
        ..SCATTER
    },
    Mutation {
        name: "wrong_stride_of_x",
        class: Class::Stride,
        find: "k * x_axis()",
        replace: "k * index_axis()",
        ..SCATTER
    },
    Mutation {
        name: "index_off_by_one",
        class: Class::Index,
        find: "== i32(to)",
        replace: "== i32(to) + 1",
        ..SCATTER
    },
    Mutation {
        name: "index_of_eight_bits",
        class: Class::Index,
        problem: "shape=90x40,axis=0,size=301,x=f32,index=i32@0:1:0,out=f32",
        find: "bitcast<i32>(raw_index(p.offset[1] + k * index_axis()))",
        replace: "(bitcast<i32>(raw_index(p.offset[1] + k * index_axis())) & 255)",
        ..SCATTER
    },
    Mutation {
        name: "swallows_nan",
        class: Class::Nan,
        find: "sum += load_x(p.offset[0] + k * x_axis());",
        replace: r"let x = load_x(p.offset[0] + k * x_axis());
                if (!is_nan(x)) { sum += x; }",
        ..SCATTER
    },
];
