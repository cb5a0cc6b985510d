// whole: a workgroup reduces a share of an output's elements by vectors of 16 bytes; where outputs are few, each
// has SHARES workgroups, and a second launch merges what they found.
//
// Idea: general with the widest reads and as many workgroups as fill the device. Shares are merged in their
// order: the same bits on every run.
//
// Bound: reading; a second launch where SHARES > 1.
//
// Run: smith bench reduce --problem kind=sum,outer=scalar,inner=268435456,x0=f32,out=f32 --device wgpu:0 --candidate whole
#include "reduce.wgsl"

var<workgroup> values: array<Acc, THREADS>;
var<workgroup> places: array<u32, THREADS>;

// The workgroup's states in one, which its first invocation has.
fn together(state: State, local: u32) -> State {
    var s = state;
    values[local] = s.value;
    places[local] = s.at;
    for (var step = THREADS / 2u; step > 0u; step /= 2u) {
        workgroupBarrier();
        if (local < step) {
            s = merged(s, State(values[local + step], places[local + step]));
            values[local] = s.value;
            places[local] = s.at;
        }
    }
    // The next row's states come only now.
    workgroupBarrier();
    return s;
}

@compute @workgroup_size(THREADS)
fn reduce(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
          @builtin(local_invocation_index) local: u32) {
    let vectors = args.inner / LANES;
    let share = group.x % SHARES;
    for (var output = group.x / SHARES; output < args.outer; output += groups.x / SHARES) {
        let base = enter_outer(origin(), output);
        var s = cleared();
        for (var v = share * THREADS + local; v < vectors; v += SHARES * THREADS) {
            s = fold_lanes(s, enter_inner(base, v * LANES), v * LANES);
        }
        // What is left of a single row.
        if (share == 0u && local == 0u) {
            for (var i = vectors * LANES; i < args.inner; i++) { s = merged(s, State(expr(enter_inner(base, i)), i)); }
        }
        s = together(s, local);
        if (local == 0u) {
            if (SHARES == 1u) {
                finish(s, base);
            } else {
                workspace[output * SHARES + share] = s.value;
                atomicStore(&counters[output * SHARES + share], s.at);
            }
        }
    }
}

@compute @workgroup_size(THREADS)
fn merge(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
         @builtin(local_invocation_index) local: u32) {
    for (var output = group.x; output < args.outer; output += groups.x) {
        var s = cleared();
        for (var i = local; i < SHARES; i += THREADS) {
            s = merged(s, State(workspace[output * SHARES + i], atomicLoad(&counters[output * SHARES + i])));
        }
        s = together(s, local);
        if (local == 0u) { finish(s, enter_outer(origin(), output)); }
    }
}
