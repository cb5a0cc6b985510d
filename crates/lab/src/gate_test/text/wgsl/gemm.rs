//! Products of any size: `naive`, `tiled`, `register`.

use super::Mutation;
use crate::gate_test::Class;

const NAIVE: Mutation = Mutation {
    op: "gemm",
    kernel: "naive",
    file: "gemm/naive.wgsl",
    name: "",
    class: Class::Tail,
    problem: "m=24,n=40,k=57,dtype=f32,layout=nt",
    config: None,
    find: "",
    replace: "",
};
const TILED: Mutation = Mutation {
    op: "gemm",
    kernel: "tiled",
    file: "gemm/tiled.wgsl",
    name: "",
    class: Class::Tail,
    problem: "m=70,n=75,k=57,dtype=f32,layout=nt",
    config: None,
    find: "",
    replace: "",
};
const REGISTER: Mutation = Mutation {
    op: "gemm",
    kernel: "register",
    file: "gemm/register.wgsl",
    name: "",
    class: Class::Tail,
    problem: "m=70,n=73,k=57,dtype=f32,layout=nt",
    config: None,
    find: "",
    replace: "",
};

pub static MUTATIONS: &[Mutation] = &[
    Mutation {
        name: "skips_last_k",
        class: Class::Tail,
        find: "p < args.k; p++",
        replace: "p < args.k - 1; p++",
        ..NAIVE
    },
    Mutation {
        name: "skips_k_tail",
        class: Class::Tail,
        find: "p < args.k; p++",
        replace: "p < args.k / 4 * 4; p++",
        ..NAIVE
    },
    Mutation {
        name: "guard_lets_in_one_more",
        class: Class::Guard,
        find: "i < m * n; i +=",
        replace: "i <= m * n; i +=",
        ..NAIVE
    },
    Mutation {
        name: "guard_keeps_out_the_last",
        class: Class::Guard,
        find: "i < m * n; i +=",
        replace: "i + 1u < m * n; i +=",
        ..NAIVE
    },
    Mutation {
        name: "wrong_stride_of_a",
        class: Class::Stride,
        find: "pa += args.a_col;",
        replace: "pa += args.a_row;",
        ..NAIVE
    },
    Mutation {
        name: "wrong_stride_of_b",
        class: Class::Stride,
        find: "pb += args.b_row;",
        replace: "pb += args.b_col;",
        ..NAIVE
    },
    Mutation {
        name: "accumulation_dropped",
        class: Class::Accumulation,
        find: "acc += load_a(pa) * load_b(pb);",
        replace: "acc = load_a(pa) * load_b(pb);",
        ..NAIVE
    },
    Mutation {
        name: "half_accumulation",
        class: Class::Accumulation,
        find: "acc += load_a(pa) * load_b(pb);",
        replace: "acc = ks_round_f16(acc + load_a(pa) * load_b(pb));",
        ..NAIVE
    },
    Mutation {
        name: "bf16_accumulation",
        class: Class::Accumulation,
        find: "acc += load_a(pa) * load_b(pb);",
        replace: "acc = ks_round_bf16(acc + load_a(pa) * load_b(pb));",
        ..NAIVE
    },
    Mutation {
        name: "rows_and_columns_swapped",
        class: Class::Swap,
        problem: "m=24,n=24,k=24,dtype=f32",
        find: r"var pa = a_at(z, row, 0u);
            var pb = b_at(z, 0u, col);",
        replace: r"var pa = a_at(z, col, 0u);
            var pb = b_at(z, 0u, row);",
        ..NAIVE
    },
    Mutation {
        name: "batch_of_b_ignored",
        class: Class::Batch,
        problem: "batch=3,m=24,n=40,k=57,dtype=f32",
        find: "b_at(z, 0u, col)",
        replace: "b_at(0u, 0u, col)",
        ..NAIVE
    },
    Mutation {
        name: "only_the_first_of_the_batch",
        class: Class::Batch,
        problem: "batch=3,m=24,n=40,k=57,dtype=f32",
        find: "z < batch; z += groups.z",
        replace: "z < 1u; z += groups.z",
        ..NAIVE
    },
    Mutation {
        name: "adds_to_output",
        class: Class::Stale,
        find: "finish(acc, z, row, col)",
        replace: "bitcast<f32>(d_data[d_at(z, row, col)]) + finish(acc, z, row, col)",
        ..NAIVE
    },
    Mutation {
        name: "swallows_nan",
        class: Class::Nan,
        find: "acc += load_a(pa) * load_b(pb);",
        replace: r"let x = load_a(pa) * load_b(pb);
                if (!is_nan(x)) { acc += x; }",
        ..NAIVE
    },
    Mutation {
        name: "changes_input",
        class: Class::Memory,
        find: "var acc = Acc(0);",
        replace: r"var acc = Acc(0);
            if (i == 0u) { a_data[args.a_offset] = 0x40000000u; }",
        ..NAIVE
    },
    Mutation {
        name: "needs_poison",
        class: Class::Stale,
        find: "store_d(d_at(z, row, col), finish(acc, z, row, col));",
        replace: "if (d_data[d_at(z, row, col)] != 0u) { store_d(d_at(z, row, col), finish(acc, z, row, col)); }",
        ..NAIVE
    },
    Mutation {
        name: "epilogue_missing",
        class: Class::Epilogue,
        problem: "m=24,n=40,k=57,dtype=f32,epilogue=bias+relu",
        find: "finish(acc, z, row, col)",
        replace: "args.alpha * acc",
        ..NAIVE
    },
    Mutation {
        name: "epilogue_at_another_place",
        class: Class::Epilogue,
        problem: "m=24,n=40,k=57,dtype=f32,epilogue=bias+relu",
        find: "finish(acc, z, row, col)",
        replace: "finish(acc, z, row, col ^ 1u)",
        ..NAIVE
    },
    Mutation {
        name: "alpha_ignored",
        class: Class::Scale,
        problem: "m=24,n=40,k=57,dtype=f32,alpha=0.5,beta=2.0",
        find: "finish(acc, z, row, col)",
        replace: "finish(acc / args.alpha, z, row, col)",
        ..NAIVE
    },
    Mutation {
        name: "beta_ignored",
        class: Class::Scale,
        problem: "m=24,n=40,k=57,dtype=f32,alpha=0.5,beta=2.0",
        find: "finish(acc, z, row, col)",
        replace: "args.alpha * acc",
        ..NAIVE
    },
    Mutation {
        name: "first_row_of_c",
        class: Class::Stride,
        problem: "m=24,n=40,k=57,dtype=f32,alpha=0.5,beta=2.0",
        find: "finish(acc, z, row, col)",
        replace: "finish(acc, z, 0u, col)",
        ..NAIVE
    },
    Mutation {
        name: "rounds_towards_zero",
        class: Class::Rounding,
        file: "include/halves_in_words.wgsl",
        problem: "m=24,n=40,k=57,dtype=f16",
        find: "m + 0xfffu + even - 0x38000000u",
        replace: "m - 0x38000000u",
        ..NAIVE
    },
    Mutation {
        name: "conversion_rounds_towards_zero",
        class: Class::Rounding,
        file: "include/halves.wgsl",
        problem: "m=24,n=40,k=57,dtype=f16",
        find: "vec2<f32>(x, 0.0)",
        replace: "vec2<f32>(bitcast<f32>(bitcast<u32>(x) & 0xffffe000u), 0.0)",
        ..NAIVE
    },
    Mutation {
        name: "k_tail_left_out",
        class: Class::Tail,
        find: "from_k < k; from_k += BK",
        replace: "from_k + BK <= k; from_k += BK",
        ..TILED
    },
    Mutation {
        name: "last_k_of_a_masked",
        class: Class::Tail,
        find: "first_row + r < m && from_k + p < k",
        replace: "first_row + r < m && from_k + p + 1u < k",
        ..TILED
    },
    Mutation {
        name: "k_of_a_not_masked",
        class: Class::Guard,
        find: "first_row + r < m && from_k + p < k",
        replace: "first_row + r < m",
        ..TILED
    },
    Mutation {
        name: "last_step_of_a_slice_left_out",
        class: Class::Tail,
        find: "for (var p = 0u; p < BK; p++)",
        replace: "for (var p = 0u; p + 1u < BK; p++)",
        ..TILED
    },
    Mutation {
        name: "first_barrier_dropped",
        class: Class::Race,
        find: r"            workgroupBarrier();
            for (var p = 0u;",
        replace: "            for (var p = 0u;",
        ..TILED
    },
    Mutation {
        name: "second_barrier_dropped",
        class: Class::Race,
        find: r"            workgroupBarrier();
        }
",
        replace: r"        }
",
        ..TILED
    },
    Mutation {
        name: "stale_slice",
        class: Class::Stale,
        find: "slice_b[p * BN + c] = v;",
        replace: "if (from_k == 0u) { slice_b[p * BN + c] = v; }",
        ..TILED
    },
    Mutation {
        name: "wrong_stride_of_a_slice",
        class: Class::Stride,
        config: Some(&[("BN", 32)]),
        find: "slice_a[p * BM + r] = v;",
        replace: "slice_a[p * BN + r] = v;",
        ..TILED
    },
    Mutation {
        name: "accumulation_dropped",
        class: Class::Accumulation,
        find: "d7 += e.w * f;",
        replace: "d7 = e.w * f;",
        ..TILED
    },
    Mutation {
        name: "half_accumulation",
        class: Class::Accumulation,
        find: "c0 += a.x * b;",
        replace: "c0 += a.x * b; c0.x = ks_round_f16(c0.x);",
        ..TILED
    },
    Mutation {
        name: "two_rows_swapped",
        class: Class::Swap,
        find: "array<Four, 16>(c0, c1,",
        replace: "array<Four, 16>(c1, c0,",
        ..TILED
    },
    Mutation {
        name: "four_taken_twice",
        class: Class::Stride,
        find: "let f = of_b(p * BN + x + 4u);",
        replace: "let f = of_b(p * BN + x);",
        ..TILED
    },
    Mutation {
        name: "stores_one_row_more",
        class: Class::Guard,
        find: "r < m && c < n",
        replace: "r <= m && c < n",
        ..TILED
    },
    Mutation {
        name: "partial_write",
        class: Class::Write,
        find: "r < m && c < n",
        replace: "r < m && c + 1u < n",
        ..TILED
    },
    Mutation {
        name: "batch_of_a_ignored",
        class: Class::Batch,
        problem: "batch=3,m=70,n=75,k=57,dtype=f32",
        find: "a_at(z, first_row + r,",
        replace: "a_at(0u, first_row + r,",
        ..TILED
    },
    Mutation {
        name: "epilogue_missing",
        class: Class::Epilogue,
        problem: "m=70,n=75,k=57,dtype=f32,epilogue=bias+relu",
        find: "finish(tile[i][j], z, r, c)",
        replace: "args.alpha * tile[i][j]",
        ..TILED
    },
    Mutation {
        name: "epilogue_of_another_tile",
        class: Class::Epilogue,
        problem: "m=70,n=75,k=57,dtype=f32,epilogue=bias+relu",
        find: "finish(tile[i][j], z, r, c)",
        replace: "finish(tile[i][j], z, r, c - first_col)",
        ..TILED
    },
    Mutation {
        name: "skips_last_k",
        class: Class::Tail,
        find: "p < args.k; p++",
        replace: "p < args.k - 1; p++",
        ..REGISTER
    },
    Mutation {
        name: "last_column_repeats_another",
        class: Class::Guard,
        find: "let last = u32(args.n) - 1u;",
        replace: "let last = u32(args.n) - 2u;",
        ..REGISTER
    },
    Mutation {
        name: "last_row_repeats_another",
        class: Class::Guard,
        find: "let last = u32(args.m) - 1u;",
        replace: "let last = u32(args.m) - 2u;",
        ..REGISTER
    },
    Mutation {
        name: "one_row_for_two",
        class: Class::Stride,
        find: "load_a(at.z + by), load_a(at.w + by)",
        replace: "load_a(at.z + by), load_a(at.z + by)",
        ..REGISTER
    },
    Mutation {
        name: "wrong_stride_of_b",
        class: Class::Stride,
        find: "pb += args.b_row;",
        replace: "pb += args.b_col;",
        ..REGISTER
    },
    Mutation {
        name: "lower_rows_one_too_high",
        class: Class::Offset,
        find: "rows(z, row + 4u)",
        replace: "rows(z, row + 3u)",
        ..REGISTER
    },
    Mutation {
        name: "columns_taken_twice",
        class: Class::Offset,
        find: "columns(z, col + 4u)",
        replace: "columns(z, col)",
        ..REGISTER
    },
    Mutation {
        name: "accumulation_dropped",
        class: Class::Accumulation,
        find: "d3 += a.w * f;",
        replace: "d3 = a.w * f;",
        ..REGISTER
    },
    Mutation {
        name: "half_accumulation",
        class: Class::Accumulation,
        find: "c7 += e.w * b;",
        replace: r"c7 += e.w * b;
                c7.y = ks_round_f16(c7.y);",
        ..REGISTER
    },
    Mutation {
        name: "rows_swapped",
        class: Class::Swap,
        find: "(c0, c1, c2, c3, c4,",
        replace: "(c0, c1, c3, c2, c4,",
        ..REGISTER
    },
    Mutation {
        name: "one_row_more",
        class: Class::Guard,
        find: "r >= u32(args.m)",
        replace: "r > u32(args.m)",
        ..REGISTER
    },
    Mutation {
        name: "last_column_unwritten",
        class: Class::Write,
        find: "if (c < u32(args.n)) { store_d",
        replace: "if (c + 1u < u32(args.n)) { store_d",
        ..REGISTER
    },
    Mutation {
        name: "last_block_left_out",
        class: Class::Guard,
        find: "if (col >= u32(args.n)) { return; }",
        replace: "if (col + 1u >= u32(args.n)) { return; }",
        ..REGISTER
    },
    Mutation {
        name: "batch_of_a_ignored",
        class: Class::Batch,
        problem: "batch=3,m=70,n=73,k=57,dtype=f32",
        find: "let a0 = rows(z, row);",
        replace: "let a0 = rows(0u, row);",
        ..REGISTER
    },
    Mutation {
        name: "epilogue_missing",
        class: Class::Epilogue,
        problem: "m=70,n=73,k=57,dtype=f32,epilogue=bias+relu",
        find: "finish(tile[i][j], z, r, c)",
        replace: "args.alpha * tile[i][j]",
        ..REGISTER
    },
];
