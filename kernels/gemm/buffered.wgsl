// buffered: tiled with 16-byte reads of storage and of workgroup memory, and the next slices on their way while
// these are multiplied.
//
// Idea: slices lie across k in workgroup memory, so that an invocation reads four rows or four columns at once:
// four such reads a step for 64 multiply-adds. What an invocation brings of the next slices stays in registers
// until this step's are done with; there are two places for slices, hence one barrier a step.
//
// Bound: multiply-adds.
//
// Run: smith bench gemm --problem m=4096,n=4096,k=4096,dtype=f32 --device wgpu:0 --candidate buffered

alias Four = vec4<Acc>;
const ACROSS: u32 = BN / 8u;
const THREADS: u32 = BM / 8u * ACROSS;
// Rows of a slice in vectors; one more, where they are written across, against bank conflicts.
const A_WIDTH: u32 = BM / 4u + 1u;
const B_WIDTH: u32 = BN / 4u + 1u;
// Vectors of 16 bytes that an invocation brings, and how many steps of k they are apart.
const A_MANY: u32 = BM * BK / A_EACH / THREADS;
const B_MANY: u32 = BN * BK / B_EACH / THREADS;
const A_HOP: u32 = BK / A_MANY;
const B_HOP: u32 = BK / B_MANY;

var<workgroup> slice_a: array<Four, 2u * BK * A_WIDTH>;
var<workgroup> slice_b: array<Four, 2u * BK * B_WIDTH>;

// The j-th vector of an invocation, of those of which so many steps of k are left.
fn fetch_a(at: i32, hop: i32, left: i32, j: u32) -> vec4<u32> {
    if (i32(j * A_HOP) >= left) { return vec4<u32>(); }
    return quad_a(at + i32(j) * hop);
}
fn fetch_b(at: i32, hop: i32, left: i32, j: u32) -> vec4<u32> {
    if (i32(j * B_HOP) >= left) { return vec4<u32>(); }
    return quad_b(at + i32(j) * hop);
}
// Where it goes: its first element to component c of `first`, or to its start where it lies across k.
fn put_a(first: u32, c: u32, j: u32, q: vec4<u32>) {
    let at = first + j * (A_HOP * A_WIDTH);
    if (A_INNER == 1) {
        slice_a[at] = low_a(q);
        if (A_EACH > 4u) { slice_a[at + 1u] = high_a(q); }
        return;
    }
    let v = low_a(q);
    slice_a[at][c] = v.x;
    slice_a[at + A_WIDTH][c] = v.y;
    slice_a[at + 2u * A_WIDTH][c] = v.z;
    slice_a[at + 3u * A_WIDTH][c] = v.w;
    if (A_EACH > 4u) {
        let w = high_a(q);
        slice_a[at + 4u * A_WIDTH][c] = w.x;
        slice_a[at + 5u * A_WIDTH][c] = w.y;
        slice_a[at + 6u * A_WIDTH][c] = w.z;
        slice_a[at + 7u * A_WIDTH][c] = w.w;
    }
}
fn put_b(first: u32, c: u32, j: u32, q: vec4<u32>) {
    let at = first + j * (B_HOP * B_WIDTH);
    if (B_INNER == 0) {
        slice_b[at] = low_b(q);
        if (B_EACH > 4u) { slice_b[at + 1u] = high_b(q); }
        return;
    }
    let v = low_b(q);
    slice_b[at][c] = v.x;
    slice_b[at + B_WIDTH][c] = v.y;
    slice_b[at + 2u * B_WIDTH][c] = v.z;
    slice_b[at + 3u * B_WIDTH][c] = v.w;
    if (B_EACH > 4u) {
        let w = high_b(q);
        slice_b[at + 4u * B_WIDTH][c] = w.x;
        slice_b[at + 5u * B_WIDTH][c] = w.y;
        slice_b[at + 6u * B_WIDTH][c] = w.z;
        slice_b[at + 7u * B_WIDTH][c] = w.w;
    }
}

