// Over the THREADS invocations of a workgroup.

var<workgroup> shared_values: array<Acc, THREADS>;

// The workgroup's sum, or its largest where `largest` (a NaN wins); every invocation has it.
fn over_workgroup(x: Acc, largest: bool, local: u32) -> Acc {
    shared_values[local] = x;
    for (var step = THREADS / 2u; step > 0u; step /= 2u) {
        workgroupBarrier();
        if (local < step) {
            let a = shared_values[local];
            let b = shared_values[local + step];
            if (largest) { shared_values[local] = ks_max(a, b); } else { shared_values[local] = a + b; }
        }
    }
    workgroupBarrier();
    let result = shared_values[0];
    workgroupBarrier();
    return result;
}
