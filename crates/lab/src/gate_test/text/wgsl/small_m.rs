//! Products of few rows: `small_m`, `subgroup`.

use super::Mutation;
use crate::gate_test::Class;

const SMALL_M: Mutation = Mutation {
    op: "gemm",
    kernel: "small_m",
    file: "gemm/small_m.wgsl",
    name: "",
    class: Class::Tail,
    problem: "m=6,n=70,k=57,dtype=f32",
    config: None,
    find: "",
    replace: "",
};
const SUBGROUP: Mutation = Mutation {
    op: "gemm",
    kernel: "subgroup",
    file: "gemm/subgroup.wgsl",
    name: "",
    class: Class::Tail,
    problem: "m=6,n=70,k=57,dtype=f32,layout=nt",
    config: None,
    find: "",
    replace: "",
};

pub static MUTATIONS: &[Mutation] = &[
    Mutation {
        name: "last_k_left_out",
        class: Class::Tail,
        find: "p < k; p += SHARES",
        replace: "p + 1u < k; p += SHARES",
        ..SMALL_M
    },
    Mutation {
        name: "shares_not_merged",
        class: Class::Split,
        find: "step > 0u; step /= 2u",
        replace: "step > 1u; step /= 2u",
        ..SMALL_M
    },
    Mutation {
        name: "upper_rows_not_merged",
        class: Class::Split,
        find: "high[local] += high[local + step * COLS];",
        replace: "",
        ..SMALL_M
    },
    Mutation {
        name: "barrier_dropped",
        class: Class::Race,
        find: r"            workgroupBarrier();
            if (share < step)",
        replace: "            if (share < step)",
        ..SMALL_M
    },
    Mutation {
        name: "fifth_row_of_the_first_four",
        class: Class::Index,
        find: "if (i > 3u)",
        replace: "if (i > 4u)",
        ..SMALL_M
    },
    Mutation {
        name: "five_rows_taken_as_four",
        class: Class::Guard,
        problem: "m=5,n=70,k=57,dtype=f32",
        find: "if (m > 4u)",
        replace: "if (m > 5u)",
        ..SMALL_M
    },
    Mutation {
        name: "one_column_more",
        class: Class::Guard,
        find: "col < u32(args.n)",
        replace: "col <= u32(args.n)",
        ..SMALL_M
    },
    Mutation {
        name: "last_column_kept_out",
        class: Class::Guard,
        find: "col < u32(args.n)",
        replace: "col + 1u < u32(args.n)",
        ..SMALL_M
    },
    Mutation {
        name: "second_row_is_the_first",
        class: Class::Index,
        find: "min(1u, last)",
        replace: "min(0u, last)",
        ..SMALL_M
    },
    Mutation {
        name: "accumulation_dropped",
        class: Class::Accumulation,
        find: "c += b * Four(",
        replace: "c = b * Four(",
        ..SMALL_M
    },
    Mutation {
        name: "half_accumulation",
        class: Class::Accumulation,
        find: "low[local] = c;",
        replace: "low[local] = Four(ks_round_f16(c.x), ks_round_f16(c.y), c.z, c.w);",
        ..SMALL_M
    },
    Mutation {
        name: "batch_of_b_ignored",
        class: Class::Batch,
        problem: "batch=3,m=3,n=70,k=57,dtype=f32",
        find: "load_b(b_at(z, p, col))",
        replace: "load_b(b_at(0u, p, col))",
        ..SMALL_M
    },
    Mutation {
        name: "epilogue_missing",
        class: Class::Epilogue,
        problem: "m=6,n=70,k=57,dtype=f32,epilogue=bias+relu",
        find: "finish(v, z, i, col)",
        replace: "args.alpha * v",
        ..SMALL_M
    },
    Mutation {
        name: "epilogue_of_the_first_row",
        class: Class::Epilogue,
        problem: "m=6,n=70,k=57,dtype=f32,epilogue=residual+relu",
        find: "finish(v, z, i, col)",
        replace: "finish(v, z, 0u, col)",
        ..SMALL_M
    },
    Mutation {
        name: "last_k_left_out",
        class: Class::Tail,
        find: "p < k; p += lanes",
        replace: "p + 1u < k; p += lanes",
        ..SUBGROUP
    },
    Mutation { name: "lanes_not_added", class: Class::Split, find: "c = subgroupAdd(c);", replace: "", ..SUBGROUP },
    Mutation {
        name: "largest_for_sum",
        class: Class::Function,
        find: "d = subgroupAdd(d);",
        replace: "d = subgroupMax(d);",
        ..SUBGROUP
    },
    Mutation {
        name: "last_column_left_out",
        class: Class::Guard,
        find: "col < n; col +=",
        replace: "col + 1u < n; col +=",
        ..SUBGROUP
    },
    Mutation {
        name: "one_column_more",
        class: Class::Guard,
        find: "col < n; col +=",
        replace: "col <= n; col +=",
        ..SUBGROUP
    },
    Mutation {
        name: "subgroups_do_the_same",
        class: Class::Index,
        find: "var col = group.x * parts + part;",
        replace: "var col = group.x * parts;",
        ..SUBGROUP
    },
    Mutation {
        name: "fifth_row_of_the_first_four",
        class: Class::Index,
        find: "if (i > 3u)",
        replace: "if (i > 4u)",
        ..SUBGROUP
    },
    Mutation {
        name: "accumulation_dropped",
        class: Class::Accumulation,
        find: "c += b * Four(",
        replace: "c = b * Four(",
        ..SUBGROUP
    },
    Mutation {
        name: "half_accumulation",
        class: Class::Accumulation,
        find: "c = subgroupAdd(c);",
        replace: "c = subgroupAdd(c); c.x = ks_round_f16(c.x);",
        ..SUBGROUP
    },
    Mutation {
        name: "batch_of_b_ignored",
        class: Class::Batch,
        problem: "batch=3,m=3,n=70,k=57,dtype=f32,layout=nt",
        find: "load_b(b_at(z, p, col))",
        replace: "load_b(b_at(0u, p, col))",
        ..SUBGROUP
    },
    Mutation {
        name: "epilogue_missing",
        class: Class::Epilogue,
        problem: "m=6,n=70,k=57,dtype=f32,layout=nt,epilogue=bias+relu",
        find: "finish(v, z, i, col)",
        replace: "args.alpha * v",
        ..SUBGROUP
    },
];
