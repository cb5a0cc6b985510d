extern "C" __global__ void gemm() { this is not CUDA; }
