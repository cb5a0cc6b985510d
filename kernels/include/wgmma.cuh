// Warpgroup-level matrix instructions (PTX ISA, "wgmma.mma_async"): 128 threads multiply a 64 x K tile of A
// by a K x N tile of B, both in shared memory, and add to sums in registers. K is 32 bytes.
//
// With g = lane / 4 and t = lane % 4, warp w of the warpgroup holds, for each eight columns j,
//   d[4j], d[4j + 1] = (16w + g, 8j + 2t), (.., 8j + 2t + 1);  d[4j + 2], d[4j + 3] the same eight rows below.
//
// Operands lie as the copy engine leaves them with a 128-byte swizzle, in atoms of eight rows of 128 bytes
// that start at multiples of 1024. A tile along k: MN rows of 128 bytes, atom after atom. A tile along m or
// n: a block for each 128 bytes of that dimension, in it a row for each k.
#pragma once

#if DTYPE_F16
#define KS_WGMMA_TYPES "k16.f32.f16.f16"
#elif DTYPE_BF16
#define KS_WGMMA_TYPES "k16.f32.bf16.bf16"
#else
#define KS_WGMMA_TYPES "k8.f32.tf32.tf32"
#endif
// Only 16-bit operands may lie along m or n.
#if DTYPE_F16 || DTYPE_BF16
#if A_INNER == 1
#define KS_WGMMA_A ", 1"
#else
#define KS_WGMMA_A ", 0"
#endif
#if B_INNER == 0
#define KS_WGMMA_B ", 1"
#else
#define KS_WGMMA_B ", 0"
#endif
#else
#define KS_WGMMA_A
#define KS_WGMMA_B
#endif

// Describes an operand's tile to the instruction. `blocks_apart`: bytes from block to block, where the tile
// lies along m or n. Adding bytes / 16 moves the start.
__device__ __forceinline__ unsigned long long describe(unsigned address, unsigned blocks_apart) {
    unsigned low = (address & 0x3ffffu) >> 4 | blocks_apart >> 4 << 16;
    unsigned high = 1024u >> 4 | 1u << 30;  // from atom to atom; swizzle of 128 bytes
    return (unsigned long long)high << 32 | low;
}

// Before the first instruction, and wherever registers that it uses were touched otherwise.
__device__ __forceinline__ void matrix_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void matrix_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
// Until at most PENDING groups are under way.
template <int PENDING>
__device__ __forceinline__ void matrix_wait() {
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(PENDING) : "memory");
}

// Registers in eights. The operands before them are the two descriptors and whether to add to d.
#define KS_P0 "%3, %4, %5, %6, %7, %8, %9, %10"
#define KS_P1 "%11, %12, %13, %14, %15, %16, %17, %18"
#define KS_P2 "%19, %20, %21, %22, %23, %24, %25, %26"
#define KS_P3 "%27, %28, %29, %30, %31, %32, %33, %34"
#define KS_P4 "%35, %36, %37, %38, %39, %40, %41, %42"
#define KS_P5 "%43, %44, %45, %46, %47, %48, %49, %50"
#define KS_P6 "%51, %52, %53, %54, %55, %56, %57, %58"
#define KS_P7 "%59, %60, %61, %62, %63, %64, %65, %66"
#define KS_P8 "%67, %68, %69, %70, %71, %72, %73, %74"
#define KS_P9 "%75, %76, %77, %78, %79, %80, %81, %82"
#define KS_P10 "%83, %84, %85, %86, %87, %88, %89, %90"
#define KS_P11 "%91, %92, %93, %94, %95, %96, %97, %98"
#define KS_P12 "%99, %100, %101, %102, %103, %104, %105, %106"
#define KS_P13 "%107, %108, %109, %110, %111, %112, %113, %114"
#define KS_P14 "%115, %116, %117, %118, %119, %120, %121, %122"
#define KS_P15 "%123, %124, %125, %126, %127, %128, %129, %130"
#define KS_D(i)                                                                                               \
    "+f"(d[8 * (i)]), "+f"(d[8 * (i) + 1]), "+f"(d[8 * (i) + 2]), "+f"(d[8 * (i) + 3]), "+f"(d[8 * (i) + 4]), \
        "+f"(d[8 * (i) + 5]), "+f"(d[8 * (i) + 6]), "+f"(d[8 * (i) + 7])
