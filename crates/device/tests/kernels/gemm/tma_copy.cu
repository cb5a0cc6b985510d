// Copies A to D through a TMA descriptor, times the number of blocks in the cluster.
struct alignas(64) TensorMap { char bytes[128]; };

extern "C" __global__ void copy(const __grid_constant__ TensorMap map, Matrix<T> d, int m, int k) {
    __shared__ alignas(128) float tile[8 * 32];
    __shared__ alignas(8) unsigned long long barrier;
    const unsigned tile_at = static_cast<unsigned>(__cvta_generic_to_shared(tile));
    const unsigned barrier_at = static_cast<unsigned>(__cvta_generic_to_shared(&barrier));
    const int x = blockIdx.x * 32, y = blockIdx.y * 8;
    asm volatile("griddepcontrol.wait;" ::: "memory");
    if (threadIdx.x == 0) {
        asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(barrier_at) : "memory");
        asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
        asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier_at), "r"(8 * 32 * 4) : "memory");
        asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];"
                     ::"r"(tile_at), "l"(&map), "r"(x), "r"(y), "r"(barrier_at) : "memory");
    }
    __syncwarp();
    unsigned done = 0;
    while (!done) {
        asm volatile("{ .reg .pred p; mbarrier.try_wait.parity.shared::cta.b64 p, [%1], 0; selp.u32 %0, 1, 0, p; }"
                     : "=r"(done) : "r"(barrier_at) : "memory");
    }
    unsigned cluster;
    asm volatile("mov.u32 %0, %%cluster_nctarank;" : "=r"(cluster));
    for (int r = 0; r < 8; ++r) {
        const int row = y + r, column = x + threadIdx.x;
        if (row < m && column < k) {
            d.data[row * d.row_stride + column * d.col_stride] = tile[r * 32 + threadIdx.x] * static_cast<float>(cluster);
        }
    }
}
