extern "C" __global__ void hang(Matrix<T> d) {
    volatile float* p = d.data;
    while (p[0] == p[0] || p[0] != p[0]) { }
}
