// general: a team of TEAM invocations reduces one output, element by element.
//
// Idea: the definition for any layout. An invocation takes every TEAM-th element in the order of the inner
// space; the team's states meet in a tree in workgroup memory.
//
// Bound: index arithmetic, a division a dimension and element.
//
// Run: smith bench reduce --problem kind=sum,outer=64,inner=64x4096,x0=f32@0:1:262144:64,out=f32 --device wgpu:0 --candidate general
#include "reduce.wgsl"

var<workgroup> values: array<Acc, THREADS>;
var<workgroup> places: array<u32, THREADS>;

@compute @workgroup_size(THREADS)
fn reduce(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
          @builtin(local_invocation_index) local: u32) {
    let lane = local % TEAM;
    let output = (group.y * groups.x + group.x) * (THREADS / TEAM) + local / TEAM;
    let inside = output < args.outer;
    let base = enter_outer(origin(), select(0u, output, inside));
    var s = cleared();
    for (var i = lane; i < args.inner; i += TEAM) {
        s = merged(s, State(expr(enter_inner(base, i)), i));
    }
    if (TEAM > 1u) {
        values[local] = s.value;
        places[local] = s.at;
        for (var step = TEAM / 2u; step > 0u; step /= 2u) {
            workgroupBarrier();
            if (lane < step) {
                s = merged(s, State(values[local + step], places[local + step]));
                values[local] = s.value;
                places[local] = s.at;
            }
        }
    }
    if (inside && lane == 0u) { finish(s, base); }
}
