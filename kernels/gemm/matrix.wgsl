// matrix: cooperative matrices: a subgroup computes 4 by 4 of them, fed from workgroup memory.
//
// Idea: matrix units through WGSL. A workgroup brings slices of A and B of depth BK to workgroup memory as they
// lie, along k or across it; a matrix is read from there in the order that it has. The next slice is on its way
// to registers while this one is multiplied, and with STAGES 2 has a place of its own: one barrier a slice.
//
// Bound: matrix units without asynchronous copies, some 60 % of their rate on an H200; workgroup memory, 8
// matrices read for 16 multiplied.
//
// Run: smith bench gemm --problem m=4096,n=4096,k=4096,dtype=f16,layout=nt --device wgpu:0 --candidate matrix

const TILE: u32 = 4u * MATRIX;
const ACROSS: u32 = BN / TILE;
const THREADS: u32 = BM / TILE * ACROSS * LANES;
// Rows of a slice are padded: the parts of a matrix lie in different banks.
const A_STRIDE: u32 = BK * u32(1 - A_INNER) + BM * u32(A_INNER) + 8u;
const B_STRIDE: u32 = BN * u32(1 - B_INNER) + BK * u32(B_INNER) + 8u;
const A_SLICE: u32 = A_STRIDE * (BM * u32(1 - A_INNER) + BK * u32(A_INNER));
const B_SLICE: u32 = B_STRIDE * (BK * u32(1 - B_INNER) + BN * u32(B_INNER));
// Vectors of four elements that an invocation brings.
const A_EACH: u32 = BM * BK / 4u / THREADS;
const B_EACH: u32 = BN * BK / 4u / THREADS;

alias Four = vec4<Part>;

var<workgroup> slice_a: array<Stored, STAGES * A_SLICE / UNIT>;
var<workgroup> slice_b: array<Stored, STAGES * B_SLICE / UNIT>;
// One matrix of results a subgroup.
var<workgroup> results: array<f32, BM / TILE * ACROSS * MATRIX * MATRIX>;

// The i-th vector of a slice that starts at k = from_k: zeros where there is nothing.
fn fetch_a(z: u32, first: u32, from_k: u32, i: u32) -> Four {
    var row = i / (BK / 4u);
    var p = i % (BK / 4u) * 4u;
    if (A_INNER == 1) {
        p = i / (BM / 4u);
        row = i % (BM / 4u) * 4u;
    }
    if (first + row >= u32(args.m) || from_k + p >= u32(args.k)) { return Four(); }
    return parts_a(a_at(z, first + row, from_k + p) / 4);
}
fn fetch_b(z: u32, first: u32, from_k: u32, i: u32) -> Four {
    var p = i / (BN / 4u);
    var col = i % (BN / 4u) * 4u;
    if (B_INNER == 1) {
        col = i / (BK / 4u);
        p = i % (BK / 4u) * 4u;
    }
    if (first + col >= u32(args.n) || from_k + p >= u32(args.k)) { return Four(); }
    return parts_b(b_at(z, from_k + p, first + col) / 4);
}
// Where it goes.
fn put_a(stage: u32, i: u32, v: Four) {
    let width = BK / 4u * u32(1 - A_INNER) + BM / 4u * u32(A_INNER);
    keep_a(stage * A_SLICE + i / width * A_STRIDE + i % width * 4u, v);
}
fn put_b(stage: u32, i: u32, v: Four) {
    let width = BN / 4u * u32(1 - B_INNER) + BK / 4u * u32(B_INNER);
    keep_b(stage * B_SLICE + i / width * B_STRIDE + i % width * 4u, v);
}
fn matrix_a(stage: u32, row: u32, p: u32) -> MatrixA {
    let at = stage * A_SLICE;
    if (A_INNER == 0) { return coopLoadT<MatrixA>(&slice_a[(at + row * A_STRIDE + p) / UNIT], A_STRIDE / UNIT); }
    return coopLoad<MatrixA>(&slice_a[(at + p * A_STRIDE + row) / UNIT], A_STRIDE / UNIT);
}
fn matrix_b(stage: u32, p: u32, col: u32) -> MatrixB {
    let at = stage * B_SLICE;
    if (B_INNER == 0) { return coopLoadT<MatrixB>(&slice_b[(at + p * B_STRIDE + col) / UNIT], B_STRIDE / UNIT); }
    return coopLoad<MatrixB>(&slice_b[(at + col * B_STRIDE + p) / UNIT], B_STRIDE / UNIT);
}

