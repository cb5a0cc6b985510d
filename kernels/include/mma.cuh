// Warp-level matrix instructions (PTX ISA, "Matrix fragments for mma.m16n8k16 and m16n8k8").
//
// With g = lane / 4 and t = lane % 4, and h consecutive k values in a 32-bit register
// (h = 2 for 16-bit types, 1 for tf32), K the instruction's depth (8h):
//   A (16 x K):  a[0] = (g, t), a[1] = (g + 8, t), a[2] = (g, t + 4), a[3] = (g + 8, t + 4)
//   B (K x 8):   b[0] = (t, g), b[1] = (t + 4, g)                  columns of A, rows of B: times h
//   D (16 x 8):  d[0], d[1] = (g, 2t), (g, 2t + 1); d[2], d[3] the same eight rows below
#pragma once

__device__ __forceinline__ void mma_step(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
#if DTYPE_F16
#define KS_MMA "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32"
#elif DTYPE_BF16
#define KS_MMA "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32"
#else
#define KS_MMA "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32"
#endif
    asm volatile(KS_MMA " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#undef KS_MMA
}

// Four 8 x 16-byte matrices; lanes 8i .. 8i+7 give the row addresses of matrix i. Each lane gets the
// 32-bit word t of row g of each.
__device__ __forceinline__ void load_matrices(unsigned (&r)[4], unsigned row_address) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(row_address)
                 : "memory");
}

// The same for 16-bit elements, each matrix transposed.
__device__ __forceinline__ void load_matrices_transposed(unsigned (&r)[4], unsigned row_address) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(row_address)
                 : "memory");
}

// To the nearest tf32, ties to even: the matrix unit itself would truncate. On Hopper this is one
// instruction; the older cvt.rna is three.
__device__ __forceinline__ unsigned round_to_tf32(unsigned x) {
    unsigned y;
    asm("cvt.rn.tf32.f32 %0, %1;" : "=r"(y) : "f"(__uint_as_float(x)));
    return y;
}
