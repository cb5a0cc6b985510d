// register: an invocation computes ROWS rows of 4 WIDE columns in registers.
//
// Idea: what is loaded is used often: a step along k costs ROWS + 4 WIDE loads for 4 WIDE ROWS multiply-adds,
// where naive has two loads for each. No workgroup memory, no barrier: for adapters on whose caches that is
// the better way, such as those that are the CPU's cores.
//
// Bound: the load pipe, (ROWS + 4 WIDE) / (4 WIDE ROWS) loads a multiply-add: 1/4 for 8 by 8.
//
// Run: smith bench gemm --problem m=256,n=256,k=256,dtype=f32 --device wgpu:0 --candidate register

alias Four = vec4<Acc>;

// Offsets of four columns of B, or of four rows of A; those past the end repeat the last one.
fn columns(z: u32, col: u32) -> vec4<i32> {
    let last = u32(args.n) - 1u;
    return vec4<i32>(b_at(z, 0u, min(col, last)), b_at(z, 0u, min(col + 1u, last)), b_at(z, 0u, min(col + 2u, last)),
                     b_at(z, 0u, min(col + 3u, last)));
}
fn rows(z: u32, row: u32) -> vec4<i32> {
    let last = u32(args.m) - 1u;
    return vec4<i32>(a_at(z, min(row, last), 0u), a_at(z, min(row + 1u, last), 0u), a_at(z, min(row + 2u, last), 0u),
                     a_at(z, min(row + 3u, last), 0u));
}
fn four_of_a(at: vec4<i32>, by: i32) -> Four {
    return Four(load_a(at.x + by), load_a(at.y + by), load_a(at.z + by), load_a(at.w + by));
}
fn four_of_b(at: vec4<i32>, by: i32) -> Four {
    return Four(load_b(at.x + by), load_b(at.y + by), load_b(at.z + by), load_b(at.w + by));
}

@compute @workgroup_size(THREADS)
fn gemm(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) local: u32) {
    let row = group.y * ROWS;
    let col = (group.x * THREADS + local) * 4u * WIDE;
    if (col >= u32(args.n)) { return; }
    for (var z = group.z; z < u32(args.batch); z += groups.z) {
        let a0 = rows(z, row);
        let a4 = rows(z, row + 4u);
        let b0 = columns(z, col);
        let b4 = columns(z, col + 4u);
        var c0 = Four(); var c1 = Four(); var c2 = Four(); var c3 = Four();
        var c4 = Four(); var c5 = Four(); var c6 = Four(); var c7 = Four();
        var d0 = Four(); var d1 = Four(); var d2 = Four(); var d3 = Four();
        var d4 = Four(); var d5 = Four(); var d6 = Four(); var d7 = Four();
        var pa = 0;
        var pb = 0;
        for (var p = 0; p < args.k; p++) {
            let a = four_of_a(a0, pa);
            let b = four_of_b(b0, pb);
            c0 += a.x * b;
            c1 += a.y * b;
            c2 += a.z * b;
            c3 += a.w * b;
            var e = Four();
            if (ROWS > 4u) {
                e = four_of_a(a4, pa);
                c4 += e.x * b;
                c5 += e.y * b;
                c6 += e.z * b;
                c7 += e.w * b;
            }
            if (WIDE > 1u) {
                let f = four_of_b(b4, pb);
                d0 += a.x * f;
                d1 += a.y * f;
                d2 += a.z * f;
                d3 += a.w * f;
                if (ROWS > 4u) {
                    d4 += e.x * f;
                    d5 += e.y * f;
                    d6 += e.z * f;
                    d7 += e.w * f;
                }
            }
            pa += args.a_col;
            pb += args.b_row;
        }
        // The bound is hidden from the compiler, so that there is one copy of the epilogue.
        var tile = array<Four, 16>(c0, c1, c2, c3, c4, c5, c6, c7, d0, d1, d2, d3, d4, d5, d6, d7);
        for (var i = args.zero; i < 8u * WIDE; i++) {
            let r = row + (i & 7u);
            if ((i & 7u) >= ROWS || r >= u32(args.m)) { continue; }
            for (var j = args.zero; j < 4u; j++) {
                let c = col + 4u * (i >> 3u) + j;
                if (c < u32(args.n)) { store_d(d_at(z, r, c), finish(tile[i][j], z, r, c)); }
            }
        }
    }
}
