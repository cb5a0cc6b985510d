// matrix: cooperative matrices: a subgroup computes HIGH by 4 of them, fed from workgroup memory.
//
// Idea: matrix units through WGSL. A workgroup brings slices of A and B of depth BK to workgroup memory as they
// lie, along k or across it, in pieces of 16 bytes; a matrix is read from there in the order that it has. The next
// slice is on its way to registers while this one is multiplied, and with STAGES 2 has a place of its own: one
// barrier a slice. An invocation's pieces lie HOP lines of a slice apart: where they are is worked out once, a
// slice further is one addition.
//
// Bound: matrix units without asynchronous copies, some 60 % of their rate on an H200; workgroup memory, 8
// matrices read for 16 multiplied.
//
// Run: smith bench gemm --problem m=4096,n=4096,k=4096,dtype=f16,layout=nt --device wgpu:0 --candidate matrix

const TALL: u32 = HIGH * MATRIX;
const WIDE: u32 = 4u * MATRIX;
const ACROSS: u32 = BN / WIDE;
const SUBGROUPS: u32 = BM / TALL * ACROSS;
const THREADS: u32 = SUBGROUPS * LANES;

// A slice of A: LINES of it, each of LENGTH pieces as they lie in memory. In workgroup memory a line is one
// piece longer: the parts of a matrix lie in different banks.
const A_LENGTH: u32 = (BK * u32(1 - A_INNER) + BM * u32(A_INNER)) / EACH;
const A_LINES: u32 = BM * u32(1 - A_INNER) + BK * u32(A_INNER);
const A_STRIDE: u32 = A_LENGTH + 1u;
const A_SLICE: u32 = A_LINES * A_STRIDE;
const A_HOP: u32 = THREADS / A_LENGTH;
const A_MANY: u32 = A_LINES / A_HOP;
// The same of B.
const B_LENGTH: u32 = (BN * u32(1 - B_INNER) + BK * u32(B_INNER)) / EACH;
const B_LINES: u32 = BK * u32(1 - B_INNER) + BN * u32(B_INNER);
const B_STRIDE: u32 = B_LENGTH + 1u;
const B_SLICE: u32 = B_LINES * B_STRIDE;
const B_HOP: u32 = THREADS / B_LENGTH;
const B_MANY: u32 = B_LINES / B_HOP;

var<workgroup> slice_a: array<Stored, STAGES * A_SLICE * SPREAD>;
var<workgroup> slice_b: array<Stored, STAGES * B_SLICE * SPREAD>;
// One matrix of results a subgroup.
var<workgroup> results: array<f32, SUBGROUPS * MATRIX * MATRIX>;

// How many of an invocation's lines are there, for the slice that starts at k = from_k: no line where its pieces
// lie beyond the matrix. `line` and `within` are the first one's place in the slice, in elements.
fn left_of_a(first: u32, from_k: u32, line: u32, within: u32) -> i32 {
    if (A_INNER == 1) { return select(0, i32(args.k) - i32(from_k + line), first + within < u32(args.m)); }
    return select(0, i32(args.m) - i32(first + line), from_k + within < u32(args.k));
}
fn left_of_b(first: u32, from_k: u32, line: u32, within: u32) -> i32 {
    if (B_INNER == 1) { return select(0, i32(args.n) - i32(first + line), from_k + within < u32(args.k)); }
    return select(0, i32(args.k) - i32(from_k + line), first + within < u32(args.n));
}
fn fetch_a(at: i32, hop: i32, left: i32, j: u32) -> Piece {
    if (i32(j * A_HOP) >= left) { return Piece(); }
    return piece_a(at + i32(j) * hop);
}
fn fetch_b(at: i32, hop: i32, left: i32, j: u32) -> Piece {
    if (i32(j * B_HOP) >= left) { return Piece(); }
    return piece_b(at + i32(j) * hop);
}
fn put_a(at: u32, j: u32, v: Piece) { keep_a(at + j * (A_HOP * A_STRIDE), v); }
fn put_b(at: u32, j: u32, v: Piece) { keep_b(at + j * (B_HOP * B_STRIDE), v); }

