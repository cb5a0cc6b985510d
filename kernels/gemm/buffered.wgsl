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
// Vectors of 16 bytes that an invocation brings.
const A_MANY: u32 = BM * BK / A_EACH / THREADS;
const B_MANY: u32 = BN * BK / B_EACH / THREADS;

var<workgroup> slice_a: array<Four, 2u * BK * A_WIDTH>;
var<workgroup> slice_b: array<Four, 2u * BK * B_WIDTH>;

fn fetch_a(z: u32, first: u32, from_k: u32, i: u32) -> vec4<u32> {
    // Along k neighbours take neighbouring rows: they then write to different banks.
    var row = i % BM;
    var p = i / BM * A_EACH;
    if (A_INNER == 1) {
        row = i % (BM / A_EACH) * A_EACH;
        p = i / (BM / A_EACH);
    }
    if (first + row >= u32(args.m) || from_k + p >= u32(args.k)) { return vec4<u32>(); }
    return quad_a(a_at(z, first + row, from_k + p) / i32(A_EACH));
}
fn fetch_b(z: u32, first: u32, from_k: u32, i: u32) -> vec4<u32> {
    var col = i % BN;
    var p = i / BN * B_EACH;
    if (B_INNER == 0) {
        col = i % (BN / B_EACH) * B_EACH;
        p = i / (BN / B_EACH);
    }
    if (first + col >= u32(args.n) || from_k + p >= u32(args.k)) { return vec4<u32>(); }
    return quad_b(b_at(z, from_k + p, first + col) / i32(B_EACH));
}
fn put_a(place: u32, i: u32, q: vec4<u32>) {
    if (A_INNER == 1) {
        let at = (place + i / (BM / A_EACH)) * A_WIDTH + i % (BM / A_EACH) * (A_EACH / 4u);
        slice_a[at] = low_a(q);
        if (A_EACH > 4u) { slice_a[at + 1u] = high_a(q); }
        return;
    }
    let at = (place + i / BM * A_EACH) * A_WIDTH + i % BM / 4u;
    let c = i % 4u;
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
fn put_b(place: u32, i: u32, q: vec4<u32>) {
    if (B_INNER == 0) {
        let at = (place + i / (BN / B_EACH)) * B_WIDTH + i % (BN / B_EACH) * (B_EACH / 4u);
        slice_b[at] = low_b(q);
        if (B_EACH > 4u) { slice_b[at + 1u] = high_b(q); }
        return;
    }
    let at = (place + i / BN * B_EACH) * B_WIDTH + i % BN / 4u;
    let c = i % 4u;
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
    for (var z = group.z; z < u32(args.batch); z += groups.z) {
        var c0 = Four(); var c1 = Four(); var c2 = Four(); var c3 = Four();
        var c4 = Four(); var c5 = Four(); var c6 = Four(); var c7 = Four();
        var d0 = Four(); var d1 = Four(); var d2 = Four(); var d3 = Four();
        var d4 = Four(); var d5 = Four(); var d6 = Four(); var d7 = Four();
        for (var i = local; i < BM * BK / A_EACH; i += THREADS) { put_a(0u, i, fetch_a(z, first_row, 0u, i)); }
        for (var i = local; i < BN * BK / B_EACH; i += THREADS) { put_b(0u, i, fetch_b(z, first_col, 0u, i)); }
        workgroupBarrier();
        var place = 0u;
        for (var from_k = 0u; from_k < k; from_k += BK) {
            let next = from_k + BK;
            let i = local;
            var a0 = vec4<u32>(); var a1 = vec4<u32>(); var a2 = vec4<u32>(); var a3 = vec4<u32>();
            var b0 = vec4<u32>(); var b1 = vec4<u32>(); var b2 = vec4<u32>(); var b3 = vec4<u32>();
            if (next < k) {
                a0 = fetch_a(z, first_row, next, i);
                if (A_MANY > 1u) { a1 = fetch_a(z, first_row, next, i + THREADS); }
                if (A_MANY > 2u) {
                    a2 = fetch_a(z, first_row, next, i + 2u * THREADS);
                    a3 = fetch_a(z, first_row, next, i + 3u * THREADS);
                }
                b0 = fetch_b(z, first_col, next, i);
                if (B_MANY > 1u) { b1 = fetch_b(z, first_col, next, i + THREADS); }
                if (B_MANY > 2u) {
                    b2 = fetch_b(z, first_col, next, i + 2u * THREADS);
                    b3 = fetch_b(z, first_col, next, i + 3u * THREADS);
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
                put_a(place, i, a0);
                if (A_MANY > 1u) { put_a(place, i + THREADS, a1); }
                if (A_MANY > 2u) {
                    put_a(place, i + 2u * THREADS, a2);
                    put_a(place, i + 3u * THREADS, a3);
                }
                put_b(place, i, b0);
                if (B_MANY > 1u) { put_b(place, i + THREADS, b1); }
                if (B_MANY > 2u) {
                    put_b(place, i + 2u * THREADS, b2);
                    put_b(place, i + 3u * THREADS, b3);
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
