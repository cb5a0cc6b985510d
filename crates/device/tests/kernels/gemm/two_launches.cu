extern "C" __global__ void count(unsigned* counters) { atomicAdd(counters, 1u); }
extern "C" __global__ void never() {}
extern "C" __global__ void write(Matrix<T> d, unsigned* counters) {
    d.data[0] = static_cast<float>(atomicExch(counters, 0u));
}
