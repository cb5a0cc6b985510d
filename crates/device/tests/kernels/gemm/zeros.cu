extern "C" __global__ void zeros(Matrix<T> d, int batch) {
    for (int b = 0; b < batch; ++b) {
        d.data[b * d.batch_stride + blockIdx.y * d.row_stride + blockIdx.x * d.col_stride] = from_acc(Acc(0));
    }
}