@compute @workgroup_size(THREADS)
fn gemm(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) local: u32) {
    let m = u32(args.m);
    let n = u32(args.n);
    let k = u32(args.k);
    let first_row = group.y * BM;
    let first_col = group.x * BN;
    // An invocation's rows and columns: four, and four more half a tile away.
    let y = local / ACROSS;
    let x = local % ACROSS;
    // The invocation's first vectors: row or column and step of k. Along k neighbours take neighbouring rows, so
    // that they write to different banks. The next ones lie HOP steps of k on, the next slice's BK.
    var a_row = local % BM;
    var a_k = local / BM * A_EACH;
    var a_step = 1;
    if (A_INNER == 1) {
        a_row = local % (BM / A_EACH) * A_EACH;
        a_k = local / (BM / A_EACH);
        a_step = args.a_col;
    }
    var b_col = local % BN;
    var b_k = local / BN * B_EACH;
    var b_step = 1;
    if (B_INNER == 0) {
        b_col = local % (BN / B_EACH) * B_EACH;
        b_k = local / (BN / B_EACH);
        b_step = args.b_row;
    }
    let a_hop = a_step * i32(A_HOP) / i32(A_EACH);
    let b_hop = b_step * i32(B_HOP) / i32(B_EACH);
    let to_a = a_k * A_WIDTH + a_row / 4u;
    let to_b = b_k * B_WIDTH + b_col / 4u;
    // Steps of k that are left for them: none beyond the last row or column.
    let a_end = select(0, i32(k) - i32(a_k), first_row + a_row < m);
    let b_end = select(0, i32(k) - i32(b_k), first_col + b_col < n);
    for (var z = group.z; z < u32(args.batch); z += groups.z) {
        var c0 = Four(); var c1 = Four(); var c2 = Four(); var c3 = Four();
        var c4 = Four(); var c5 = Four(); var c6 = Four(); var c7 = Four();
        var d0 = Four(); var d1 = Four(); var d2 = Four(); var d3 = Four();
        var d4 = Four(); var d5 = Four(); var d6 = Four(); var d7 = Four();
        var at_a = a_at(z, first_row + a_row, a_k) / i32(A_EACH);
        var at_b = b_at(z, b_k, first_col + b_col) / i32(B_EACH);
        for (var j = 0u; j < A_MANY; j++) { put_a(to_a, a_row % 4u, j, fetch_a(at_a, a_hop, a_end, j)); }
        for (var j = 0u; j < B_MANY; j++) { put_b(to_b, b_col % 4u, j, fetch_b(at_b, b_hop, b_end, j)); }
        workgroupBarrier();
        var place = 0u;
        for (var from_k = 0u; from_k < k; from_k += BK) {
            let next = from_k + BK;
            at_a += a_step * i32(BK) / i32(A_EACH);
            at_b += b_step * i32(BK) / i32(B_EACH);
            var a0 = vec4<u32>(); var a1 = vec4<u32>(); var a2 = vec4<u32>(); var a3 = vec4<u32>();
            var b0 = vec4<u32>(); var b1 = vec4<u32>(); var b2 = vec4<u32>(); var b3 = vec4<u32>();
            if (next < k) {
                let a_left = a_end - i32(next);
                a0 = fetch_a(at_a, a_hop, a_left, 0u);
                if (A_MANY > 1u) { a1 = fetch_a(at_a, a_hop, a_left, 1u); }
                if (A_MANY > 2u) {
                    a2 = fetch_a(at_a, a_hop, a_left, 2u);
                    a3 = fetch_a(at_a, a_hop, a_left, 3u);
                }
                let b_left = b_end - i32(next);
                b0 = fetch_b(at_b, b_hop, b_left, 0u);
                if (B_MANY > 1u) { b1 = fetch_b(at_b, b_hop, b_left, 1u); }
                if (B_MANY > 2u) {
                    b2 = fetch_b(at_b, b_hop, b_left, 2u);
                    b3 = fetch_b(at_b, b_hop, b_left, 3u);
                }
            }
            for (var p = 0u; p < BK; p++) {
                let a = slice_a[(place + p) * A_WIDTH + y];
                let e = slice_a[(place + p) * A_WIDTH + BM / 8u + y];
                let b = slice_b[(place + p) * B_WIDTH + x];
                let f = slice_b[(place + p) * B_WIDTH + BN / 8u + x];
                c0 += a.x * b; c1 += a.y * b; c2 += a.z * b; c3 += a.w * b;
                c4 += e.x * b; c5 += e.y * b; c6 += e.z * b; c7 += e.w * b;
                d0 += a.x * f; d1 += a.y * f; d2 += a.z * f; d3 += a.w * f;
                d4 += e.x * f; d5 += e.y * f; d6 += e.z * f; d7 += e.w * f;
            }
            place = BK - place;
            if (next < k) {
                let a = place * A_WIDTH + to_a;
                put_a(a, a_row % 4u, 0u, a0);
                if (A_MANY > 1u) { put_a(a, a_row % 4u, 1u, a1); }
                if (A_MANY > 2u) {
                    put_a(a, a_row % 4u, 2u, a2);
                    put_a(a, a_row % 4u, 3u, a3);
                }
                let b = place * B_WIDTH + to_b;
                put_b(b, b_col % 4u, 0u, b0);
                if (B_MANY > 1u) { put_b(b, b_col % 4u, 1u, b1); }
                if (B_MANY > 2u) {
                    put_b(b, b_col % 4u, 2u, b2);
                    put_b(b, b_col % 4u, 3u, b3);
                }
            }
            workgroupBarrier();
        }
        // The bound is hidden from the compiler, so that there is one copy of the epilogue.
        var tile = array<Four, 16>(c0, c1, c2, c3, c4, c5, c6, c7, d0, d1, d2, d3, d4, d5, d6, d7);
        for (var i = args.zero; i < 16u; i++) {
            let r = first_row + y * 4u + (i & 3u) + BM / 2u * ((i >> 2u) & 1u);
            for (var j = args.zero; j < 4u; j++) {
                let c = first_col + x * 4u + BN / 2u * (i >> 3u) + j;
                if (r < m && c < n) { store_d(d_at(z, r, c), finish(tile[i][j], z, r, c)); }
            }
        }
    }
}
