// A row that stays in the registers of a team, from its only read to its only write.
#pragma once
#include "row.cuh"

// A vector of the row as it is kept: computed values, or the words of the input that the expression is
// where these are smaller.
struct Values {
    Acc value[LANES];
    __device__ __forceinline__ void keep(const ExprInputs<LANES, DIM>& in, const Arrays& a, const Place& p) {
#pragma unroll
        for (int j = 0; j < LANES; ++j) value[j] = expr(in, j, a, p);
    }
    __device__ __forceinline__ Acc get(int j, const Arrays&) const { return value[j]; }
};

struct Words {
    ExprInputs<LANES, DIM> words;
    __device__ __forceinline__ void keep(const ExprInputs<LANES, DIM>& in, const Arrays&, const Place&) { words = in; }
    __device__ __forceinline__ Acc get(int j, const Arrays& a) const { return expr(words, j, a, Place{}); }
};

template <bool SMALL>
struct KeptAs {
    using Type = Values;
};
template <>
struct KeptAs<true> {
    using Type = Words;
};
using Kept = KeptAs<EXPR_IS_INPUT && sizeof(ExprInputs<LANES, DIM>) < sizeof(Values)>::Type;

// COUNT vectors of row r in one of MEMBERS threads.
template <int MEMBERS, int COUNT>
struct Resident {
    const Arrays& a;
    Place row;
    Index member, vectors;
    Kept kept[COUNT];

    __device__ __forceinline__ Index vector(int k) const { return member + k * MEMBERS; }
    __device__ __forceinline__ bool whole(int k) const {
        return vector(k) < vectors && (WHOLE_ROWS || is_whole(a, vector(k)));
    }
    // Whether element j of the k-th vector is in the row: the row's first may lack SHIFT, the last some more.
    __device__ __forceinline__ bool valid(int k, int j) const {
        Index from_start = vector(k) * LANES + j;
        return vector(k) < vectors &&
               (WHOLE_ROWS || (from_start + 1 > SHIFT && from_start < a.row_length() + SHIFT));
    }
    // Where the k-th vector starts, which may be SHIFT before the row.
    __device__ __forceinline__ Place place(int k) const {
        Place p = row;
        advance<DIM>(p, a, vector(k) * LANES - SHIFT);
        return p;
    }

    __device__ __forceinline__ void read() {
        ExprInputs<LANES, DIM> in[COUNT];
#pragma unroll
        for (int k = 0; k < COUNT; ++k) {
            if (whole(k)) {
                load(in[k], a, place(k));
                continue;
            }
#pragma unroll
            for (int j = 0; j < LANES; ++j) {
                ExprInputs<1, DIM> one{};
                if (!WHOLE_ROWS && valid(k, j)) {
                    Place p = place(k);
                    advance<DIM>(p, a, j);
                    load(one, a, p);
                }
                put(in[k], j, one);
            }
        }
#pragma unroll
        for (int k = 0; k < COUNT; ++k) kept[k].keep(in[k], a, place(k));
    }

    // f(x) for the thread's elements in the row, in ascending order.
    template <class F>
    __device__ __forceinline__ void each(F f) const {
#pragma unroll
        for (int k = 0; k < COUNT; ++k) {
#pragma unroll
            for (int j = 0; j < LANES; ++j) {
                if (valid(k, j)) f(kept[k].get(j, a));
            }
        }
    }

    __device__ __forceinline__ Acc largest() const {
        Acc m = -infinity();
        each([&](Acc x) { m = ks_max(m, x); });
        return m;
    }
    __device__ __forceinline__ Acc sum() const {
        Acc total = 0;
        each([&](Acc x) { total += x; });
        return total;
    }
    __device__ __forceinline__ Acc squares(Acc mean) const {
        Acc total = 0;
        each([&](Acc x) { total += (x - mean) * (x - mean); });
        return total;
    }
    __device__ __forceinline__ Acc exponentials(Acc largest) const {
        Acc total = 0;
        each([&](Acc x) { total += exp_below(x - largest); });
        return total;
    }

    __device__ __forceinline__ void write(const Statistics& s, int label) const {
#pragma unroll
        for (int k = 0; k < COUNT; ++k) {
            Place p = place(k);
            if (whole(k)) {
                PostInputs<LANES, DIM> more;
                load(more, a, p);
                Lanes<Out, LANES> y;
#pragma unroll
                for (int j = 0; j < LANES; ++j) {
                    Acc x = rescaled(kept[k].get(j, a), s, p.at[DIM] + j, label);
                    y.set(j, narrowed<Out>(post(more, j, a, p, x)));
                }
                store_out<LANES, DIM>(y, a, p);
                continue;
            }
#pragma unroll
            for (int j = 0; j < LANES; ++j) {
                if (!WHOLE_ROWS && valid(k, j)) {
                    PostInputs<1, DIM> more;
                    load(more, a, p);
                    Acc x = rescaled(kept[k].get(j, a), s, p.at[DIM], label);
                    store_one(narrowed<Out>(post(more, 0, a, p, x)), a, p);
                }
                advance<DIM>(p, a, 1);
            }
        }
    }
};

// Row r by MEMBERS threads, of which this is number `member`. Rows past the end take part in the merges of `team`.
template <int MEMBERS, int COUNT, class Team>
__device__ __forceinline__ void resident_row(const Arrays& a, Index r, Index member, const Team& team) {
    const bool inside = r < a.outer;
    Resident<MEMBERS, COUNT> here{a, origin(), member, inside ? a.vectors.value : 0};
    enter<0, OUTER>(here.row, a, inside ? r : 0);
    const int label = label_of(a, here.row);
    const Acc n = Acc(a.row_length());
    here.read();
    Statistics s{0, 1, 0};
    if constexpr (IS_EXPONENTIAL) {
        s.shift = team.max(here.largest());
        Acc total = team.sum(here.exponentials(s.shift));
        s.scale = Acc(1) / total;
        s.log = ks_log(total);
    } else {
        if constexpr (KIND == LAYER_NORM) s.shift = team.sum(here.sum()) / n;
        s.scale = ks_rsqrt(team.sum(here.squares(s.shift)) / n + a.constants[EPS]);
    }
    if constexpr (KIND == CROSS_ENTROPY) {
        if (inside && member == 0) finish_row(a, here.row, s, label);
    } else {
        here.write(s, label);
    }
}