#define KS_PS_16 KS_P0
#define KS_DS_16 KS_D(0)
#define KS_PS_32 KS_PS_16 ", " KS_P1
#define KS_DS_32 KS_DS_16, KS_D(1)
#define KS_PS_48 KS_PS_32 ", " KS_P2
#define KS_DS_48 KS_DS_32, KS_D(2)
#define KS_PS_64 KS_PS_48 ", " KS_P3
#define KS_DS_64 KS_DS_48, KS_D(3)
#define KS_PS_80 KS_PS_64 ", " KS_P4
#define KS_DS_80 KS_DS_64, KS_D(4)
#define KS_PS_96 KS_PS_80 ", " KS_P5
#define KS_DS_96 KS_DS_80, KS_D(5)
#define KS_PS_112 KS_PS_96 ", " KS_P6
#define KS_DS_112 KS_DS_96, KS_D(6)
#define KS_PS_128 KS_PS_112 ", " KS_P7
#define KS_DS_128 KS_DS_112, KS_D(7)
#define KS_PS_144 KS_PS_128 ", " KS_P8
#define KS_DS_144 KS_DS_128, KS_D(8)
#define KS_PS_160 KS_PS_144 ", " KS_P9
#define KS_DS_160 KS_DS_144, KS_D(9)
#define KS_PS_176 KS_PS_160 ", " KS_P10
#define KS_DS_176 KS_DS_160, KS_D(10)
#define KS_PS_192 KS_PS_176 ", " KS_P11
#define KS_DS_192 KS_DS_176, KS_D(11)
#define KS_PS_208 KS_PS_192 ", " KS_P12
#define KS_DS_208 KS_DS_192, KS_D(12)
#define KS_PS_224 KS_PS_208 ", " KS_P13
#define KS_DS_224 KS_DS_208, KS_D(13)
#define KS_PS_240 KS_PS_224 ", " KS_P14
#define KS_DS_240 KS_DS_224, KS_D(14)
#define KS_PS_256 KS_PS_240 ", " KS_P15
#define KS_DS_256 KS_DS_240, KS_D(15)
#define KS_WGMMA(N)                                                                                      \
    asm volatile(                                                                                        \
        "{\n\t.reg .pred p;\n\tsetp.ne.b32 p, %2, 0;\n\t"                                              \
        "wgmma.mma_async.sync.aligned.m64n" #N KS_WGMMA_TYPES " {" KS_PS_##N "}, %0, %1, p, 1, 1" KS_WGMMA_A \
        KS_WGMMA_B ";\n\t}"                                                                               \
        : "+l"(a), "+l"(b), "+r"(add), KS_DS_##N)

// d = a b, or d += a b where add is not 0. Asynchronous: d, and the memory described, belong to the
// instruction until a wait. The first three operands are "+" only so that the registers' numbers are known.
template <int N>
__device__ __forceinline__ void matrix_step(float (&d)[N / 2], unsigned long long a, unsigned long long b, int add) {
    static_assert(N % 16 == 0 && N >= 16 && N <= 256, "a width that is spelt out below");
    if constexpr (N == 16) {
        KS_WGMMA(16);
    } else if constexpr (N == 32) {
        KS_WGMMA(32);
    } else if constexpr (N == 48) {
        KS_WGMMA(48);
    } else if constexpr (N == 64) {
        KS_WGMMA(64);
    } else if constexpr (N == 80) {
        KS_WGMMA(80);
    } else if constexpr (N == 96) {
        KS_WGMMA(96);
    } else if constexpr (N == 112) {
        KS_WGMMA(112);
    } else if constexpr (N == 128) {
        KS_WGMMA(128);
    } else if constexpr (N == 144) {
        KS_WGMMA(144);
    } else if constexpr (N == 160) {
        KS_WGMMA(160);
    } else if constexpr (N == 176) {
        KS_WGMMA(176);
    } else if constexpr (N == 192) {
        KS_WGMMA(192);
    } else if constexpr (N == 208) {
        KS_WGMMA(208);
    } else if constexpr (N == 224) {
        KS_WGMMA(224);
    } else if constexpr (N == 240) {
        KS_WGMMA(240);
    } else if constexpr (N == 256) {
        KS_WGMMA(256);
    }
}
