extern "C" __global__ void past(Matrix<T> d, int m, int n) { d.data[m * d.row_stride + n] = from_acc(Acc(1)); }
