// strided: an invocation computes one element, then the next that lies a grid away.
//
// Idea: the definition for any layout and dtypes. Neighbouring invocations take neighbours along the last
// dimension.
//
// Bound: memory where lines are used whole.
//
// Run: smith bench map --problem shape=1024x1024,expr=x0,x0=f32@0:1:1024,out=f32 --device wgpu:0 --candidate strided

@compute @workgroup_size(THREADS)
fn map(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let total = args.outer * args.inner;
    for (var i = id.x; i < total; i += groups.x * THREADS) {
        let p = enter_all(origin(), i);
        store_out_at(p, expr(p));
    }
}
