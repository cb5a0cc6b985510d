// elements: an invocation moves one element.
//
// Idea: the definition for any layout: the position of the output with its coordinate along AXIS replaced
// by the index there.
//
// Bound: memory in lines: an element that lies alone costs one.
//
// Run: smith bench gather --problem shape=1024x1024,axis=1,size=1024,x=f32,index=i32,out=f32 --device wgpu:0 --candidate elements

@compute @workgroup_size(THREADS)
fn gather(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let total = args.outer * args.inner;
    for (var i = id.x; i < total; i += groups.x * THREADS) {
        let p = enter_all(origin(), i);
        let to = bitcast<i32>(raw_index(p.offset[1]));
        if (to >= 0 && to < args.size) {
            put_out(p.offset[2], raw_x(p.offset[0] + (to - i32(p.at[AXIS])) * x_axis()));
        } else if (OUT_IS_FLOAT == 1) {
            store_out(p.offset[2], acc_nan());
        } else {
            store_out(p.offset[2], Acc(0));
        }
    }
}
