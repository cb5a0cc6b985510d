// subgroup: for up to eight rows: a subgroup computes a column, its lanes share k.
//
// Idea: small_m's shares meet by subgroup sums, without workgroup memory and barriers. Right for every size of
// subgroup: how many there are is asked for, not assumed.
//
// Bound: reading B.
//
// Run: smith bench gemm --problem m=1,n=4096,k=4096,dtype=f32,layout=nt --device wgpu:0 --candidate subgroup

alias Four = vec4<Acc>;

@compute @workgroup_size(THREADS)
fn gemm(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(subgroup_id) part: u32, @builtin(num_subgroups) parts: u32,
        @builtin(subgroup_invocation_id) lane: u32, @builtin(subgroup_size) lanes: u32) {
    let m = u32(args.m);
    let n = u32(args.n);
    let k = u32(args.k);
    let last = m - 1u;
    for (var z = group.z; z < u32(args.batch); z += groups.z) {
        for (var col = group.x * parts + part; col < n; col += groups.x * parts) {
            var c = Four();
            var d = Four();
            for (var p = lane; p < k; p += lanes) {
                let b = load_b(b_at(z, p, col));
                c += b * Four(load_a(a_at(z, 0u, p)), load_a(a_at(z, min(1u, last), p)),
                              load_a(a_at(z, min(2u, last), p)), load_a(a_at(z, min(3u, last), p)));
                if (m > 4u) {
                    d += b * Four(load_a(a_at(z, 4u, p)), load_a(a_at(z, min(5u, last), p)),
                                  load_a(a_at(z, min(6u, last), p)), load_a(a_at(z, min(7u, last), p)));
                }
            }
            c = subgroupAdd(c);
            d = subgroupAdd(d);
            if (lane == 0u) {
                for (var i = args.zero; i < m; i++) {
                    var v = c[i & 3u];
                    if (i > 3u) { v = d[i & 3u]; }
                    store_d(d_at(z, i, col), finish(v, z, i, col));
                }
            }
        }
    }
}
