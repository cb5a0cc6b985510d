// wgmma: Hopper's warpgroup matrix instructions, fed by its copy engine.
//
// Idea: a block stays on its multiprocessor and walks through tiles of BM x BN outputs. One thread of its
// first warpgroup does nothing but send for boxes of A and B, 128 bytes of k deep, into a ring of STAGES;
// a barrier in shared memory counts the bytes that have come. The other warpgroups multiply straight out
// of shared memory into registers, 64 rows an instruction, and give a stage back when it has been read. So
// nobody computes addresses in the main loop, and the next tile's operands arrive while this one is stored.
//
//   Cooperative (PINGPONG 0): the warpgroups share a tile, 64 or 128 rows each. The largest tiles, so the
//   fewest bytes a flop, but nothing multiplies while a tile is stored.
//   In turns (PINGPONG 1): each of two warpgroups has tiles of its own; one multiplies while the other
//   stores, so an epilogue costs nothing as long as it is shorter than a main loop.
//
// CLUSTER_M x CLUSTER_N blocks work on neighbouring tiles. Those in a row of tiles share A, those in a
// column B: each fetches a part and the copy engine delivers it to all of them, which divides what L2 must
// deliver. Tiles are walked in bands of GROUP rows of clusters, so that operands stay in L2.
//
// CLUSTER_K blocks share the sum of one tile where there are too few tiles: they meet in shared memory, each
// finishing a part of the columns, in a fixed order of additions.
//
// Launches overlap: the next one's blocks take the multiprocessors that this one's leave, and fetch what is
// settled, operands that no launch ahead writes. They wait for those only before they read or write anything
// else, so that a layer's weights fill the ring while the layer before ends.
//
// Both operands may lie along k or along m or n: 16-bit matrix instructions take either order, the boxes
// follow it. The copy engine fills up with zeros what lies outside of a matrix and clips what is stored,
// so no size needs code of its own; starts and strides must be multiples of 16 bytes.
//
// Sums go to D through shared memory and the copy engine (INLINE 1), or in rows of 16 bytes a lane straight
// from registers (INLINE 2); both need D to be aligned as A and B are, and spell the epilogue out for every
// register. Else, for any D and any epilogue, from a rolled loop (INLINE 0, and tiles of odd widths).
//
// Bound: 4096 multiply-adds in two clocks and SM, 950 TFLOP/s at 1.755 GHz in 16-bit; with real numbers the
// card's 700 W allow 640 to 790. Shared memory, 128 bytes a clock: 64 x 256 needs 80, 64 x 128 needs 96,
// 64 x 64 all. L2: a 128 x 256 tile needs 48 bytes a clock and SM, 32 in a cluster of two; about 30 are
// there. Below 1024 time is latency: launch, a trip to memory, a trip through the ring for each stage.
//
// Run: smith bench gemm --problem m=4096,n=4096,k=4096,dtype=f16,layout=nt --candidate wgmma

#include "wgmma_product.cuh"
