// general: a workgroup reads its row three times, twice for statistics, once to rescale; any length and layout.
//
// Idea: the definition. Largest element (or mean), then the sum of exponentials (or squares of deviations),
// then the results.
//
// Bound: three reads and a write of a row.
//
// Run: smith bench row --problem kind=softmax,rows=64,columns=4096,x0=f32,out=f32 --device wgpu:0 --candidate general

// KIND, in the order of RowKind in crates/core/src/ops/row.rs.
const SOFTMAX: i32 = 0;
const LOG_SOFTMAX: i32 = 1;
const LAYER_NORM: i32 = 2;
const RMS_NORM: i32 = 3;
const CROSS_ENTROPY: i32 = 4;
const IS_EXPONENTIAL: bool = KIND == SOFTMAX || KIND == LOG_SOFTMAX || KIND == CROSS_ENTROPY;

#include "workgroup.wgsl"

fn element(row: Place, column: u32) -> Acc { return expr(along_last(row, column)); }

@compute @workgroup_size(THREADS)
fn row(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
       @builtin(local_invocation_index) local: u32) {
    let length = row_length();
    let n = Acc(length);
    for (var r = group.x; r < args.outer; r += groups.x) {
        let start = enter_outer(origin(), r);
        var shift = Acc(0);
        var scale = Acc(1);
        var log_sum = Acc(0);
        var part = Acc(0);
        if (IS_EXPONENTIAL) {
            part = -acc_infinity();
            for (var c = local; c < length; c += THREADS) { part = ks_max(part, element(start, c)); }
            shift = over_workgroup(part, true, local);
            part = Acc(0);
            for (var c = local; c < length; c += THREADS) { part += ks_exp(element(start, c) - shift); }
            let sum = over_workgroup(part, false, local);
            scale = Acc(1) / sum;
            log_sum = ks_log(sum);
        } else {
            if (KIND == LAYER_NORM) {
                for (var c = local; c < length; c += THREADS) { part += element(start, c); }
                shift = over_workgroup(part, false, local) / n;
            }
            part = Acc(0);
            for (var c = local; c < length; c += THREADS) {
                let d = element(start, c) - shift;
                part += d * d;
            }
            scale = ks_rsqrt(over_workgroup(part, false, local) / n + epsilon());
        }
        let label = label_of(start);
        if (KIND == CROSS_ENTROPY) {
            if (local == 0u) {
                var y = shift + log_sum;
                if (LABEL >= 0) {
                    // Differences first: nothing large cancels against something rounded.
                    if (label >= 0 && u32(label) < length) {
                        y = (shift - element(start, u32(label))) + log_sum;
                    } else {
                        y = acc_nan();
                    }
                }
                store_out_at(start, post(start, y));
            }
        } else {
            for (var c = local; c < length; c += THREADS) {
                let p = along_last(start, c);
                let x = expr(p);
                var y: Acc;
                if (KIND == SOFTMAX) {
                    y = ks_exp(x - shift) * scale;
                    if (LABEL >= 0 && i32(c) == label) { y -= Acc(1); }
                } else if (KIND == LOG_SOFTMAX) {
                    y = (x - shift) - log_sum;
                } else if (KIND == LAYER_NORM) {
                    y = (x - shift) * scale;
                } else {
                    y = x * scale;
                }
                store_out_at(p, post(p, y));
            }
        }
    }
}
