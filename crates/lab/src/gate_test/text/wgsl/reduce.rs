//! Reductions.

use super::Mutation;
use crate::gate_test::Class;

const GENERAL: Mutation = Mutation {
    op: "reduce",
    kernel: "general",
    file: "reduce/general.wgsl",
    name: "",
    class: Class::Tail,
    problem: "kind=sum,outer=67,inner=301,x0=f32,out=f32",
    config: None,
    find: "",
    replace: "",
};
/// What both kernels share.
const STATE: Mutation = Mutation {
    op: "reduce",
    kernel: "general",
    file: "include/reduce.wgsl",
    name: "",
    class: Class::Tail,
    problem: "kind=sum,outer=67,inner=301,x0=f32,out=f32",
    config: None,
    find: "",
    replace: "",
};
const SUBGROUP: Mutation = Mutation {
    op: "reduce",
    kernel: "subgroup",
    file: "reduce/subgroup.wgsl",
    name: "",
    class: Class::Tail,
    problem: "kind=sum,outer=67,inner=301,x0=f32,out=f32",
    config: None,
    find: "",
    replace: "",
};

pub static MUTATIONS: &[Mutation] = &[
    Mutation {
        name: "last_element_dropped",
        class: Class::Tail,
        find: "i < args.inner; i += TEAM",
        replace: "i + 1u < args.inner; i += TEAM",
        ..GENERAL
    },
    Mutation {
        name: "first_elements_dropped",
        class: Class::Tail,
        find: "var i = lane; i < args.inner; i += TEAM",
        replace: "var i = lane + TEAM; i < args.inner; i += TEAM",
        ..GENERAL
    },
    Mutation {
        name: "one_output_more",
        class: Class::Guard,
        find: "output < args.outer;",
        replace: "output <= args.outer;",
        ..GENERAL
    },
    Mutation {
        name: "last_output_kept_out",
        class: Class::Guard,
        find: "output < args.outer;",
        replace: "output + 1u < args.outer;",
        ..GENERAL
    },
    Mutation {
        name: "last_step_left_out",
        class: Class::Split,
        find: "step > 0u; step /= 2u",
        replace: "step > 1u; step /= 2u",
        ..GENERAL
    },
    Mutation {
        name: "barrier_dropped",
        class: Class::Race,
        find: r"            workgroupBarrier();
            if (lane < step)",
        replace: "            if (lane < step)",
        ..GENERAL
    },
    Mutation {
        name: "states_dropped",
        class: Class::Accumulation,
        find: "s = merged(s, State(expr(",
        replace: "s = merged(cleared(), State(expr(",
        ..GENERAL
    },
    Mutation {
        name: "position_off_by_one",
        class: Class::Index,
        problem: "kind=argmax,outer=70,inner=300,x0=f32,out=i32",
        find: "State(expr(enter_inner(base, i)), i)",
        replace: "State(expr(enter_inner(base, i)), i + 1u)",
        ..GENERAL
    },
    Mutation {
        name: "position_not_merged",
        class: Class::Index,
        problem: "kind=argmax,outer=70,inner=300,x0=f32,out=i32",
        find: "places[local + step]",
        replace: "places[local]",
        ..GENERAL
    },
    Mutation {
        name: "identity_of_zero",
        class: Class::Identity,
        problem: "kind=max,outer=70,inner=7,x0=f32,out=f32",
        find: "State(-acc_infinity(), NOWHERE)",
        replace: "State(Acc(0), NOWHERE)",
        ..STATE
    },
    Mutation {
        name: "last_of_equals",
        class: Class::Index,
        problem: "kind=argmax,outer=70,inner=300,x0=f32,out=i32",
        find: "b.at < a.at",
        replace: "b.at > a.at",
        ..STATE
    },
    Mutation {
        name: "nan_not_first",
        class: Class::Nan,
        problem: "kind=argmax,outer=70,inner=300,x0=f32,out=i32",
        find: "better || (bn && !an) ||",
        replace: "better ||",
        ..STATE
    },
    Mutation {
        name: "half_accumulation",
        class: Class::Accumulation,
        find: "State(a.value + b.value, NOWHERE)",
        replace: "State(ks_round_f16(a.value + b.value), NOWHERE)",
        ..STATE
    },
    Mutation {
        name: "smallest_for_largest",
        class: Class::Function,
        problem: "kind=max,outer=70,inner=70,x0=f32,out=f32",
        find: "ks_max(a.value, b.value)",
        replace: "ks_min(a.value, b.value)",
        ..STATE
    },
    Mutation {
        name: "smallest_position_for_largest",
        class: Class::Function,
        problem: "kind=argmax,outer=70,inner=300,x0=f32,out=i32",
        find: "KIND == ARG_MAX && less(a.value, b.value)",
        replace: "KIND == ARG_MAX && less(b.value, a.value)",
        ..STATE
    },
    Mutation {
        name: "post_missing",
        class: Class::Epilogue,
        problem: "kind=sum,outer=70,inner=301,post=mul(v,0.5),x0=f32,out=f32",
        find: "store_out_at(p, post(p, v));",
        replace: "store_out_at(p, v);",
        ..STATE
    },
    Mutation {
        name: "tail_dropped",
        class: Class::Tail,
        find: "i < args.inner; i += lanes",
        replace: "i + 1u < args.inner; i += lanes",
        ..SUBGROUP
    },
    Mutation {
        name: "half_of_the_lanes",
        class: Class::Split,
        find: "var step = lanes / 2u;",
        replace: "var step = lanes / 4u;",
        ..SUBGROUP
    },
    Mutation {
        name: "position_not_exchanged",
        class: Class::Index,
        problem: "kind=argmax,outer=70,inner=300,x0=f32,out=i32",
        find: "subgroupShuffleXor(s.at, step)",
        replace: "s.at",
        ..SUBGROUP
    },
    Mutation {
        name: "last_output_kept_out",
        class: Class::Guard,
        find: "output < args.outer; output +=",
        replace: "output + 1u < args.outer; output +=",
        ..SUBGROUP
    },
    Mutation {
        name: "one_output_more",
        class: Class::Guard,
        find: "output < args.outer; output +=",
        replace: "output <= args.outer; output +=",
        ..SUBGROUP
    },
    Mutation {
        name: "subgroups_do_the_same",
        class: Class::Index,
        find: "var output = group.x * parts + part;",
        replace: "var output = group.x * parts;",
        ..SUBGROUP
    },
];