fn matrix_a(stage: u32, row: u32, p: u32) -> MatrixA {
    let at = stage * A_SLICE;
    if (A_INNER == 0) {
        return coopLoadT<MatrixA>(&slice_a[(at + row * A_STRIDE + p / EACH) * SPREAD], A_STRIDE * SPREAD);
    }
    return coopLoad<MatrixA>(&slice_a[(at + p * A_STRIDE + row / EACH) * SPREAD], A_STRIDE * SPREAD);
}
fn matrix_b(stage: u32, p: u32, col: u32) -> MatrixB {
    let at = stage * B_SLICE;
    if (B_INNER == 0) {
        return coopLoadT<MatrixB>(&slice_b[(at + p * B_STRIDE + col / EACH) * SPREAD], B_STRIDE * SPREAD);
    }
    return coopLoad<MatrixB>(&slice_b[(at + col * B_STRIDE + p / EACH) * SPREAD], B_STRIDE * SPREAD);
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
    let y = part / ACROSS * TALL;
    let x = part % ACROSS * WIDE;
    // The invocation's first pieces: where in a slice, where in workgroup memory, and how far the next ones and
    // the next slice's are from them, in pieces.
    let a_line = local / A_LENGTH;
    let a_within = local % A_LENGTH * EACH;
    let b_line = local / B_LENGTH;
    let b_within = local % B_LENGTH * EACH;
    let to_a = a_line * A_STRIDE + local % A_LENGTH;
    let to_b = b_line * B_STRIDE + local % B_LENGTH;
    let a_hop = select(args.a_row, args.a_col, A_INNER == 1) * i32(A_HOP) / i32(EACH);
    let b_hop = select(args.b_row, args.b_col, B_INNER == 1) * i32(B_HOP) / i32(EACH);
    let a_slice = select(1, args.a_col, A_INNER == 1) * i32(BK) / i32(EACH);
    let b_slice = select(args.b_row, 1, B_INNER == 1) * i32(BK) / i32(EACH);
    for (var z = group.z; z < u32(args.batch); z += groups.z) {
        var c00 = MatrixC(); var c01 = MatrixC(); var c02 = MatrixC(); var c03 = MatrixC();
        var c10 = MatrixC(); var c11 = MatrixC(); var c12 = MatrixC(); var c13 = MatrixC();
        var c20 = MatrixC(); var c21 = MatrixC(); var c22 = MatrixC(); var c23 = MatrixC();
        var c30 = MatrixC(); var c31 = MatrixC(); var c32 = MatrixC(); var c33 = MatrixC();
        var at_a = a_at(z, first_row + a_line, a_within) / i32(EACH);
        if (A_INNER == 1) { at_a = a_at(z, first_row + a_within, a_line) / i32(EACH); }
        var at_b = b_at(z, b_line, first_col + b_within) / i32(EACH);
        if (B_INNER == 1) { at_b = b_at(z, b_within, first_col + b_line) / i32(EACH); }
        let all_a = left_of_a(first_row, 0u, a_line, a_within);
        let all_b = left_of_b(first_col, 0u, b_line, b_within);
        for (var j = 0u; j < A_MANY; j++) { put_a(to_a, j, fetch_a(at_a, a_hop, all_a, j)); }
        for (var j = 0u; j < B_MANY; j++) { put_b(to_b, j, fetch_b(at_b, b_hop, all_b, j)); }
        workgroupBarrier();
        var stage = 0u;
        for (var from_k = 0u; from_k < k; from_k += BK) {
            let next = from_k + BK;
            at_a += a_slice;
            at_b += b_slice;
            var a0 = Piece(); var a1 = Piece(); var a2 = Piece(); var a3 = Piece();
            var a4 = Piece(); var a5 = Piece(); var a6 = Piece(); var a7 = Piece();
            var b0 = Piece(); var b1 = Piece(); var b2 = Piece(); var b3 = Piece();
            var b4 = Piece(); var b5 = Piece(); var b6 = Piece(); var b7 = Piece();
            if (next < k) {
                let left_a = left_of_a(first_row, next, a_line, a_within);
                a0 = fetch_a(at_a, a_hop, left_a, 0u);
                if (A_MANY > 1u) { a1 = fetch_a(at_a, a_hop, left_a, 1u); }
                if (A_MANY > 2u) {
                    a2 = fetch_a(at_a, a_hop, left_a, 2u);
                    a3 = fetch_a(at_a, a_hop, left_a, 3u);
                }
                if (A_MANY > 4u) {
                    a4 = fetch_a(at_a, a_hop, left_a, 4u);
                    a5 = fetch_a(at_a, a_hop, left_a, 5u);
                    a6 = fetch_a(at_a, a_hop, left_a, 6u);
                    a7 = fetch_a(at_a, a_hop, left_a, 7u);
                }
                let left_b = left_of_b(first_col, next, b_line, b_within);
                b0 = fetch_b(at_b, b_hop, left_b, 0u);
                if (B_MANY > 1u) { b1 = fetch_b(at_b, b_hop, left_b, 1u); }
                if (B_MANY > 2u) {
                    b2 = fetch_b(at_b, b_hop, left_b, 2u);
                    b3 = fetch_b(at_b, b_hop, left_b, 3u);
                }
                if (B_MANY > 4u) {
                    b4 = fetch_b(at_b, b_hop, left_b, 4u);
                    b5 = fetch_b(at_b, b_hop, left_b, 5u);
                    b6 = fetch_b(at_b, b_hop, left_b, 6u);
                    b7 = fetch_b(at_b, b_hop, left_b, 7u);
                }
            }
            for (var p = 0u; p < BK; p += MATRIX) {
                let r0 = matrix_a(stage, y, p);
                let r1 = matrix_a(stage, y + MATRIX, p);
                let s0 = matrix_b(stage, p, x);
                let s1 = matrix_b(stage, p, x + MATRIX);
                let s2 = matrix_b(stage, p, x + 2u * MATRIX);
                let s3 = matrix_b(stage, p, x + 3u * MATRIX);
                c00 = coopMultiplyAdd(r0, s0, c00);
                c10 = coopMultiplyAdd(r1, s0, c10);
                c01 = coopMultiplyAdd(r0, s1, c01);
                c11 = coopMultiplyAdd(r1, s1, c11);
                c02 = coopMultiplyAdd(r0, s2, c02);
                c12 = coopMultiplyAdd(r1, s2, c12);
                c03 = coopMultiplyAdd(r0, s3, c03);
                c13 = coopMultiplyAdd(r1, s3, c13);
                if (HIGH > 2u) {
                    let r2 = matrix_a(stage, y + 2u * MATRIX, p);
                    let r3 = matrix_a(stage, y + 3u * MATRIX, p);
                    c20 = coopMultiplyAdd(r2, s0, c20);
                    c30 = coopMultiplyAdd(r3, s0, c30);
                    c21 = coopMultiplyAdd(r2, s1, c21);
                    c31 = coopMultiplyAdd(r3, s1, c31);
                    c22 = coopMultiplyAdd(r2, s2, c22);
                    c32 = coopMultiplyAdd(r3, s2, c32);
                    c23 = coopMultiplyAdd(r2, s3, c23);
                    c33 = coopMultiplyAdd(r3, s3, c33);
                }
            }
            if (STAGES == 1u) { workgroupBarrier(); }
            stage = (stage + 1u) % STAGES;
            if (next < k) {
                let a = stage * A_SLICE + to_a;
                put_a(a, 0u, a0);
                if (A_MANY > 1u) { put_a(a, 1u, a1); }
                if (A_MANY > 2u) {
                    put_a(a, 2u, a2);
                    put_a(a, 3u, a3);
                }
                if (A_MANY > 4u) {
                    put_a(a, 4u, a4);
                    put_a(a, 5u, a5);
                    put_a(a, 6u, a6);
                    put_a(a, 7u, a7);
                }
                let b = stage * B_SLICE + to_b;
                put_b(b, 0u, b0);
                if (B_MANY > 1u) { put_b(b, 1u, b1); }
                if (B_MANY > 2u) {
                    put_b(b, 2u, b2);
                    put_b(b, 3u, b3);
                }
                if (B_MANY > 4u) {
                    put_b(b, 4u, b4);
                    put_b(b, 5u, b5);
                    put_b(b, 6u, b6);
                    put_b(b, 7u, b7);
                }
            }
            workgroupBarrier();
        }
        let place = part * MATRIX * MATRIX;
        let row = first_row + y;
        let col = first_col + x;
        for (var i = args.zero; i < 4u * HIGH; i++) {
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