// Results of one matrix, whose first is at (row, col), leave for D.
fn deliver(place: u32, lane: u32, z: u32, row: u32, col: u32) {
    let m = u32(args.m);
    let n = u32(args.n);
    // The bound is hidden from the compiler, so that there is one copy of the epilogue.
    for (var i = lane + args.zero; i < MATRIX * MATRIX / 2u; i += LANES) {
        let r = row + i / (MATRIX / 2u);
        let c = col + i % (MATRIX / 2u) * 2u;
        let at = place + i * 2u;
        if (r >= m || c >= n) { continue; }
        let y = finish(results[at], z, r, c);
        if (c + 1u >= n) {
            store_d(d_at(z, r, c), y);
            continue;
        }
        store_pair(d_at(z, r, c), d_at(z, r, c + 1u), y, finish(results[at + 1u], z, r, c + 1u));
    }
}

@compute @workgroup_size(THREADS)
fn gemm(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) local: u32, @builtin(subgroup_id) part: u32,
        @builtin(subgroup_invocation_id) lane: u32) {
    let k = u32(args.k);
    // Bands of GROUP tiles of rows: workgroups that run together share columns of B in the cache.
    let tiles_m = (u32(args.m) + BM - 1u) / BM;
    let tiles_n = (u32(args.n) + BN - 1u) / BN;
    let band = group.x / (GROUP * tiles_n);
    let height = min(GROUP, tiles_m - band * GROUP);
    let rest = group.x - band * GROUP * tiles_n;
    let first_row = (band * GROUP + rest % height) * BM;
    let first_col = rest / height * BN;
    let y = part / ACROSS * TILE;
    let x = part % ACROSS * TILE;
    for (var z = group.z; z < u32(args.batch); z += groups.z) {
        var c00 = MatrixC(); var c01 = MatrixC(); var c02 = MatrixC(); var c03 = MatrixC();
        var c10 = MatrixC(); var c11 = MatrixC(); var c12 = MatrixC(); var c13 = MatrixC();
        var c20 = MatrixC(); var c21 = MatrixC(); var c22 = MatrixC(); var c23 = MatrixC();
        var c30 = MatrixC(); var c31 = MatrixC(); var c32 = MatrixC(); var c33 = MatrixC();
        for (var i = local; i < BM * BK / 4u; i += THREADS) { put_a(0u, i, fetch_a(z, first_row, 0u, i)); }
        for (var i = local; i < BN * BK / 4u; i += THREADS) { put_b(0u, i, fetch_b(z, first_col, 0u, i)); }
        workgroupBarrier();
        var stage = 0u;
        for (var from_k = 0u; from_k < k; from_k += BK) {
            let next = from_k + BK;
            let i = local;
            var a0 = Four(); var a1 = Four(); var a2 = Four(); var a3 = Four();
            var a4 = Four(); var a5 = Four(); var a6 = Four(); var a7 = Four();
            var b0 = Four(); var b1 = Four(); var b2 = Four(); var b3 = Four();
            var b4 = Four(); var b5 = Four(); var b6 = Four(); var b7 = Four();
            if (next < k) {
                a0 = fetch_a(z, first_row, next, i);
                if (A_EACH > 1u) { a1 = fetch_a(z, first_row, next, i + THREADS); }
                if (A_EACH > 2u) {
                    a2 = fetch_a(z, first_row, next, i + 2u * THREADS);
                    a3 = fetch_a(z, first_row, next, i + 3u * THREADS);
                }
                if (A_EACH > 4u) {
                    a4 = fetch_a(z, first_row, next, i + 4u * THREADS);
                    a5 = fetch_a(z, first_row, next, i + 5u * THREADS);
                    a6 = fetch_a(z, first_row, next, i + 6u * THREADS);
                    a7 = fetch_a(z, first_row, next, i + 7u * THREADS);
                }
                b0 = fetch_b(z, first_col, next, i);
                if (B_EACH > 1u) { b1 = fetch_b(z, first_col, next, i + THREADS); }
                if (B_EACH > 2u) {
                    b2 = fetch_b(z, first_col, next, i + 2u * THREADS);
                    b3 = fetch_b(z, first_col, next, i + 3u * THREADS);
                }
                if (B_EACH > 4u) {
                    b4 = fetch_b(z, first_col, next, i + 4u * THREADS);
                    b5 = fetch_b(z, first_col, next, i + 5u * THREADS);
                    b6 = fetch_b(z, first_col, next, i + 6u * THREADS);
                    b7 = fetch_b(z, first_col, next, i + 7u * THREADS);
                }
            }
            for (var p = 0u; p < BK; p += MATRIX) {
                let r0 = matrix_a(stage, y, p);
                let r1 = matrix_a(stage, y + MATRIX, p);
                let r2 = matrix_a(stage, y + 2u * MATRIX, p);
                let r3 = matrix_a(stage, y + 3u * MATRIX, p);
                let s0 = matrix_b(stage, p, x);
                c00 = coopMultiplyAdd(r0, s0, c00);
                c10 = coopMultiplyAdd(r1, s0, c10);
                c20 = coopMultiplyAdd(r2, s0, c20);
                c30 = coopMultiplyAdd(r3, s0, c30);
                let s1 = matrix_b(stage, p, x + MATRIX);
                c01 = coopMultiplyAdd(r0, s1, c01);
                c11 = coopMultiplyAdd(r1, s1, c11);
                c21 = coopMultiplyAdd(r2, s1, c21);
                c31 = coopMultiplyAdd(r3, s1, c31);
                let s2 = matrix_b(stage, p, x + 2u * MATRIX);
                c02 = coopMultiplyAdd(r0, s2, c02);
                c12 = coopMultiplyAdd(r1, s2, c12);
                c22 = coopMultiplyAdd(r2, s2, c22);
                c32 = coopMultiplyAdd(r3, s2, c32);
                let s3 = matrix_b(stage, p, x + 3u * MATRIX);
                c03 = coopMultiplyAdd(r0, s3, c03);
                c13 = coopMultiplyAdd(r1, s3, c13);
                c23 = coopMultiplyAdd(r2, s3, c23);
                c33 = coopMultiplyAdd(r3, s3, c33);
            }
            if (STAGES == 1u) { workgroupBarrier(); }
            stage = (stage + 1u) % STAGES;
            if (next < k) {
                put_a(stage, i, a0);
                if (A_EACH > 1u) { put_a(stage, i + THREADS, a1); }
                if (A_EACH > 2u) {
                    put_a(stage, i + 2u * THREADS, a2);
                    put_a(stage, i + 3u * THREADS, a3);
                }
                if (A_EACH > 4u) {
                    put_a(stage, i + 4u * THREADS, a4);
                    put_a(stage, i + 5u * THREADS, a5);
                    put_a(stage, i + 6u * THREADS, a6);
                    put_a(stage, i + 7u * THREADS, a7);
                }
                put_b(stage, i, b0);
                if (B_EACH > 1u) { put_b(stage, i + THREADS, b1); }
                if (B_EACH > 2u) {
                    put_b(stage, i + 2u * THREADS, b2);
                    put_b(stage, i + 3u * THREADS, b3);
                }
                if (B_EACH > 4u) {
                    put_b(stage, i + 4u * THREADS, b4);
                    put_b(stage, i + 5u * THREADS, b5);
                    put_b(stage, i + 6u * THREADS, b6);
                    put_b(stage, i + 7u * THREADS, b7);
                }
            }
            workgroupBarrier();
        }
        let place = part * MATRIX * MATRIX;
        let row = first_row + y;
        let col = first_col + x;
        for (var i = args.zero; i < 16u; i++) {
            switch (i) {
                case 0u: { coopStoreT(c00, &results[place], MATRIX); }
                case 1u: { coopStoreT(c01, &results[place], MATRIX); }
                case 2u: { coopStoreT(c02, &results[place], MATRIX); }
                case 3u: { coopStoreT(c03, &results[place], MATRIX); }
                case 4u: { coopStoreT(c10, &results[place], MATRIX); }
                case 5u: { coopStoreT(c11, &results[place], MATRIX); }
                case 6u: { coopStoreT(c12, &results[place], MATRIX); }
                case 7u: { coopStoreT(c13, &results[place], MATRIX); }
                case 8u: { coopStoreT(c20, &results[place], MATRIX); }
                case 9u: { coopStoreT(c21, &results[place], MATRIX); }
                case 10u: { coopStoreT(c22, &results[place], MATRIX); }
                case 11u: { coopStoreT(c23, &results[place], MATRIX); }
                case 12u: { coopStoreT(c30, &results[place], MATRIX); }
                case 13u: { coopStoreT(c31, &results[place], MATRIX); }
                case 14u: { coopStoreT(c32, &results[place], MATRIX); }
                default: { coopStoreT(c33, &results[place], MATRIX); }
            }
            workgroupBarrier();
            deliver(place, lane, z, row + i / 4u * MATRIX, col + i % 4u * MATRIX);
            workgroupBarrier();
        }
    }
}
