//! Kernels that move vectors of 16 bytes, and the one of cooperative matrices, which no software adapter here has.

use super::Mutation;
use crate::gate_test::Class;

const STREAM: Mutation = Mutation {
    op: "gemm",
    kernel: "stream",
    file: "gemm/stream.wgsl",
    name: "",
    class: Class::Tail,
    problem: "m=1,n=67,k=136,dtype=f32,layout=nt",
    config: None,
    find: "",
    replace: "",
};
const BUFFERED: Mutation = Mutation {
    op: "gemm",
    kernel: "buffered",
    file: "gemm/buffered.wgsl",
    name: "",
    class: Class::Tail,
    problem: "m=72,n=136,k=40,dtype=f32,layout=nt",
    config: None,
    find: "",
    replace: "",
};
const MATRIX: Mutation = Mutation {
    op: "gemm",
    kernel: "matrix",
    file: "gemm/matrix.wgsl",
    name: "",
    class: Class::Tail,
    problem: "m=136,n=200,k=72,dtype=f16,layout=nt",
    config: None,
    find: "",
    replace: "",
};
const VECTOR: Mutation = Mutation {
    op: "map",
    kernel: "vector",
    file: "map/vector.wgsl",
    name: "",
    class: Class::Tail,
    problem: "shape=4483,expr=mul(x0,1.5),x0=f32,out=f32",
    config: None,
    find: "",
    replace: "",
};
const WHOLE: Mutation = Mutation {
    op: "reduce",
    kernel: "whole",
    file: "reduce/whole.wgsl",
    name: "",
    class: Class::Tail,
    problem: "kind=sum,outer=scalar,inner=70003,x0=f32,out=f32",
    config: Some(&[("THREADS", 64), ("SHARES", 16)]),
    find: "",
    replace: "",
};

