//! Attention.

use super::Mutation;
use crate::gate_test::Class;

const FLASH: Mutation = Mutation {
    op: "attention",
    kernel: "flash",
    file: "attention/flash.cu",
    name: "",
    class: Class::Index,
    problem: "batch=2,heads=4,kv_heads=2,queries=70,keys=155,head=64,dtype=f16,causal=1",
    config: None,
    find: "",
    replace: "",
};
const GENERAL: Mutation = Mutation {
    op: "attention",
    kernel: "general",
    file: "attention/general.cu",
    name: "",
    class: Class::Index,
    problem: "batch=2,heads=4,kv_heads=2,queries=20,keys=70,head=20,dtype=f32,causal=1",
    config: None,
    find: "",
    replace: "",
};
const SPLIT: Mutation = Mutation {
    op: "attention",
    kernel: "split",
    file: "attention/split.cu",
    name: "",
    class: Class::Split,
    problem: "batch=2,heads=8,kv_heads=2,queries=1,keys=605,head=64,dtype=f16",
    config: Some(&[("ROWS", 4), ("WARPS", 4), ("UNROLL", 2), ("SPLITS", 8)]),
    find: "",
    replace: "",
};
const FOR_ALL: Mutation = Mutation { file: "include/attention.cuh", ..GENERAL };

/// Rows as far apart as all heads are long, of which K has fewer.
const INTERLEAVED: &str = "batch=2,heads=4,kv_heads=2,queries=70,keys=155,head=64,dtype=f16,order=bshd";

