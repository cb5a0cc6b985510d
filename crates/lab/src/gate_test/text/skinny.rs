//! Linear layers of few rows: `skinny`.

use super::Mutation;
use crate::gate_test::Class;

pub static MUTATIONS: &[Mutation] = &[
    Mutation {
        op: "gemm",
        kernel: "skinny",
        file: "gemm/skinny.cu",
        name: "last_piece_dropped",
        class: Class::Tail,
        problem: "m=5,n=200,k=520,dtype=f16,layout=nt",
        config: None,
        find: "unsigned pieces = (unsigned)ceil_div(k, PIECE);",
        replace: "unsigned pieces = (unsigned)(k / PIECE);",
    },
    Mutation {
        op: "gemm",
        kernel: "skinny",
        file: "gemm/skinny.cu",
        name: "last_warp_left_out",
        class: Class::Accumulation,
        problem: "m=5,n=200,k=520,dtype=f16,layout=nt",
        config: None,
        find: "for (int w = 1; w < WARPS_K; ++w) sum",
        replace: "for (int w = 1; w < WARPS_K - 1; ++w) sum",
    },
    Mutation {
        op: "gemm",
        kernel: "skinny",
        file: "gemm/skinny.cu",
        name: "rows_beyond_the_last_stored",
        class: Class::Guard,
        problem: "m=5,n=200,k=520,dtype=f16,layout=nt",
        config: None,
        find: "if (row < m && to < n) *d.at(z, row, to)",
        replace: "if (to < n) *d.at(z, row, to)",
    },
    Mutation {
        op: "gemm",
        kernel: "skinny",
        file: "gemm/skinny.cu",
        name: "halves_of_a_piece_swapped",
        class: Class::Swap,
        problem: "m=5,n=200,k=520,dtype=f16,layout=nt",
        config: None,
        find: "{pa[0].word[half], 0, pa[0].word[half + 1], 0}",
        replace: "{pa[0].word[half + 1], 0, pa[0].word[half], 0}",
    },
    Mutation {
        op: "gemm",
        kernel: "skinny",
        file: "gemm/skinny.cu",
        name: "batch_of_b_ignored",
        class: Class::Batch,
        problem: "batch=3,m=5,n=200,k=520,dtype=f16,layout=nt",
        config: None,
        find: "b.at(z, 0, col) + t * 8",
        replace: "b.at(0, 0, col) + t * 8",
    },
    Mutation {
        op: "gemm",
        kernel: "skinny",
        file: "gemm/skinny.cu",
        name: "bias_of_the_first_column",
        class: Class::Epilogue,
        problem: "m=5,n=200,k=520,dtype=f16,layout=nt,epilogue=bias",
        config: None,
        find: "ahead[r * NEAR + x] = *from.at(z, row, to);",
        replace: "ahead[r * NEAR + x] = *from.at(z, row, 0);",
    },
    Mutation {
        op: "gemm",
        kernel: "skinny",
        file: "gemm/skinny.cu",
        name: "weights_not_waited_for",
        class: Class::Race,
        problem: "m=5,n=200,k=520,dtype=f16,layout=nt",
        config: None,
        find: r#"    if (!b_settled) wait_for_launches();
"#,
        replace: "",
    },
    Mutation {
        op: "gemm",
        kernel: "skinny",
        file: "gemm/skinny.cu",
        name: "rows_not_waited_for",
        class: Class::Race,
        problem: "m=5,n=200,k=520,dtype=f16,layout=nt",
        config: None,
        find: r#"load_b(piece_b[u], block, first + u);
    wait_for_launches();
"#,
        replace: r#"load_b(piece_b[u], block, first + u);
"#,
    },
];
