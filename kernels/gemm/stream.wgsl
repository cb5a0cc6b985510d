// stream: for up to eight rows: a subgroup computes four columns, its lanes share k in vectors of 16 bytes.
//
// Idea: subgroup with the widest reads, four of B under way a lane, and each read of A used for four columns.
// Right for every size of subgroup: how many lanes there are is asked for, not assumed.
//
// Bound: reading B.
//
// Run: smith bench gemm --problem m=1,n=4096,k=4096,dtype=f16,layout=nt --device wgpu:0 --candidate stream

alias Four = vec4<Acc>;

// The elements of a vector of four columns of B.
struct Columns { low: mat4x4<f32>, high: mat4x4<f32> }

// The sums of one row: products with four columns over the elements of a vector.
fn step(s: Four, a: vec4<u32>, b: Columns) -> Four {
    let y = s + low_a(a) * b.low;
    if (A_EACH > 4u) { return y + high_a(a) * b.high; }
    return y;
}

// The first vector of a row of A, or of a column of B; past the last one that one again.
fn row_of_a(z: u32, row: u32) -> i32 { return a_at(z, min(row, u32(args.m) - 1u), 0u) / i32(A_EACH); }
fn column_of_b(z: u32, col: u32) -> i32 { return b_at(z, 0u, min(col, u32(args.n) - 1u)) / i32(B_EACH); }

@compute @workgroup_size(THREADS)
fn gemm(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(subgroup_id) part: u32, @builtin(num_subgroups) parts: u32,
        @builtin(subgroup_invocation_id) lane: u32, @builtin(subgroup_size) lanes: u32) {
    let m = u32(args.m);
    let n = u32(args.n);
    let vectors = args.k / i32(A_EACH);
    for (var z = group.z; z < u32(args.batch); z += groups.z) {
        // Places before the loops: within them there is one addition a read.
        let r0 = row_of_a(z, 0u); let r1 = row_of_a(z, 1u); let r2 = row_of_a(z, 2u); let r3 = row_of_a(z, 3u);
        let r4 = row_of_a(z, 4u); let r5 = row_of_a(z, 5u); let r6 = row_of_a(z, 6u); let r7 = row_of_a(z, 7u);
        for (var col = (group.x * parts + part) * 4u; col < n; col += groups.x * parts * 4u) {
            let c0 = column_of_b(z, col);
            let c1 = column_of_b(z, col + 1u);
            let c2 = column_of_b(z, col + 2u);
            let c3 = column_of_b(z, col + 3u);
            var s0 = Four(); var s1 = Four(); var s2 = Four(); var s3 = Four();
            var s4 = Four(); var s5 = Four(); var s6 = Four(); var s7 = Four();
            for (var p = i32(lane); p < vectors; p += i32(lanes)) {
                let q0 = quad_b(c0 + p);
                let q1 = quad_b(c1 + p);
                let q2 = quad_b(c2 + p);
                let q3 = quad_b(c3 + p);
                let b = Columns(mat4x4<f32>(low_b(q0), low_b(q1), low_b(q2), low_b(q3)),
                                mat4x4<f32>(high_b(q0), high_b(q1), high_b(q2), high_b(q3)));
                s0 = step(s0, quad_a(r0 + p), b);
                if (MT > 1u) { s1 = step(s1, quad_a(r1 + p), b); }
                if (MT > 2u) {
                    s2 = step(s2, quad_a(r2 + p), b);
                    s3 = step(s3, quad_a(r3 + p), b);
                }
                if (MT > 4u) {
                    s4 = step(s4, quad_a(r4 + p), b);
                    s5 = step(s5, quad_a(r5 + p), b);
                    s6 = step(s6, quad_a(r6 + p), b);
                    s7 = step(s7, quad_a(r7 + p), b);
                }
            }
            s0 = subgroupAdd(s0);
            if (MT > 1u) { s1 = subgroupAdd(s1); }
            if (MT > 2u) {
                s2 = subgroupAdd(s2);
                s3 = subgroupAdd(s3);
            }
            if (MT > 4u) {
                s4 = subgroupAdd(s4);
                s5 = subgroupAdd(s5);
                s6 = subgroupAdd(s6);
                s7 = subgroupAdd(s7);
            }
            if (lane == 0u) {
                var rows = array<Four, 8>(s0, s1, s2, s3, s4, s5, s6, s7);
                for (var i = args.zero; i < m; i++) {
                    for (var j = args.zero; j < 4u; j++) {
                        if (col + j < n) { store_d(d_at(z, i, col + j), finish(rows[i][j], z, i, col + j)); }
                    }
                }
            }
        }
    }
}
