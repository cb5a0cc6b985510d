// What every product kernel shares: types, the view of a matrix, the functions of epilogues.
#pragma once
#include "dtype.cuh"
#include "math.cuh"
#include "memory.cuh"
#include "random.cuh"

// A view [batch, rows, columns]. Strides are in elements; 0 broadcasts, negative ones run backwards.
template <class P>
struct Matrix {
    P* data;
    long long batch_stride, row_stride, col_stride;

    __device__ __forceinline__ P* at(long long batch, long long row, long long col) const {
        return data + (batch * batch_stride + row * row_stride + col * col_stride);
    }
};

// One element of C or of an epilogue's input. A plain load: it may alias D.
__device__ __forceinline__ Acc ks_load(const Matrix<const T>& x, long long batch, long long row, long long col) {
    return to_acc(*x.at(batch, row, col));
}

__device__ __forceinline__ int ceil_div(int a, int b) { return a / b + (a % b != 0); }

template <class U>
__host__ __device__ constexpr U smaller(U a, U b) {
    return a < b ? a : b;
}
