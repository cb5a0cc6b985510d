// words: for results of one or two bytes an element: an invocation computes a whole word of the output.
//
// Idea: strided writes such an element by two atomic operations, since its word may be another invocation's too.
// Where the output is dense, a word has one owner, who writes it at once; only the first and the last word may
// be shared with what lies around.
//
// Bound: memory where lines are used whole.
//
// Run: smith bench map --problem shape=1024x1024,expr=add(x0,1),x0=f16,out=f16 --device wgpu:0 --candidate words

const EACH: u32 = u32(OUT_EACH);
const BITS: u32 = 32u / EACH;

@compute @workgroup_size(THREADS)
fn map(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let total = args.outer * args.inner;
    if (OUT_DENSE == 0) {
        for (var i = id.x; i < total; i += groups.x * THREADS) {
            let p = enter_all(origin(), i);
            store_out_at(p, expr(p));
        }
        return;
    }
    // Elements of the first word that lie before the output.
    let before = u32(args.out_offset) % EACH;
    let words = (before + total + EACH - 1u) / EACH;
    for (var w = id.x; w < words; w += groups.x * THREADS) {
        var word = 0u;
        var owned = 0u;
        for (var j = 0u; j < EACH; j++) {
            let e = w * EACH + j;
            if (e >= before && e - before < total) {
                word |= bits_out(expr(enter_all(origin(), e - before))) << (j * BITS);
                owned += 1u;
            }
        }
        if (owned == EACH) {
            put_word_out(args.out_offset / i32(EACH) + i32(w), word);
        } else {
            for (var j = 0u; j < EACH; j++) {
                let e = w * EACH + j;
                if (e >= before && e - before < total) {
                    put_out(args.out_offset + i32(e - before), (word >> (j * BITS)) & ((1u << BITS) - 1u));
                }
            }
        }
    }
}
