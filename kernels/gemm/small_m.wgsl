// small_m: for up to eight rows: a workgroup computes COLS columns, its invocations share k.
//
// Idea: B is read once, and an element of it is used for all rows. Where B lies along k, neighbouring
// invocations take neighbours along k (COLS = 1), else neighbours along n. The shares meet in a tree in
// workgroup memory.
//
// Bound: reading B.
//
// Run: smith bench gemm --problem m=1,n=4096,k=4096,dtype=f32,layout=nt --device wgpu:0 --candidate small_m

alias Four = vec4<Acc>;
const SHARES: u32 = THREADS / COLS;

var<workgroup> low: array<Four, THREADS>;
var<workgroup> high: array<Four, THREADS>;

@compute @workgroup_size(THREADS)
fn gemm(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) local: u32) {
    let m = u32(args.m);
    let k = u32(args.k);
    let share = local / COLS;
    let col = (group.y * groups.x + group.x) * COLS + local % COLS;
    let inside = col < u32(args.n);
    let last = m - 1u;
    for (var z = group.z; z < u32(args.batch); z += groups.z) {
        var c = Four();
        var d = Four();
        if (inside) {
            for (var p = share; p < k; p += SHARES) {
                let b = load_b(b_at(z, p, col));
                c += b * Four(load_a(a_at(z, 0u, p)), load_a(a_at(z, min(1u, last), p)),
                              load_a(a_at(z, min(2u, last), p)), load_a(a_at(z, min(3u, last), p)));
                if (m > 4u) {
                    d += b * Four(load_a(a_at(z, 4u, p)), load_a(a_at(z, min(5u, last), p)),
                                  load_a(a_at(z, min(6u, last), p)), load_a(a_at(z, min(7u, last), p)));
                }
            }
        }
        low[local] = c;
        high[local] = d;
        for (var step = SHARES / 2u; step > 0u; step /= 2u) {
            workgroupBarrier();
            if (share < step) {
                low[local] += low[local + step * COLS];
                high[local] += high[local + step * COLS];
            }
        }
        workgroupBarrier();
        if (inside && share == 0u) {
            for (var i = args.zero; i < m; i++) {
                var v = low[local][i & 3u];
                if (i > 3u) { v = high[local][i & 3u]; }
                store_d(d_at(z, i, col), finish(v, z, i, col));
            }
        }
        workgroupBarrier();
    }
}
