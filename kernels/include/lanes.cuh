// Neighbouring elements as they lie in memory, held in 32-bit registers, and their way to and from
// global memory. Plain loads, not read-only ones: a launch may write in place, and one that overlaps the
// launch before it must see what that one wrote. And without L1::no_allocate: beside ordinary stores that
// hint costs a streaming kernel 5 to 10 % of an H200's bandwidth (4.13 TB/s instead of 4.37 for f32 x + y).
#pragma once
#include "cast.cuh"

__device__ __forceinline__ void from_bits(f16& y, unsigned x) { y.bits = (unsigned short)x; }
__device__ __forceinline__ void from_bits(bf16& y, unsigned x) { y.bits = (unsigned short)x; }
__device__ __forceinline__ void from_bits(float& y, unsigned x) { y = __uint_as_float(x); }
__device__ __forceinline__ void from_bits(int& y, unsigned x) { y = (int)x; }
__device__ __forceinline__ void from_bits(u8& y, unsigned x) { y = (u8)x; }
__device__ __forceinline__ void from_bits(boolean& y, unsigned x) { y.bits = (u8)x; }
__device__ __forceinline__ unsigned to_bits(f16 x) { return x.bits; }
__device__ __forceinline__ unsigned to_bits(bf16 x) { return x.bits; }
__device__ __forceinline__ unsigned to_bits(float x) { return __float_as_uint(x); }
__device__ __forceinline__ unsigned to_bits(int x) { return (unsigned)x; }
__device__ __forceinline__ unsigned to_bits(u8 x) { return x; }
__device__ __forceinline__ unsigned to_bits(boolean x) { return x.bits; }

// Index with constants only: the words must stay registers. Set elements in ascending order.
template <class U, int N>
struct Lanes {
    static constexpr int SIZE = (int)sizeof(U);
    static constexpr int WORDS = (N * SIZE + 3) / 4;
    unsigned word[WORDS];

    __device__ __forceinline__ U get(int i) const {
        U x;
        if constexpr (SIZE == 8) {
            x = __hiloint2double((int)word[2 * i + 1], (int)word[2 * i]);
        } else if constexpr (SIZE == 4) {
            from_bits(x, word[i]);
        } else {
            constexpr int EACH = 4 / SIZE;
            from_bits(x, word[i / EACH] >> (8 * SIZE * (i % EACH)));
        }
        return x;
    }

    __device__ __forceinline__ void set(int i, U x) {
        if constexpr (SIZE == 8) {
            word[2 * i] = (unsigned)__double2loint(x);
            word[2 * i + 1] = (unsigned)__double2hiint(x);
        } else if constexpr (SIZE == 4) {
            word[i] = to_bits(x);
        } else {
            constexpr int EACH = 4 / SIZE;
            unsigned part = to_bits(x) << (8 * SIZE * (i % EACH));
            word[i / EACH] = i % EACH ? word[i / EACH] | part : part;
        }
    }
};

// BYTES is 1, 2, 4, 8 or 16; p is aligned to it.
template <int BYTES>
__device__ __forceinline__ void load_words(unsigned* word, const void* p) {
    if constexpr (BYTES == 16) {
        asm volatile("ld.global.v4.u32 {%0, %1, %2, %3}, [%4];"
                     : "=r"(word[0]), "=r"(word[1]), "=r"(word[2]), "=r"(word[3])
                     : "l"(p));
    } else if constexpr (BYTES == 8) {
        asm volatile("ld.global.v2.u32 {%0, %1}, [%2];" : "=r"(word[0]), "=r"(word[1]) : "l"(p));
    } else if constexpr (BYTES == 4) {
        asm volatile("ld.global.u32 %0, [%1];" : "=r"(word[0]) : "l"(p));
    } else if constexpr (BYTES == 2) {
        asm volatile("ld.global.u16 %0, [%1];" : "=r"(word[0]) : "l"(p));
    } else {
        asm volatile("ld.global.u8 %0, [%1];" : "=r"(word[0]) : "l"(p));
    }
}

template <int BYTES>
__device__ __forceinline__ void store_words(void* p, const unsigned* word) {
    if constexpr (BYTES == 16) {
        asm volatile("st.global.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(p), "r"(word[0]), "r"(word[1]), "r"(word[2]),
                     "r"(word[3])
                     : "memory");
    } else if constexpr (BYTES == 8) {
        asm volatile("st.global.v2.u32 [%0], {%1, %2};" ::"l"(p), "r"(word[0]), "r"(word[1]) : "memory");
    } else if constexpr (BYTES == 4) {
        asm volatile("st.global.u32 [%0], %1;" ::"l"(p), "r"(word[0]) : "memory");
    } else if constexpr (BYTES == 2) {
        asm volatile("st.global.u16 [%0], %1;" ::"l"(p), "r"(word[0]) : "memory");
    } else {
        asm volatile("st.global.u8 [%0], %1;" ::"l"(p), "r"(word[0]) : "memory");
    }
}

// N elements that lie `stride` apart, or with PIECE > 1 side by side and aligned to PIECE.
template <int PIECE, class U, int N>
__device__ __forceinline__ void load_lanes(Lanes<U, N>& out, const U* p, long long stride) {
    constexpr int SIZE = (int)sizeof(U), BYTES = PIECE * SIZE;
    static_assert(N % PIECE == 0 && BYTES <= 16, "whole pieces of at most 16 bytes");
#pragma unroll
    for (int i = 0; i < N; i += PIECE) {
        const U* piece = PIECE > 1 ? p + i : p + i * stride;
        unsigned word[BYTES / 4 + 1];
        load_words<BYTES>(word, piece);
        if constexpr (BYTES < 4) {
            constexpr int EACH = 4 / SIZE;
            unsigned part = word[0] << (8 * SIZE * (i % EACH));
            out.word[i / EACH] = i % EACH ? out.word[i / EACH] | part : part;
        } else {
#pragma unroll
            for (int j = 0; j < BYTES / 4; ++j) out.word[i * SIZE / 4 + j] = word[j];
        }
    }
}

template <int PIECE, class U, int N>
__device__ __forceinline__ void store_lanes(U* p, const Lanes<U, N>& x, long long stride) {
    constexpr int SIZE = (int)sizeof(U), BYTES = PIECE * SIZE;
    static_assert(N % PIECE == 0 && BYTES <= 16, "whole pieces of at most 16 bytes");
#pragma unroll
    for (int i = 0; i < N; i += PIECE) {
        U* piece = PIECE > 1 ? p + i : p + i * stride;
        if constexpr (BYTES < 4) {
            constexpr int EACH = 4 / SIZE;
            unsigned part = x.word[i / EACH] >> (8 * SIZE * (i % EACH));
            store_words<BYTES>(piece, &part);
        } else {
            store_words<BYTES>(piece, x.word + i * SIZE / 4);
        }
    }
}
