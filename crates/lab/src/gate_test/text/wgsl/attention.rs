//! Attention.

use super::Mutation;
use crate::gate_test::Class;

const GENERAL: Mutation = Mutation {
    op: "attention",
    kernel: "general",
    file: "attention/general.wgsl",
    name: "",
    class: Class::Index,
    problem: "batch=2,heads=4,kv_heads=2,queries=10,keys=150,head=16,dtype=f32,causal=1",
    config: None,
    find: "",
    replace: "",
};

pub static MUTATIONS: &[Mutation] = &[
    Mutation {
        name: "triangle_off_by_one",
        class: Class::Guard,
        find: "keys - queries + query + 1u",
        replace: "keys - queries + query",
        ..GENERAL
    },
    Mutation {
        name: "triangle_at_the_upper_left",
        class: Class::Guard,
        find: "keys - queries + query + 1u",
        replace: "query + 1u",
        ..GENERAL
    },
    Mutation {
        name: "last_key_not_added",
        class: Class::Tail,
        find: "min(THREADS, seen - first);",
        replace: "min(THREADS, seen - first) - 1u;",
        ..GENERAL
    },
    Mutation {
        name: "last_number_not_scored",
        class: Class::Tail,
        find: "d < HEAD; d++",
        replace: "d + 1u < HEAD; d++",
        ..GENERAL
    },
    Mutation {
        name: "result_not_scaled",
        class: Class::Accumulation,
        find: "result[e] * decay;",
        replace: "result[e];",
        ..GENERAL
    },
    Mutation {
        name: "sum_not_scaled",
        class: Class::Accumulation,
        find: "sum * decay + over",
        replace: "sum + over",
        ..GENERAL
    },
    Mutation {
        name: "scale_ignored",
        class: Class::Scale,
        find: "score = products * args.scale;",
        replace: "score = products;",
        ..GENERAL
    },
    Mutation {
        name: "heads_not_grouped",
        class: Class::Index,
        find: "head / u32(args.group)",
        replace: "head % u32(args.group)",
        ..GENERAL
    },
    Mutation {
        name: "batch_of_k_ignored",
        class: Class::Batch,
        find: "k_at(batch, of_keys",
        replace: "k_at(0u, of_keys",
        ..GENERAL
    },
    Mutation {
        name: "first_head_of_v",
        class: Class::Batch,
        find: "v_at(batch, of_keys",
        replace: "v_at(batch, 0u",
        ..GENERAL
    },
    Mutation {
        name: "maximum_begins_at_zero",
        class: Class::Identity,
        find: "var largest = -acc_infinity();",
        replace: "var largest = Acc(0);",
        ..GENERAL
    },
    Mutation {
        name: "not_divided_by_the_sum",
        class: Class::Function,
        find: "result[e] / sum",
        replace: "result[e]",
        ..GENERAL
    },
    Mutation {
        name: "last_number_not_written",
        class: Class::Write,
        find: "if (d < HEAD) { store_out",
        replace: "if (d + 1u < HEAD) { store_out",
        ..GENERAL
    },
    Mutation {
        name: "last_query_not_written",
        class: Class::Guard,
        find: "r < rows; r +=",
        replace: "r + 1u < rows; r +=",
        ..GENERAL
    },
    Mutation {
        name: "barrier_after_the_query_dropped",
        class: Class::Race,
        find: r"workgroupBarrier();
        var result: array",
        replace: "var result: array",
        ..GENERAL
    },
];
