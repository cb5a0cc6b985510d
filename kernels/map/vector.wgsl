// vector: an invocation computes LANES neighbours along the last dimension, 16 bytes of each array.
//
// Idea: strided with the widest accesses, and narrow results without atomic operations. An input that is the
// same along the last dimension is read once a vector.
//
// Bound: memory.
//
// Run: smith bench map --problem shape=268435456,expr=add(x0,x1),x0=f32,x1=f32,out=f32 --device wgpu:0 --candidate vector

@compute @workgroup_size(THREADS)
fn map(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let total = args.outer * args.inner;
    let vectors = total / LANES;
    for (var i = id.x; i < vectors; i += groups.x * THREADS) {
        let p = enter_all(origin(), i * LANES);
        store_lanes(p, expr_lanes(p));
    }
    // What is left of a space of one dimension: one invocation, since its elements may share a word.
    if (id.x == 0u) {
        for (var i = vectors * LANES; i < total; i++) {
            let p = enter_all(origin(), i);
            store_out_at(p, expr(p));
        }
    }
}
