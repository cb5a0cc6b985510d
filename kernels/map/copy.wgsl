// copy: an invocation moves the bits of one element, then of the next that lies a grid away.
//
// Idea: what is only moved needs no arithmetic: whole numbers and f64 are copied on adapters that cannot compute
// with them, and a NaN keeps its bits.
//
// Bound: memory where lines are used whole.
//
// Run: smith bench map --problem shape=1024x1024,expr=x0,x0=i32@0:1:1024,out=i32 --device wgpu:0 --candidate copy

@compute @workgroup_size(THREADS)
fn map(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let total = args.outer * args.inner;
    for (var i = id.x; i < total; i += groups.x * THREADS) {
        let p = enter_all(origin(), i);
        move_one(p);
    }
}
