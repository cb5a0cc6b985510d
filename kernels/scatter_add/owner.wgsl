// owner: an invocation owns one element of the output and looks through the index for what belongs to it.
//
// Idea: no two invocations write one element, so there are no atomic sums, and terms are added in the order
// of the index: the same bits on every run.
//
// Bound: looking: an output of n elements and an index of k along the axis cost n k reads of the index.
//
// Run: smith bench scatter_add --problem shape=256x128,axis=0,size=1000,x=f32,index=i32@0:1:0,out=f32 --device wgpu:0 --candidate owner

@compute @workgroup_size(THREADS)
fn scatter_add(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let size = u32(args.size);
    for (var i = id.x; i < u32(args.out_n); i += groups.x * THREADS) {
        // The space with the axis of the result's size: i = (others, to).
        let to = (i / axis_below()) % size;
        let p = enter_all(origin(), (i / (axis_below() * size)) * axis_below() * axis_size() + i % axis_below());
        var sum = Acc(0);
        for (var k = 0; k < i32(axis_size()); k++) {
            if (bitcast<i32>(raw_index(p.offset[1] + k * index_axis())) == i32(to)) {
                sum += load_x(p.offset[0] + k * x_axis());
            }
        }
        store_out(p.offset[2] + i32(to) * out_axis(), sum);
    }
}
