//! Products on the ordinary cores, tiles by asynchronous copies: `simt_ring`.

use super::Mutation;
use crate::gate_test::Class;

pub static MUTATIONS: &[Mutation] = &[
    Mutation {
        op: "gemm",
        kernel: "simt_ring",
        file: "gemm/simt_ring.cu",
        name: "last_tile_dropped",
        class: Class::Tail,
        problem: "m=70,n=136,k=204,dtype=f32,layout=nn",
        config: None,
        find: "for (; k_left > 0; k_left -= BK) {",
        replace: "for (; k_left >= BK; k_left -= BK) {",
    },
    Mutation {
        op: "gemm",
        kernel: "simt_ring",
        file: "gemm/simt_ring.cu",
        name: "k_tail_not_zeroed",
        class: Class::Guard,
        problem: "m=70,n=136,k=204,dtype=f32,layout=nn",
        config: None,
        find: "int left = kk + on < k_left ? smaller(mn_left - down, VEC) : 0;",
        replace: "int left = smaller(mn_left - down, VEC);",
    },
    Mutation {
        op: "gemm",
        kernel: "simt_ring",
        file: "gemm/simt_ring.cu",
        name: "fragments_one_step_late",
        class: Class::Offset,
        problem: "m=70,n=136,k=204,dtype=f32,layout=nn",
        config: None,
        find: "read((p + 1) % 2, stage, (p + 1) % BK);",
        replace: "read((p + 1) % 2, stage, p);",
    },
    Mutation {
        op: "gemm",
        kernel: "simt_ring",
        file: "gemm/simt_ring.cu",
        name: "runs_of_columns_swapped",
        class: Class::Swap,
        problem: "m=70,n=136,k=204,dtype=f32,layout=nn",
        config: None,
        find: "col0 + j * THREADS_N * RUN + warp",
        replace: "col0 + (TN / RUN - 1 - j) * THREADS_N * RUN + warp",
    },
    Mutation {
        op: "gemm",
        kernel: "simt_ring",
        file: "gemm/simt_ring.cu",
        name: "batch_of_b_ignored",
        class: Class::Batch,
        problem: "batch=3,m=70,n=136,k=204,dtype=f32,layout=nn",
        config: None,
        find: "b.at(z, k_begin, col0)",
        replace: "b.at(0, k_begin, col0)",
    },
    Mutation {
        op: "gemm",
        kernel: "simt_ring",
        file: "gemm/simt_ring.cu",
        name: "first_copies_not_waited_for",
        class: Class::Race,
        problem: "m=200,n=200,k=2048,dtype=f32,layout=nn",
        config: None,
        find: r#"        copy_async_wait<STAGES - 2>();
        __syncthreads();
        int stage = 0;"#,
        replace: r#"        __syncthreads();
        int stage = 0;"#,
    },
    Mutation {
        op: "gemm",
        kernel: "simt_ring",
        file: "gemm/simt_ring.cu",
        name: "first_barrier_dropped",
        class: Class::Race,
        problem: "m=200,n=200,k=2048,dtype=f32,layout=nn",
        config: None,
        find: r#"        copy_async_wait<STAGES - 2>();
        __syncthreads();
        int stage = 0;"#,
        replace: r#"        copy_async_wait<STAGES - 2>();
        int stage = 0;"#,
    },
];
