// What kernels over an index space share: the arrays, walking the space, loads along one dimension.
//
// The prelude before this says what is fixed when a kernel is compiled: RANK dimensions, the first OUTER
// of them outer ones; ARRAYS arrays, Array<I> the I-th's type and Walk<I, D> how it lies along dimension D;
// LANES elements that a thread moves as one along the last dimension, of which the first SHIFT of a row
// lie before its start, so that what follows is aligned. Sizes, strides and constants are arguments.
#pragma once
#include "lanes.cuh"
#include "math.cuh"
#include "random.cuh"

#if WIDE
using Index = unsigned long long;
using Stride = long long;

struct Divisor {
    Index value;
    __device__ __forceinline__ Index divide(Index n) const { return n / value; }
};
#else
using Index = unsigned;
using Stride = int;

// Division by multiplication (Granlund & Montgomery 1994), for n below 2^31.
struct Divisor {
    unsigned value, magic, shift;
    __device__ __forceinline__ unsigned divide(unsigned n) const { return (__umulhi(n, magic) + n) >> shift; }
};
#endif

struct Arrays {
    const void* data[ARRAYS];
    unsigned long long seeds[SEEDS];
    Acc constants[CONSTANTS];
    Stride stride[ARRAYS][RANK];
    Divisor size[RANK];
    // Vectors of LANES in a row of the last dimension.
    Divisor vectors;
    // The same in the last outer dimension of a reduction.
    Divisor column_vectors;
    // Points of the outer dimensions, and of the others; vectors of a reduction's outer dimensions.
    Index outer, inner, outer_vectors;

    template <int I>
    __device__ __forceinline__ typename Array<I>::Type* array() const {
        return (typename Array<I>::Type*)data[I];
    }
    __device__ __forceinline__ Index row_length() const { return size[RANK - 1].value; }
};

// A point of the space, and where each array has it.
struct Place {
    long long offset[ARRAYS];
    Index at[RANK];
};

template <class U>
__host__ __device__ constexpr U smaller(U a, U b) {
    return a < b ? a : b;
}

// A difference of indices with its sign.
__device__ __forceinline__ long long signed_of(Index i) {
#if WIDE
    return (long long)i;
#else
    return (int)i;
#endif
}
__device__ __forceinline__ long long times(Index i, Stride s) { return signed_of(i) * s; }

__device__ __forceinline__ Place origin() {
    Place p;
#pragma unroll
    for (int k = 0; k < ARRAYS; ++k) p.offset[k] = 0;
#pragma unroll
    for (int d = 0; d < RANK; ++d) p.at[d] = 0;
    return p;
}

// Moves p, which is at 0 along dimensions FROM to TO, to the `linear`-th point of these.
template <int FROM, int TO>
__device__ __forceinline__ void enter(Place& p, const Arrays& a, Index linear) {
#pragma unroll
    for (int d = TO - 1; d >= FROM; --d) {
        Index i = linear;
        if (d > FROM) {
            linear = a.size[d].divide(i);
            i -= linear * a.size[d].value;
        }
        p.at[d] = i;
#pragma unroll
        for (int k = 0; k < ARRAYS; ++k) p.offset[k] += times(i, a.stride[k][d]);
    }
}

template <int DIM, int K = 0>
__device__ __forceinline__ void add_steps(Place& p, const Arrays& a, Index by) {
    if constexpr (K < ARRAYS) {
        constexpr int STEP = Walk<K, DIM>::STEP;
        if constexpr (STEP == 1) p.offset[K] += signed_of(by);
        if constexpr (STEP > 1) p.offset[K] += times(by, a.stride[K][DIM]);
        add_steps<DIM, K + 1>(p, a, by);
    }
}

// Moves p along one dimension, also backwards by a difference that wraps.
template <int DIM>
__device__ __forceinline__ void advance(Place& p, const Arrays& a, Index by) {
    p.at[DIM] += by;
    add_steps<DIM>(p, a, by);
}

// Whether the w-th vector of a row lies in it with all its elements.
__device__ __forceinline__ bool is_whole(const Arrays& a, Index w) {
    return (SHIFT == 0 || w > 0) && (w + 1) * LANES <= a.row_length() + SHIFT;
}
// The first element of the w-th vector that lies in the row, and one past the last.
__device__ __forceinline__ Index first_of(Index w) { return w * LANES < SHIFT ? 0 : w * LANES - SHIFT; }
__device__ __forceinline__ Index end_of(const Arrays& a, Index w) {
    return smaller(a.row_length(), (w + 1) * LANES - SHIFT);
}

// Elements that one load along DIM brings: one where the array is the same along it.
template <int I, int DIM>
__host__ __device__ constexpr int held(int count) {
    return Walk<I, DIM>::STEP == 0 ? 1 : count;
}

template <int I, int COUNT, int DIM>
__device__ __forceinline__ void load_array(Lanes<typename Array<I>::Type, held<I, DIM>(COUNT)>& out, const Arrays& a,
                                           const Place& p) {
    constexpr int N = held<I, DIM>(COUNT), PIECE = smaller(Walk<I, DIM>::PIECE, N);
    long long stride = Walk<I, DIM>::STEP == 1 ? 1 : (long long)a.stride[I][DIM];
    load_lanes<PIECE>(out, a.array<I>() + p.offset[I], stride);
}

template <int I, int DIM, int N>
__device__ __forceinline__ Acc lane(const Lanes<typename Array<I>::Type, N>& x, int j) {
    return widen<Acc>(x.get(Walk<I, DIM>::STEP == 0 ? 0 : j));
}

template <int D, int DIM>
__device__ __forceinline__ Acc index_at(const Place& p, int j) {
    return Acc(D == DIM ? p.at[D] + j : p.at[D]);
}

using Out = Array<OUT>::Type;

template <int COUNT, int DIM>
__device__ __forceinline__ void store_out(const Lanes<Out, COUNT>& y, const Arrays& a, const Place& p) {
    long long stride = Walk<OUT, DIM>::STEP == 1 ? 1 : (long long)a.stride[OUT][DIM];
    store_lanes<smaller(Walk<OUT, DIM>::PIECE, COUNT)>(a.array<OUT>() + p.offset[OUT], y, stride);
}

__device__ __forceinline__ void store_one(Out y, const Arrays& a, const Place& p) {
    a.array<OUT>()[p.offset[OUT]] = y;
}

// Lets the next launch begin and waits until those before have ended and what they wrote can be seen.
// Nothing may be read or written before it.
__device__ __forceinline__ void wait_for_earlier_launches() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;");
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
