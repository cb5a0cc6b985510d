// Global memory accesses with the cache policy in their names.
#pragma once

// The pointer `step` elements on. The compiler does not see how it came about, so it keeps one running
// pointer in registers and not one for each round of an unrolled loop.
__device__ __forceinline__ const T* advance(const T* p, long long step) {
    p += step;
    asm volatile("" : "+l"(p));
    return p;
}

// Read-only data that is used again soon: through L1. BYTES is 2, 4, 8 or 16; p is aligned to it.
template <int BYTES>
__device__ __forceinline__ void load_cached(unsigned* word, const void* p) {
    if constexpr (BYTES == 16) {
        asm volatile("ld.global.nc.v4.u32 {%0, %1, %2, %3}, [%4];"
                     : "=r"(word[0]), "=r"(word[1]), "=r"(word[2]), "=r"(word[3])
                     : "l"(p));
    } else if constexpr (BYTES == 8) {
        asm volatile("ld.global.nc.v2.u32 {%0, %1}, [%2];" : "=r"(word[0]), "=r"(word[1]) : "l"(p));
    } else if constexpr (BYTES == 4) {
        asm volatile("ld.global.nc.u32 %0, [%1];" : "=r"(word[0]) : "l"(p));
    } else {
        unsigned short half;
        asm volatile("ld.global.nc.u16 %0, [%1];" : "=h"(half) : "l"(p));
        word[0] = half;
    }
}

// Read-only data that is used once: leaves L1 to others.
template <int BYTES>
__device__ __forceinline__ void load_stream(unsigned* word, const void* p) {
    if constexpr (BYTES == 16) {
        asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
                     : "=r"(word[0]), "=r"(word[1]), "=r"(word[2]), "=r"(word[3])
                     : "l"(p));
    } else if constexpr (BYTES == 8) {
        asm volatile("ld.global.nc.L1::no_allocate.v2.u32 {%0, %1}, [%2];"
                     : "=r"(word[0]), "=r"(word[1])
                     : "l"(p));
    } else if constexpr (BYTES == 4) {
        asm volatile("ld.global.nc.L1::no_allocate.u32 %0, [%1];" : "=r"(word[0]) : "l"(p));
    } else {
        unsigned short half;
        asm volatile("ld.global.nc.L1::no_allocate.u16 %0, [%1];" : "=h"(half) : "l"(p));
        word[0] = half;
    }
}

// Data that other blocks of this launch wrote: from L2, never from a stale L1 line.
__device__ __forceinline__ float load_shared_by_blocks(const float* p) {
    float x;
    asm volatile("ld.global.cg.f32 %0, [%1];" : "=f"(x) : "l"(p) : "memory");
    return x;
}
__device__ __forceinline__ double load_shared_by_blocks(const double* p) {
    double x;
    asm volatile("ld.global.cg.f64 %0, [%1];" : "=d"(x) : "l"(p) : "memory");
    return x;
}

template <int BYTES>
__device__ __forceinline__ void store_global(void* p, const unsigned* word) {
    if constexpr (BYTES == 16) {
        asm volatile("st.global.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(p), "r"(word[0]), "r"(word[1]), "r"(word[2]),
                     "r"(word[3])
                     : "memory");
    } else if constexpr (BYTES == 8) {
        asm volatile("st.global.v2.u32 [%0], {%1, %2};" ::"l"(p), "r"(word[0]), "r"(word[1]) : "memory");
    } else if constexpr (BYTES == 4) {
        asm volatile("st.global.u32 [%0], %1;" ::"l"(p), "r"(word[0]) : "memory");
    } else {
        asm volatile("st.global.u16 [%0], %1;" ::"l"(p), "h"((unsigned short)word[0]) : "memory");
    }
}

// N elements in pieces of VEC. VEC > 1 means that they lie side by side and aligned; VEC = 1 that
// they lie `stride` apart.
template <int N, int VEC, bool STREAM>
__device__ __forceinline__ void load_pieces(Vector<N>& out, const T* p, long long stride) {
    static_assert(N % VEC == 0, "whole pieces");
    constexpr int BYTES = VEC * (int)sizeof(T);
#pragma unroll
    for (int i = 0; i < N / VEC; ++i) {
        const T* piece = VEC > 1 ? p + i * VEC : p + i * stride;
        unsigned word[(BYTES + 3) / 4];
        if constexpr (STREAM) {
            load_stream<BYTES>(word, piece);
        } else {
            load_cached<BYTES>(word, piece);
        }
        if constexpr (BYTES == 2) {
            out.word[i / 2] = i % 2 ? out.word[i / 2] | (word[0] << 16) : word[0];
        } else {
#pragma unroll
            for (int j = 0; j < BYTES / 4; ++j) out.word[i * (BYTES / 4) + j] = word[j];
        }
    }
}

// The first `count` of N elements that lie side by side, aligned to all N.
template <int N>
__device__ __forceinline__ void store_pieces(T* p, const Vector<N>& x, int count) {
    if (N == 1 || count >= N) {
        store_global<Vector<N>::BYTES>(p, x.word);
        return;
    }
    constexpr int SIZE = (int)sizeof(T);
#pragma unroll
    for (int i = 0; i < N; ++i) {
        if (i >= count) break;
        if constexpr (SIZE == 2) {
            unsigned half = x.word[i / 2] >> (16 * (i % 2));
            store_global<2>(p + i, &half);
        } else {
            store_global<SIZE>(p + i, x.word + i * (SIZE / 4));
        }
    }
}
