// The state of a running reduction and its merging. Merges are independent of order for extremes and
// positions; sums are added in one order on every run.

// KIND, in the order of ReduceKind in crates/core/src/ops/reduce.rs.
const SUM: i32 = 0;
const MAX: i32 = 1;
const MIN: i32 = 2;
const ARG_MAX: i32 = 3;
const ARG_MIN: i32 = 4;
const IS_POSITION: bool = KIND == ARG_MAX || KIND == ARG_MIN;
const NOWHERE: u32 = 0xffffffffu;

struct State { value: Acc, at: u32 }

// What changes nothing: its position is after all others.
fn cleared() -> State {
    if (KIND == SUM) { return State(Acc(0), NOWHERE); }
    if (KIND == MAX || KIND == ARG_MAX) { return State(-acc_infinity(), NOWHERE); }
    return State(acc_infinity(), NOWHERE);
}

// The first of the largest (smallest) wins, the first NaN before all.
fn merged(a: State, b: State) -> State {
    if (KIND == SUM) { return State(a.value + b.value, NOWHERE); }
    if (KIND == MAX) { return State(ks_max(a.value, b.value), NOWHERE); }
    if (KIND == MIN) { return State(ks_min(a.value, b.value), NOWHERE); }
    let an = acc_is_nan(a.value);
    let bn = acc_is_nan(b.value);
    let better = (KIND == ARG_MAX && less(a.value, b.value)) || (KIND == ARG_MIN && less(b.value, a.value));
    let alike = same(a.value, b.value) || (an && bn);
    if (!(an && !bn) && (better || (bn && !an) || (alike && b.at < a.at))) { return b; }
    return a;
}

// The result at the outer point p.
fn finish(s: State, p: Place) {
    if (IS_POSITION && POST_IS_VALUE == 1) {
        store_position(p, s.at);
        return;
    }
    var v = s.value;
    if (IS_POSITION) { v = Acc(s.at); }
    store_out_at(p, post(p, v));
}