pub static MUTATIONS: &[Mutation] = &[
    Mutation {
        name: "triangle_off_by_one",
        class: Class::Guard,
        find: "CAUSAL ? keys - queries + query + 1 : keys",
        replace: "CAUSAL ? min(keys - queries + query + 2, keys) : keys",
        ..FOR_ALL
    },
    Mutation {
        name: "triangle_at_the_upper_left",
        class: Class::Guard,
        find: "CAUSAL ? keys - queries + query + 1 : keys",
        replace: "CAUSAL ? query + 1 : keys",
        ..FOR_ALL
    },
    Mutation {
        name: "last_tile_of_keys_left_out",
        class: Class::Tail,
        find: "key_tiles = ceil_div(seen, BN);",
        replace: "key_tiles = seen > BN ? seen / BN : 1;",
        ..FLASH
    },
    Mutation {
        name: "edge_not_masked",
        class: Class::Guard,
        find: "if (key0 + BN > seen_by_first) {",
        replace: "if (key0 > seen_by_first) {",
        ..FLASH
    },
    Mutation {
        name: "mask_off_by_one",
        class: Class::Guard,
        find: "if (n * 8 >= end)",
        replace: "if (n * 8 > end)",
        ..FLASH
    },
    Mutation {
        name: "mask_of_the_other_rows",
        class: Class::Index,
        find: "row0 + i * 16 + e / 2 * 8 + lane / 4",
        replace: "row0 + i * 16 + e % 2 * 8 + lane / 4",
        ..FLASH
    },
    Mutation {
        name: "warps_of_the_edge_left_out",
        class: Class::Guard,
        find: "visible(row0 + ROWS - 1, queries, keys)",
        replace: "visible(row0, queries, keys)",
        ..FLASH
    },
    Mutation {
        name: "half_of_the_results_not_scaled",
        class: Class::Accumulation,
        find: "o[i][n][2 * half] *= decay;",
        replace: "o[i][n][2 * half] *= 1.0f;",
        ..FLASH
    },
    Mutation {
        name: "sum_not_scaled",
        class: Class::Accumulation,
        find: "fmaf(sum[i][half], decay, added)",
        replace: "sum[i][half] + added",
        ..FLASH
    },
    Mutation {
        name: "maximum_of_a_lane",
        class: Class::Function,
        find: "best = largest_of_row(best);",
        replace: "",
        ..FLASH
    },
    Mutation {
        name: "sum_of_two_lanes",
        class: Class::Accumulation,
        find: "return x + __shfl_xor_sync(0xffffffffu, x, 2);",
        replace: "return x;",
        ..FLASH
    },
    Mutation {
        name: "maximum_begins_at_zero",
        class: Class::Identity,
        find: "largest[i][0] = largest[i][1] = minus_infinity();",
        replace: "largest[i][0] = largest[i][1] = 0.0f;",
        ..FLASH
    },
    Mutation {
        name: "scale_ignored",
        class: Class::Scale,
        find: "factor = scale * LOG2_E;",
        replace: "factor = LOG2_E;",
        ..FLASH
    },
    Mutation {
        name: "powers_of_two_for_e",
        class: Class::Function,
        find: "factor = scale * LOG2_E;",
        replace: "factor = scale;",
        ..FLASH
    },
    Mutation {
        name: "weights_swapped_in_pairs",
        class: Class::Swap,
        find: r#"asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));"#,
        replace: r#"asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(low), "f"(high));"#,
        ..FLASH
    },
    Mutation {
        name: "weights_misplaced",
        class: Class::Swap,
        find: "&s[i][2 * step + e / 2][e % 2 * 2]",
        replace: "&s[i][2 * step + e % 2][e / 2 * 2]",
        ..FLASH
    },
    Mutation {
        name: "values_not_transposed",
        class: Class::Swap,
        find: "load_matrices_transposed(b, tile",
        replace: "load_matrices(b, tile",
        ..FLASH
    },
    Mutation {
        name: "keys_misplaced",
        class: Class::Swap,
        find: "(key + matrix / 2 * 8 + lane % 8) * PITCH + (step * 2 + matrix % 2) * 16",
        replace: "(key + matrix % 2 * 8 + lane % 8) * PITCH + (step * 2 + matrix / 2) * 16",
        ..FLASH
    },
    Mutation {
        name: "queries_of_the_first_warp",
        class: Class::Index,
        find: "read_q(fragments_q[i][step], tile_q, warp * ROWS + i * 16, step, lane);",
        replace: "read_q(fragments_q[i][step], tile_q, i * 16, step, lane);",
        ..FLASH
    },
    Mutation {
        name: "heads_of_v_not_grouped",
        class: Class::Index,
        find: "from_v = v.at(batch, head / group, 0);",
        replace: "from_v = v.at(batch, head % group, 0);",
        ..FLASH
    },
    Mutation {
        name: "batch_of_k_ignored",
        class: Class::Batch,
        find: "from_k = k.at(batch, head / group, 0);",
        replace: "from_k = k.at(0, head / group, 0);",
        ..FLASH
    },
    Mutation {
        name: "rows_of_q_as_those_of_k",
        class: Class::Stride,
        problem: INTERLEAVED,
        find: "q.at(batch, head, query0), q.row_stride, queries - query0",
        replace: "q.at(batch, head, query0), k.row_stride, queries - query0",
        ..FLASH
    },
    Mutation {
        name: "tail_not_filled_with_zeros",
        class: Class::Guard,
        find: "row < left ? 16 : 0",
        replace: "16",
        ..FLASH
    },
    Mutation {
        name: "queries_past_the_end_written",
        class: Class::Write,
        find: "if (row0 + row >= queries) continue;",
        replace: "if (row0 + row > queries) continue;",
        ..FLASH
    },
    Mutation {
        name: "last_vectors_not_written",
        class: Class::Write,
        find: "i < ROWS * CHUNKS / 32; ++i",
        replace: "i < ROWS * CHUNKS / 32 - 1; ++i",
        ..FLASH
    },
    Mutation {
        name: "sum_of_the_other_row",
        class: Class::Swap,
        find: "1.0f / sum_of_row(sum[i][half])",
        replace: "1.0f / sum_of_row(sum[i][0])",
        ..FLASH
    },
    Mutation {
        name: "values_of_the_first_stage",
        class: Class::Index,
        find: "tile_v = tiles_v + t % STAGES * TILE_BYTES;",
        replace: "tile_v = tiles_v;",
        ..FLASH
    },
    Mutation {
        name: "barrier_before_the_scores_dropped",
        class: Class::Race,
        find: "__syncthreads();  // K(t) is there; the warps are done with V(t - 1)",
        replace: "",
        ..FLASH
    },
    Mutation {
        name: "barrier_before_the_values_dropped",
        class: Class::Race,
        find: "__syncthreads();  // V(t) is there; the warps are done with K(t)",
        replace: "",
        ..FLASH
    },
    Mutation {
        name: "waits_for_one_copy_too_few",
        class: Class::Race,
        find: "PENDING = 2 * STAGES - 2;",
        replace: "PENDING = 2 * STAGES - 1;",
        ..FLASH
    },
    Mutation {
        name: "last_key_left_out",
        class: Class::Tail,
        find: "first < seen; first += WARPS * KEYS",
        replace: "first + 1 < seen; first += WARPS * KEYS",
        ..GENERAL
    },
    Mutation {
        name: "keys_past_the_end",
        class: Class::Guard,
        find: "if (first + u >= seen) break;",
        replace: "",
        ..GENERAL
    },
    Mutation { name: "sum_not_scaled", class: Class::Accumulation, find: "sum *= decay;", replace: "", ..GENERAL },
    Mutation {
        name: "result_not_scaled",
        class: Class::Accumulation,
        find: "result[i] *= decay;",
        replace: "result[i] *= 1.0f;",
        ..GENERAL
    },
    Mutation {
        name: "half_of_the_lanes_not_added",
        class: Class::Accumulation,
        find: "int step = 16; step > 0",
        replace: "int step = 8; step > 0",
        ..GENERAL
    },
    Mutation {
        name: "scale_ignored",
        class: Class::Scale,
        find: "score[u] * scale : minus_infinity()",
        replace: "score[u] : minus_infinity()",
        ..GENERAL
    },
    Mutation {
        name: "last_warps_sum_dropped",
        class: Class::Split,
        find: "w < WARPS; ++w) total +=",
        replace: "w < WARPS - 1; ++w) total +=",
        ..GENERAL
    },
    Mutation {
        name: "warps_not_weighed",
        class: Class::Split,
        find: "y += results[w][d] * expf(maxima[w] - base);",
        replace: "y += results[w][d];",
        ..GENERAL
    },
    Mutation {
        name: "barrier_before_the_merge_dropped",
        class: Class::Race,
        find: r"__syncthreads();
        float best = minus_infinity();",
        replace: "float best = minus_infinity();",
        ..GENERAL
    },
    Mutation {
        name: "numbers_past_the_head",
        class: Class::Guard,
        find: "return HEAD % 32 == 0 || lane + 32 * i < HEAD;",
        replace: "return true;",
        ..GENERAL
    },
    Mutation {
        name: "heads_of_k_not_grouped",
        class: Class::Index,
        find: "from_k = k.at(batch, head / group, 0);",
        replace: "from_k = k.at(batch, head % group, 0);",
        ..GENERAL
    },
    Mutation {
        name: "numbers_of_q_side_by_side",
        class: Class::Stride,
        find: "from_q[(lane + 32 * i) * q.col_stride]",
        replace: "from_q[lane + 32 * i]",
        ..GENERAL
    },
    Mutation {
        name: "maximum_begins_at_zero",
        class: Class::Identity,
        find: "float largest = minus_infinity(), sum = 0.0f;",
        replace: "float largest = 0.0f, sum = 0.0f;",
        ..GENERAL
    },
    Mutation {
        name: "last_number_not_written",
        class: Class::Write,
        find: "d < HEAD; d += WARPS * 32",
        replace: "d + 1 < HEAD; d += WARPS * 32",
        ..GENERAL
    },
    Mutation {
        name: "last_share_not_merged",
        find: "for (int s = 0; s < SPLITS; ++s) y = fmaf(",
        replace: "for (int s = 0; s < SPLITS - 1; ++s) y = fmaf(",
        ..SPLIT
    },
    Mutation {
        name: "shares_not_weighed",
        find: "y = fmaf(records[s * RECORD + d], expf(records[s * RECORD + HEAD] - base), y);",
        replace: "y += records[s * RECORD + d];",
        ..SPLIT
    },
    Mutation {
        name: "teams_not_weighed",
        find: "const float factor = expf(maxima[t][r] - base);",
        replace: "const float factor = 1.0f;",
        ..SPLIT
    },
    Mutation {
        name: "share_too_short",
        class: Class::Tail,
        find: "share = ceil_div(keys, SPLITS), begin",
        replace: "share = keys / SPLITS, begin",
        ..SPLIT
    },
    Mutation {
        name: "last_key_left_out",
        class: Class::Tail,
        find: "first < end; first += ALL * UNROLL",
        replace: "first + 1 < end; first += ALL * UNROLL",
        ..SPLIT
    },
    Mutation {
        name: "last_share_not_cut",
        class: Class::Guard,
        find: "end = smaller(begin + share, keys);",
        replace: "end = begin + share;",
        ..SPLIT
    },
    Mutation {
        name: "half_of_the_lanes_not_added",
        class: Class::Accumulation,
        find: "int step = LANES / 2; step > 0",
        replace: "int step = LANES / 4; step > 0",
        ..SPLIT
    },
    Mutation {
        name: "result_not_scaled",
        class: Class::Accumulation,
        find: "result[r][i] *= decay;",
        replace: "result[r][i] *= 1.0f;",
        ..SPLIT
    },
    Mutation { name: "sum_not_scaled", class: Class::Accumulation, find: "sum[r] *= decay;", replace: "", ..SPLIT },
    Mutation {
        name: "scale_ignored",
        class: Class::Scale,
        find: "score[u] * scale : minus_infinity()",
        replace: "score[u] : minus_infinity()",
        ..SPLIT
    },
    Mutation {
        name: "heads_of_v_not_grouped",
        class: Class::Index,
        find: "from_v = v.at(batch, head0 / group, 0)",
        replace: "from_v = v.at(batch, head0 % group, 0)",
        ..SPLIT
    },
    Mutation {
        name: "queries_of_the_first_head",
        class: Class::Index,
        find: "q.at(batch, head0 + r, 0) + part",
        replace: "q.at(batch, head0, 0) + part",
        ..SPLIT
    },
    Mutation {
        name: "batch_of_k_ignored",
        class: Class::Batch,
        find: "from_k = k.at(batch, head0 / group, 0)",
        replace: "from_k = k.at(0, head0 / group, 0)",
        ..SPLIT
    },
    Mutation {
        name: "rows_of_v_as_those_of_k",
        class: Class::Stride,
        problem: "batch=2,heads=8,kv_heads=2,queries=1,keys=605,head=64,dtype=f16,v=0@77440:64:128:1",
        find: "from_v + key * v.row_stride",
        replace: "from_v + key * k.row_stride",
        ..SPLIT
    },
    Mutation {
        name: "barrier_before_the_merge_dropped",
        class: Class::Race,
        find: "__syncthreads();",
        replace: "",
        ..SPLIT
    },
    Mutation {
        name: "records_of_another_split",
        class: Class::Write,
        find: "* SPLITS + split) * RECORD;",
        replace: "* SPLITS + split / 2) * RECORD;",
        ..SPLIT
    },
];