pub static MUTATIONS: &[Mutation] = &[
    Mutation {
        name: "k_tail_left_out",
        find: "p < vectors; p += i32(lanes)",
        replace: "p + i32(lanes) <= vectors; p += i32(lanes)",
        ..STREAM
    },
    Mutation {
        name: "last_column_unwritten",
        class: Class::Write,
        find: "if (col + j < n)",
        replace: "if (col + j + 1u < n)",
        ..STREAM
    },
    Mutation {
        name: "sum_starts_anew",
        class: Class::Accumulation,
        find: "let y = s + low_a(a) * b.low;",
        replace: "let y = low_a(a) * b.low;",
        ..STREAM
    },
    Mutation {
        name: "last_column_is_the_one_before",
        class: Class::Offset,
        find: "min(col, u32(args.n) - 1u)",
        replace: "min(col, u32(args.n) - 2u)",
        ..STREAM
    },
    Mutation { name: "lanes_do_not_meet", class: Class::Split, find: "s0 = subgroupAdd(s0);", replace: "", ..STREAM },
    Mutation {
        name: "epilogue_missing",
        class: Class::Epilogue,
        problem: "m=1,n=67,k=136,dtype=f32,layout=nt,alpha=0.5",
        find: "finish(rows[i][j], z, i, col + j)",
        replace: "rows[i][j]",
        ..STREAM
    },
    Mutation {
        name: "second_row_is_the_first",
        class: Class::Swap,
        problem: "m=2,n=67,k=136,dtype=f32,layout=nt",
        find: "s1 = step(s1, quad_a(r1 + p), b);",
        replace: "s1 = step(s1, quad_a(r0 + p), b);",
        ..STREAM
    },
    Mutation {
        name: "k_tail_left_out",
        find: "from_k < k; from_k += BK",
        replace: "from_k + BK <= k; from_k += BK",
        ..BUFFERED
    },
    Mutation {
        name: "sum_starts_anew",
        class: Class::Accumulation,
        find: "c0 += a.x * b;",
        replace: "c0 = a.x * b;",
        ..BUFFERED
    },
    Mutation {
        name: "second_row_is_the_first",
        class: Class::Swap,
        find: "c1 += a.y * b;",
        replace: "c1 += a.x * b;",
        ..BUFFERED
    },
    Mutation {
        name: "third_k_is_the_fourth",
        class: Class::Offset,
        find: "slice_b[at + 2u * B_WIDTH][c] = v.z;",
        replace: "slice_b[at + 2u * B_WIDTH][c] = v.w;",
        ..BUFFERED
    },
    Mutation {
        name: "next_slice_over_this_one",
        class: Class::Race,
        find: "place = BK - place;",
        replace: "",
        ..BUFFERED
    },
    Mutation {
        name: "last_column_unwritten",
        class: Class::Write,
        find: "if (r < m && c < n) { store_d",
        replace: "if (r < m && c + 1u < n) { store_d",
        ..BUFFERED
    },
    Mutation {
        name: "epilogue_missing",
        class: Class::Epilogue,
        problem: "m=72,n=136,k=40,dtype=f32,layout=nt,alpha=0.5",
        find: "finish(tile[i][j], z, r, c)",
        replace: "tile[i][j]",
        ..BUFFERED
    },
    Mutation {
        name: "k_tail_left_out",
        find: "from_k < k; from_k += BK",
        replace: "from_k + BK <= k; from_k += BK",
        ..MATRIX
    },
    Mutation {
        name: "sum_starts_anew",
        class: Class::Accumulation,
        find: "c00 = coopMultiplyAdd(r0, s0, c00);",
        replace: "c00 = coopMultiplyAdd(r0, s0, MatrixC());",
        ..MATRIX
    },
    Mutation {
        name: "second_rows_are_the_first",
        class: Class::Swap,
        find: "c10 = coopMultiplyAdd(r1, s0, c10);",
        replace: "c10 = coopMultiplyAdd(r0, s0, c10);",
        ..MATRIX
    },
    Mutation { name: "next_slice_is_this_one", class: Class::Offset, find: "at_b += b_slice;", replace: "", ..MATRIX },
    Mutation {
        name: "last_columns_unwritten",
        class: Class::Write,
        find: "if (r >= m || c >= n) { continue; }",
        replace: "if (r >= m || c + 2u >= n) { continue; }",
        ..MATRIX
    },
    Mutation {
        name: "epilogue_missing",
        class: Class::Epilogue,
        problem: "m=136,n=200,k=72,dtype=f16,layout=nt,alpha=0.5",
        find: "let y = finish(results[at], z, r, c);",
        replace: "let y = results[at];",
        ..MATRIX
    },
    Mutation { name: "last_vector_left_out", find: "i < vectors; i +=", replace: "i + 1u < vectors; i +=", ..VECTOR },
    Mutation { name: "last_element_left_out", find: "i < total; i++", replace: "i + 1u < total; i++", ..VECTOR },
    Mutation {
        name: "first_after_the_vectors_left_out",
        class: Class::Guard,
        find: "i = vectors * LANES; i < total",
        replace: "i = vectors * LANES + 1u; i < total",
        ..VECTOR
    },
    Mutation {
        name: "all_are_the_first",
        class: Class::Offset,
        find: "store_lanes(p, expr_lanes(p));",
        replace: "store_lanes(p, expr_lanes(origin()));",
        ..VECTOR
    },
    Mutation {
        name: "vectors_unwritten",
        class: Class::Write,
        find: "store_lanes(p, expr_lanes(p));",
        replace: "",
        ..VECTOR
    },
    Mutation {
        name: "last_vectors_left_out",
        find: "v < vectors; v += SHARES * THREADS",
        replace: "v + THREADS < vectors; v += SHARES * THREADS",
        ..WHOLE
    },
    Mutation {
        name: "last_elements_left_out",
        // Few enough that three more or less are far beyond the bound of their sum.
        problem: "kind=sum,outer=scalar,inner=259,x0=f32,out=f32",
        config: Some(&[("THREADS", 64), ("SHARES", 1)]),
        find: "i < args.inner; i++",
        replace: "i + 3u < args.inner; i++",
        ..WHOLE
    },
    Mutation {
        name: "last_share_left_out",
        class: Class::Split,
        find: "i < SHARES; i += THREADS",
        replace: "i + 1u < SHARES; i += THREADS",
        ..WHOLE
    },
    Mutation {
        name: "a_share_is_stale",
        class: Class::Stale,
        find: "workspace[output * SHARES + share] = s.value;",
        replace: "if (share != 3u) { workspace[output * SHARES + share] = s.value; }",
        ..WHOLE
    },
    Mutation {
        name: "position_is_the_vectors",
        class: Class::Index,
        problem: "kind=argmax,outer=3,inner=40000,x0=f32,out=i32",
        find: "enter_inner(base, v * LANES), v * LANES)",
        replace: "enter_inner(base, v * LANES), v)",
        ..WHOLE
    },
];
