// What row kernels share: the statistics of a row, and how an element follows from them.
#pragma once
#include "elementwise.cuh"
#include "team.cuh"

// KIND, in the order of RowKind in crates/core/src/ops/row.rs.
enum { SOFTMAX, LOG_SOFTMAX, LAYER_NORM, RMS_NORM, CROSS_ENTROPY };
constexpr bool IS_EXPONENTIAL = KIND == SOFTMAX || KIND == LOG_SOFTMAX || KIND == CROSS_ENTROPY;
constexpr int DIM = RANK - 1;

__device__ __forceinline__ Acc infinity() { return (Acc)__int_as_float(0x7f800000); }

// e^x for x <= 0. In float: within 4 units of roundoff and one more for each of |x|, in two instructions.
__device__ __forceinline__ float exp_below(float x) {
    float y;
    asm("ex2.approx.f32 %0, %1;" : "=f"(y) : "f"(x * 1.44269504088896341f));
    return y;
}
__device__ __forceinline__ double exp_below(double x) { return exp(x); }

struct Sum {
    Acc value;
    __device__ __forceinline__ Sum from_lane(int step) const {
        return Sum{__shfl_xor_sync(0xffffffffu, value, step)};
    }
    static __device__ __forceinline__ Sum merge(const Sum& a, const Sum& b) { return Sum{a.value + b.value}; }
};

struct Largest {
    Acc value;
    __device__ __forceinline__ Largest from_lane(int step) const {
        return Largest{__shfl_xor_sync(0xffffffffu, value, step)};
    }
    static __device__ __forceinline__ Largest merge(const Largest& a, const Largest& b) {
        return Largest{ks_max(a.value, b.value)};
    }
};

// What a row's elements are rescaled by: y = (x - shift) * scale for norms; e^(x - shift) * scale and
// (x - shift) - log for the exponential kinds.
struct Statistics {
    Acc shift, scale, log;
};

__device__ __forceinline__ Acc rescaled(Acc x, const Statistics& s, Index column, int label) {
    if constexpr (KIND == SOFTMAX) {
        Acc y = exp_below(x - s.shift) * s.scale;
        return LABEL >= 0 && (long long)column == label ? y - Acc(1) : y;
    } else if constexpr (KIND == LOG_SOFTMAX) {
        return (x - s.shift) - s.log;
    } else if constexpr (KIND == LAYER_NORM) {
        return (x - s.shift) * s.scale;
    } else {
        return x * s.scale;
    }
}

// The row's label, -1 where the problem has none.
__device__ __forceinline__ int label_of(const Arrays& a, const Place& row) {
    if constexpr (LABEL >= 0) {
        return ((const int*)a.data[LABEL])[row.offset[LABEL]];
    } else {
        return -1;
    }
}

// The value of one element, read by itself.
__device__ __forceinline__ Acc element(const Arrays& a, const Place& row, Index column) {
    Place p = row;
    advance<DIM>(p, a, column);
    ExprInputs<1, DIM> in;
    load(in, a, p);
    return expr(in, 0, a, p);
}

// The one number of a cross-entropy row. Differences first: nothing large cancels against something rounded.
__device__ __forceinline__ void finish_row(const Arrays& a, const Place& row, const Statistics& s, int label) {
    Acc y = s.shift + s.log;
    if (LABEL >= 0) {
        bool inside = label >= 0 && (Index)label < a.row_length();
        y = inside ? (s.shift - element(a, row, inside ? label : 0)) + s.log : infinity() - infinity();
    }
    PostInputs<1, DIM> in;
    load(in, a, row);
    store_one(narrowed<Out>(post(in, 0, a, row, y)), a, row);
}
