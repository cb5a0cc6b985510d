//! Row operations.

use super::Mutation;
use crate::gate_test::Class;

const ROW: Mutation = Mutation {
    op: "row",
    kernel: "general",
    file: "row/general.wgsl",
    name: "",
    class: Class::Tail,
    problem: "kind=softmax,rows=30,columns=70,x0=f32,out=f32",
    config: None,
    find: "",
    replace: "",
};

pub static MUTATIONS: &[Mutation] = &[
    Mutation {
        name: "shift_missing",
        class: Class::Function,
        find: "y = ks_exp(x - shift) * scale;",
        replace: "y = ks_exp(x) * scale;",
        ..ROW
    },
    Mutation {
        name: "sum_without_shift",
        class: Class::Function,
        find: "part += ks_exp(element(start, c) - shift);",
        replace: "part += ks_exp(element(start, c));",
        ..ROW
    },
    Mutation {
        name: "overflows_without_shift",
        class: Class::Function,
        problem: "kind=softmax,rows=30,columns=70,expr=mul(x0,60),x0=f32,out=f32",
        find: "shift = over_workgroup(part, true, local);",
        replace: "shift = over_workgroup(part, true, local) * Acc(0);",
        ..ROW
    },
    Mutation {
        name: "identity_of_zero",
        class: Class::Identity,
        problem: "kind=softmax,rows=30,columns=70,expr=sub(x0,200),x0=f32,out=f32",
        find: "part = -acc_infinity();",
        replace: "part = Acc(0);",
        ..ROW
    },
    Mutation {
        name: "last_column_not_counted",
        class: Class::Tail,
        find: "c < length; c += THREADS) { part += ks_exp(",
        replace: "c + 1u < length; c += THREADS) { part += ks_exp(",
        ..ROW
    },
    Mutation {
        name: "last_column_unwritten",
        class: Class::Tail,
        find: r"c < length; c += THREADS) {
                let p = along_last",
        replace: r"c + 1u < length; c += THREADS) {
                let p = along_last",
        ..ROW
    },
    Mutation {
        name: "last_row_unwritten",
        class: Class::Guard,
        find: "r < args.outer; r +=",
        replace: "r + 1u < args.outer; r +=",
        ..ROW
    },
    Mutation {
        file: "include/workgroup.wgsl",
        name: "last_step_left_out",
        class: Class::Split,
        find: "step > 0u; step /= 2u",
        replace: "step > 1u; step /= 2u",
        ..ROW
    },
    Mutation {
        file: "include/workgroup.wgsl",
        name: "sums_in_f16",
        class: Class::Accumulation,
        find: "shared_values[local] = a + b;",
        replace: "shared_values[local] = ks_round_f16(a + b);",
        ..ROW
    },
    Mutation {
        name: "accumulation_dropped",
        class: Class::Accumulation,
        find: "part += ks_exp(",
        replace: "part = ks_exp(",
        ..ROW
    },
    Mutation {
        file: "include/workgroup.wgsl",
        name: "barrier_in_the_tree_dropped",
        class: Class::Race,
        find: r"        workgroupBarrier();
        if (local < step)",
        replace: "        if (local < step)",
        ..ROW
    },
    Mutation {
        file: "include/workgroup.wgsl",
        name: "barrier_after_the_sum_dropped",
        class: Class::Race,
        find: r"let result = shared_values[0];
    workgroupBarrier();",
        replace: "let result = shared_values[0];",
        ..ROW
    },
    Mutation {
        name: "logarithm_missing",
        class: Class::Function,
        problem: "kind=log_softmax,rows=30,columns=70,x0=f32,out=f32",
        find: "log_sum = ks_log(sum);",
        replace: "log_sum = sum;",
        ..ROW
    },
    Mutation {
        name: "shift_missing_in_log",
        class: Class::Function,
        problem: "kind=log_softmax,rows=30,columns=70,x0=f32,out=f32",
        find: "y = (x - shift) - log_sum;",
        replace: "y = x - log_sum;",
        ..ROW
    },
    Mutation {
        name: "mean_of_one_more",
        class: Class::Scale,
        problem: "kind=layer_norm,rows=30,columns=70,eps=1e-5,x0=f32,out=f32",
        find: "shift = over_workgroup(part, false, local) / n;",
        replace: "shift = over_workgroup(part, false, local) / (n + Acc(1));",
        ..ROW
    },
    Mutation {
        name: "mean_kept",
        class: Class::Function,
        problem: "kind=layer_norm,rows=30,columns=70,eps=1e-5,x0=f32,out=f32",
        find: "y = (x - shift) * scale;",
        replace: "y = x * scale;",
        ..ROW
    },
    Mutation {
        name: "variance_not_centred",
        class: Class::Function,
        problem: "kind=layer_norm,rows=30,columns=70,eps=1e-5,x0=f32,out=f32",
        find: "let d = element(start, c) - shift;",
        replace: "let d = element(start, c);",
        ..ROW
    },
    Mutation {
        name: "variance_of_a_sample",
        class: Class::Scale,
        problem: "kind=layer_norm,rows=30,columns=70,eps=1e-5,x0=f32,out=f32",
        find: "/ n + epsilon()",
        replace: "/ (n - Acc(1)) + epsilon()",
        ..ROW
    },
    Mutation {
        name: "eps_ignored",
        class: Class::Scale,
        problem: "kind=layer_norm,rows=30,columns=70,eps=1e-5,x0=f32,out=f32",
        find: "/ n + epsilon()",
        replace: "/ n",
        ..ROW
    },
    Mutation {
        name: "wrong_eps",
        class: Class::Scale,
        problem: "kind=layer_norm,rows=30,columns=70,eps=1e-5,x0=f32,out=f32",
        find: "/ n + epsilon()",
        replace: "/ n + Acc(100) * epsilon()",
        ..ROW
    },
    Mutation {
        name: "post_missing",
        class: Class::Epilogue,
        problem: "kind=layer_norm,rows=30,columns=70,eps=1e-5,post=mul(v,x1),x0=f32,x1=f32@0:0:1,out=f32",
        find: "store_out_at(p, post(p, y));",
        replace: "store_out_at(p, y);",
        ..ROW
    },
    Mutation {
        name: "post_of_the_first_column",
        class: Class::Epilogue,
        problem: "kind=layer_norm,rows=30,columns=70,eps=1e-5,post=mul(v,x1),x0=f32,x1=f32@0:0:1,out=f32",
        find: "store_out_at(p, post(p, y));",
        replace: "store_out_at(p, post(start, y));",
        ..ROW
    },
    Mutation {
        name: "label_not_checked",
        class: Class::Index,
        problem: "kind=cross_entropy,rows=40,columns=30,label=1,x0=f32,x1=i32@0:1:0,out=f32",
        find: "label >= 0 && u32(label) < length",
        replace: "label >= 0",
        ..ROW
    },
    Mutation {
        name: "missing_label_ignored",
        class: Class::Nan,
        problem: "kind=cross_entropy,rows=40,columns=30,label=1,x0=f32,x1=i32@0:1:0,out=f32",
        find: "y = acc_nan();",
        replace: "y = shift + log_sum;",
        ..ROW
    },
    Mutation {
        name: "label_of_the_neighbour",
        class: Class::Index,
        problem: "kind=cross_entropy,rows=40,columns=30,label=1,x0=f32,x1=i32@0:1:0,out=f32",
        find: "element(start, u32(label)))",
        replace: "element(start, u32(label) ^ 1u))",
        ..ROW
    },
    Mutation {
        name: "label_off_by_one",
        class: Class::Index,
        problem: "kind=softmax,rows=40,columns=30,label=1,x0=f32,x1=i32@0:1:0,out=f32",
        find: "i32(c) == label",
        replace: "i32(c) == label + 1",
        ..ROW
    },
];
