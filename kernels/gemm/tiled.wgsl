// tiled: a workgroup computes a tile of BM by BN, an invocation 8 by 8 of it in registers.
//
// Idea: slices of A and B of depth BK are brought to workgroup memory once for the whole tile, and from there
// to registers eight at a time: each element of A is read BN times and of B BM times for one read of storage.
//
// Bound: workgroup memory, 16 reads for 64 multiply-adds; storage (BM + BN) / (BM BN) reads each.
//
// Run: smith bench gemm --problem m=1024,n=1024,k=1024,dtype=f32 --device wgpu:0 --candidate tiled

alias Four = vec4<Acc>;
const ACROSS: u32 = BN / 8u;
const THREADS: u32 = BM / 8u * ACROSS;

var<workgroup> slice_a: array<Acc, BK * BM>;
var<workgroup> slice_b: array<Acc, BK * BN>;

// Four neighbours of a slice.
fn of_a(at: u32) -> Four { return Four(slice_a[at], slice_a[at + 1u], slice_a[at + 2u], slice_a[at + 3u]); }
fn of_b(at: u32) -> Four { return Four(slice_b[at], slice_b[at + 1u], slice_b[at + 2u], slice_b[at + 3u]); }

@compute @workgroup_size(THREADS)
fn gemm(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) local: u32) {
    let m = u32(args.m);
    let n = u32(args.n);
    let k = u32(args.k);
    let first_row = group.y * BM;
    let first_col = group.x * BN;
    let y = local / ACROSS * 8u;
    let x = local % ACROSS * 8u;
    for (var z = group.z; z < u32(args.batch); z += groups.z) {
        var c0 = Four(); var c1 = Four(); var c2 = Four(); var c3 = Four();
        var c4 = Four(); var c5 = Four(); var c6 = Four(); var c7 = Four();
        var d0 = Four(); var d1 = Four(); var d2 = Four(); var d3 = Four();
        var d4 = Four(); var d5 = Four(); var d6 = Four(); var d7 = Four();
        for (var from_k = 0u; from_k < k; from_k += BK) {
            // Neighbouring invocations take neighbours in memory.
            for (var i = local; i < BK * BM; i += THREADS) {
                var r = i % BM;
                var p = i / BM;
                if (A_INNER == 0) {
                    p = i % BK;
                    r = i / BK;
                }
                var v = Acc(0);
                if (first_row + r < m && from_k + p < k) { v = load_a(a_at(z, first_row + r, from_k + p)); }
                slice_a[p * BM + r] = v;
            }
            for (var i = local; i < BK * BN; i += THREADS) {
                var c = i % BN;
                var p = i / BN;
                if (B_INNER == 1) {
                    p = i % BK;
                    c = i / BK;
                }
                var v = Acc(0);
                if (first_col + c < n && from_k + p < k) { v = load_b(b_at(z, from_k + p, first_col + c)); }
                slice_b[p * BN + c] = v;
            }
            workgroupBarrier();
            for (var p = 0u; p < BK; p++) {
                let a = of_a(p * BM + y);
                let e = of_a(p * BM + y + 4u);
                let b = of_b(p * BN + x);
                let f = of_b(p * BN + x + 4u);
                c0 += a.x * b; c1 += a.y * b; c2 += a.z * b; c3 += a.w * b;
                c4 += e.x * b; c5 += e.y * b; c6 += e.z * b; c7 += e.w * b;
                d0 += a.x * f; d1 += a.y * f; d2 += a.z * f; d3 += a.w * f;
                d4 += e.x * f; d5 += e.y * f; d6 += e.z * f; d7 += e.w * f;
            }
            workgroupBarrier();
        }
        // The bound is hidden from the compiler, so that there is one copy of the epilogue.
        var tile = array<Four, 16>(c0, c1, c2, c3, c4, c5, c6, c7, d0, d1, d2, d3, d4, d5, d6, d7);
        for (var i = args.zero; i < 16u; i++) {
            let r = first_row + y + (i & 7u);
            for (var j = args.zero; j < 4u; j++) {
                let c = first_col + x + 4u * (i >> 3u) + j;
                if (r < m && c < n) { store_d(d_at(z, r, c), finish(tile[i][j], z, r, c)); }
            }
        }
    }
}
