// naive: one invocation computes one output.
//
// Idea: the definition, D[i][j] = sum over p of A[i][p] B[p][j], read straight from storage. Neighbouring
// invocations take neighbours along D's contiguous dimension.
//
// Bound: two loads a multiply-add.
//
// Run: smith bench gemm --problem m=256,n=256,k=256,dtype=f32 --device wgpu:0 --candidate naive

@compute @workgroup_size(THREADS)
fn gemm(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let m = u32(args.m);
    let n = u32(args.n);
    let batch = u32(args.batch);
    for (var i = id.x; i < m * n; i += groups.x * THREADS) {
        var row = i / n;
        var col = i - row * n;
        if (D_INNER == 1) {
            col = i / m;
            row = i - col * m;
        }
        for (var z = id.z; z < batch; z += groups.z) {
            var acc = Acc(0);
            var pa = a_at(z, row, 0u);
            var pb = b_at(z, 0u, col);
            for (var p = 0; p < args.k; p++) {
                acc += load_a(pa) * load_b(pb);
                pa += args.a_col;
                pb += args.b_row;
            }
            store_d(d_at(z, row, col), finish(acc, z, row, col));
        }
    }
}
