// f32 numbers as sums of three bf16 ones, and where the parts lie so that matrix units can read them.
//
// x = high + middle + low: each is what is left, rounded to eight bits, and eight bits thrice are f32's 24. So
// the sum is exact, unless a part is below bf16's smallest number, 2^-133. An infinity leaves NaN.
#pragma once

constexpr int PARTS = 3;
constexpr int PART_STEP = 32;  // k in a step: rows of 64 bytes

// Two numbers' next parts, the first in the lower half; what is left of them stays in x and y.
__device__ __forceinline__ unsigned take_part(float& x, float& y) {
    unsigned both;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(y), "f"(x));
    x -= __uint_as_float(both << 16);
    y -= __uint_as_float(both & 0xffff0000u);
    return both;
}

// Where eight numbers of k, the `eighth` of four in a step, of one row and part lie, in bytes. A step holds a
// part after the other, a part `rows` rows; 16-byte pieces change places as in a 64-byte swizzle, so that a
// plain copy leaves in shared memory what the matrix units' descriptors mean.
__device__ __forceinline__ long long part_place(long long step, int part, int rows, int row, int eighth) {
    return ((step * PARTS + part) * rows + row) * 64 + (eighth ^ row / 2 % 4) * 16;
}

// Describes rows of 64 bytes in atoms of eight, swizzled so, as `describe` does rows of 128 bytes.
__device__ __forceinline__ unsigned long long describe_parts(unsigned address) {
    unsigned low = (address & 0x3ffffu) >> 4;
    unsigned high = 512u >> 4 | 2u << 30;  // from atom to atom; swizzle of 64 bytes
    return (unsigned long long)high << 32 | low;
}
