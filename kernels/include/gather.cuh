// What gather and scatter-add share: the arrays x, index and out, and the coordinate that is replaced.
#pragma once
#include "elementwise.cuh"

enum { X, INDEX };

__device__ __forceinline__ long long index_of(const Arrays& a, const Place& p) {
    return a.array<INDEX>()[p.offset[INDEX]];
}

// Where x (of a gather) or out (of a scatter) has the point p with its coordinate along AXIS replaced.
template <int ARRAY>
__device__ __forceinline__ long long replaced(const Arrays& a, const Place& p, long long to) {
    return p.offset[ARRAY] + (to - (long long)p.at[AXIS]) * a.stride[ARRAY][AXIS];
}
__device__ __forceinline__ long long source_of(const Arrays& a, const Place& p, long long to) {
    return replaced<X>(a, p, to);
}

// What an index outside the axis gathers: NaN, 0 for whole numbers.
__device__ __forceinline__ Out missing() { return narrowed<Out>(__int_as_float(0x7fffffff)); }
