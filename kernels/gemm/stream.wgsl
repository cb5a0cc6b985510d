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

// Vectors of a row of A; past the last row that one again.
fn row_of_a(z: u32, row: u32, p: u32) -> vec4<u32> {
    return quad_a(a_at(z, min(row, u32(args.m) - 1u), p) / i32(A_EACH));
}
fn column_of_b(z: u32, p: u32, col: u32) -> vec4<u32> {
    return quad_b(b_at(z, p, min(col, u32(args.n) - 1u)) / i32(B_EACH));
}

@compute @workgroup_size(THREADS)
fn gemm(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(subgroup_id) part: u32, @builtin(num_subgroups) parts: u32,
        @builtin(subgroup_invocation_id) lane: u32, @builtin(subgroup_size) lanes: u32) {
    let m = u32(args.m);
    let n = u32(args.n);
    let k = u32(args.k);
    for (var z = group.z; z < u32(args.batch); z += groups.z) {
        for (var col = (group.x * parts + part) * 4u; col < n; col += groups.x * parts * 4u) {
            var s0 = Four(); var s1 = Four(); var s2 = Four(); var s3 = Four();
            var s4 = Four(); var s5 = Four(); var s6 = Four(); var s7 = Four();
            for (var p = lane * A_EACH; p < k; p += lanes * A_EACH) {
                let q0 = column_of_b(z, p, col);
                let q1 = column_of_b(z, p, col + 1u);
                let q2 = column_of_b(z, p, col + 2u);
                let q3 = column_of_b(z, p, col + 3u);
                let b = Columns(mat4x4<f32>(low_b(q0), low_b(q1), low_b(q2), low_b(q3)),
                                mat4x4<f32>(high_b(q0), high_b(q1), high_b(q2), high_b(q3)));
                s0 = step(s0, row_of_a(z, 0u, p), b);
                if (MT > 1u) { s1 = step(s1, row_of_a(z, 1u, p), b); }
                if (MT > 2u) {
                    s2 = step(s2, row_of_a(z, 2u, p), b);
                    s3 = step(s3, row_of_a(z, 3u, p), b);
                }
                if (MT > 4u) {
                    s4 = step(s4, row_of_a(z, 4u, p), b);
                    s5 = step(s5, row_of_a(z, 5u, p), b);
                    s6 = step(s6, row_of_a(z, 6u, p), b);
                    s7 = step(s7, row_of_a(z, 7u, p), b);
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
