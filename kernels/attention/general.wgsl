// general: a workgroup takes a query; any dtype, any strides.
//
// Idea: the definition with a running maximum (Milakov & Gimelshein 2018). Of THREADS keys at a time each
// invocation scores one. Their largest and the sum of their weights go over the workgroup; then each invocation
// adds up numbers of the result, over the weights that lie in workgroup memory.
//
// Bound: K is read along a key by each invocation, so by lines that neighbours do not share.
//
// Run: smith bench attention --problem heads=4,queries=64,keys=64,head=64,dtype=f32,causal=1 --device wgpu:0 --candidate general

// Numbers of the result that an invocation adds up.
const EACH: u32 = (HEAD + THREADS - 1u) / THREADS;

var<workgroup> numbers: array<Acc, HEAD>;
var<workgroup> weights: array<Acc, THREADS>;
#include "workgroup.wgsl"

@compute @workgroup_size(THREADS)
fn attention(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
             @builtin(local_invocation_index) local: u32) {
    let rows = u32(args.rows);
    let queries = u32(args.queries);
    let heads = u32(args.heads);
    let keys = u32(args.keys);
    for (var r = group.x; r < rows; r += groups.x) {
        let query = r % queries;
        let head = r / queries % heads;
        let batch = r / queries / heads;
        let of_keys = head / u32(args.group);
        // The triangle ends at the lower right.
        let seen = select(keys, keys - queries + query + 1u, CAUSAL);
        for (var d = local; d < HEAD; d += THREADS) { numbers[d] = load_q(q_at(batch, head, query, d)); }
        workgroupBarrier();
        var result: array<Acc, EACH>;
        var largest = -acc_infinity();
        var sum = Acc(0);
        for (var first = 0u; first < seen; first += THREADS) {
            let key = first + local;
            var score = -acc_infinity();
            if (key < seen) {
                var products = Acc(0);
                for (var d = 0u; d < HEAD; d++) { products += numbers[d] * load_k(k_at(batch, of_keys, key, d)); }
                score = products * args.scale;
            }
            let best = ks_max(largest, over_workgroup(score, true, local));
            // Where there was no score above -inf yet, weights are 0 and not NaN.
            var base = best;
            if (is_infinite(best) && is_negative(best)) { base = Acc(0); }
            let decay = ks_exp(largest - base);
            largest = best;
            var weight = Acc(0);
            if (key < seen) { weight = ks_exp(score - base); }
            weights[local] = weight;
            sum = sum * decay + over_workgroup(weight, false, local);
            let count = min(THREADS, seen - first);
            for (var e = 0u; e < EACH; e++) {
                let d = local + e * THREADS;
                if (d < HEAD) {
                    var y = result[e] * decay;
                    for (var j = 0u; j < count; j++) { y += weights[j] * load_v(v_at(batch, of_keys, first + j, d)); }
                    result[e] = y;
                }
            }
            workgroupBarrier();
        }
        for (var e = 0u; e < EACH; e++) {
            let d = local + e * THREADS;
            if (d < HEAD) { store_out(out_at(batch, head, query, d), result[e] / sum); }
        }
    }
}
