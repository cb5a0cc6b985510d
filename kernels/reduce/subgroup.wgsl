// subgroup: a subgroup reduces one output, element by element; states meet by exchanges between its lanes.
//
// Idea: general's tree without workgroup memory and barriers. Right for every size of subgroup: how many lanes
// there are is asked for, not assumed.
//
// Bound: index arithmetic, a division a dimension and element.
//
// Run: smith bench reduce --problem kind=sum,outer=1024,inner=1024,x0=f32,out=f32 --device wgpu:0 --candidate subgroup
#include "reduce.wgsl"

@compute @workgroup_size(THREADS)
fn reduce(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
          @builtin(subgroup_id) part: u32, @builtin(num_subgroups) parts: u32,
          @builtin(subgroup_invocation_id) lane: u32, @builtin(subgroup_size) lanes: u32) {
    for (var output = group.x * parts + part; output < args.outer; output += groups.x * parts) {
        let base = enter_outer(origin(), output);
        var s = cleared();
        for (var i = lane; i < args.inner; i += lanes) {
            s = merged(s, State(expr(enter_inner(base, i)), i));
        }
        for (var step = lanes / 2u; step > 0u; step /= 2u) {
            s = merged(s, State(subgroupShuffleXor(s.value, step), subgroupShuffleXor(s.at, step)));
        }
        if (lane == 0u) { finish(s, base); }
    }
}
