// The state of a running reduction and its merging. All merges are independent of order for extremes and
// positions; sums are added in one order on every run.
#pragma once
#include "elementwise.cuh"
#include "team.cuh"

// KIND, in the order of ReduceKind in crates/core/src/ops/reduce.rs.
enum { SUM, MAX, MIN, ARG_MAX, ARG_MIN };
constexpr bool IS_POSITION = KIND == ARG_MAX || KIND == ARG_MIN;

__device__ __forceinline__ Acc infinity() { return (Acc)__int_as_float(0x7f800000); }

struct State {
    Acc value;
    Index at;

    // What changes nothing: its position is after all others.
    __device__ __forceinline__ void clear() {
        value = KIND == SUM ? Acc(0) : KIND == MAX || KIND == ARG_MAX ? -infinity() : infinity();
        at = ~Index(0);
    }

    __device__ __forceinline__ State from_lane(int step) const {
        State other;
        other.value = __shfl_xor_sync(0xffffffffu, value, step);
        other.at = IS_POSITION ? __shfl_xor_sync(0xffffffffu, at, step) : at;
        return other;
    }
};

// The first of the largest (smallest) wins, the first NaN before all.
__device__ __forceinline__ State merge(const State& a, const State& b) {
    State c = a;
    if constexpr (KIND == SUM) {
        c.value = a.value + b.value;
    } else if constexpr (KIND == MAX) {
        c.value = ks_max(a.value, b.value);
    } else if constexpr (KIND == MIN) {
        c.value = ks_min(a.value, b.value);
    } else {
        bool a_is_nan = a.value != a.value, b_is_nan = b.value != b.value;
        bool better = KIND == ARG_MAX ? b.value > a.value : b.value < a.value;
        bool same = a.value == b.value || (a_is_nan && b_is_nan);
        if (!(a_is_nan && !b_is_nan) && (better || (b_is_nan && !a_is_nan) || (same && b.at < a.at))) c = b;
    }
    return c;
}

// One more element. Each thread takes its own in ascending order.
__device__ __forceinline__ void absorb(State& s, Acc x, Index at) {
    if constexpr (IS_POSITION) {
        bool better = KIND == ARG_MAX ? x > s.value : x < s.value;
        bool first = s.at == ~Index(0);
        if ((better || first || x != x) && s.value == s.value) s = State{x, at};
    } else {
        s = merge(s, State{x, at});
    }
}

// The result at the outer point p.
__device__ __forceinline__ void finish(const State& s, const Arrays& a, const Place& p) {
    if constexpr (IS_POSITION && POST_IS_VALUE) {
        store_one(narrowed<Out>((double)s.at), a, p);
    } else {
        PostInputs<1, RANK - 1> in;
        load(in, a, p);
        store_one(narrowed<Out>(post(in, 0, a, p, IS_POSITION ? Acc(s.at) : s.value)), a, p);
    }
}
