// language: metal3.0
#include <metal_stdlib>
#include <simd/simd.h>

using metal::uint;

struct _mslBufferSizes {
    uint size0;
    uint size1;
    uint size2;
    uint size3;
};

typedef float Acc;
struct Arguments {
    uint zero;
    int a_offset;
    int a_batch;
    int a_row;
    int a_col;
    int b_offset;
    int b_batch;
    int b_row;
    int b_col;
    int c_offset;
    int c_batch;
    int c_row;
    int c_col;
    int d_offset;
    int d_batch;
    int d_row;
    int d_col;
    int m;
    int n;
    int k;
    int batch;
    float alpha;
    float beta;
    int bias_offset;
    int bias_batch;
    int bias_row;
    int bias_col;
};
typedef uint type_3[1];
typedef metal::float4 Four;
struct type_5 {
    Acc inner[1024];
};
struct type_7 {
    Four inner[16];
};
constant uint BK = 16u;
constant uint BM = 64u;
constant uint BN = 64u;
constant uint INFINITE = 2139095040u;
constant int A_INNER = 0;
constant int A_VEC = 4;
constant int B_INNER = 1;
constant int B_VEC = 4;
constant int C_INNER = 0;
constant int C_VEC = 4;
constant int D_INNER = 0;
constant int D_VEC = 4;
constant uint ACROSS = 8u;
constant uint THREADS = 64u;

uint magnitude(
    float x
) {
    return as_type<uint>(x) & 2147483647u;
}

bool is_nan(
    float x_1
) {
    uint _e1 = magnitude(x_1);
    return _e1 > INFINITE;
}

bool is_negative(
    float x_2
) {
    return (as_type<uint>(x_2) >> 31u) != 0u;
}

float ks_relu(
    float x_3
) {
    bool local_4 = {};
    bool local_5 = {};
    bool _e1 = is_negative(x_3);
    if (_e1) {
        bool _e4 = is_nan(x_3);
        local_4 = !(_e4);
    } else {
        local_4 = false;
    }
    bool _e7 = local_4;
    if (_e7) {
        uint _e10 = magnitude(x_3);
        local_5 = _e10 != 0u;
    } else {
        local_5 = false;
    }
    bool _e14 = local_5;
    return _e14 ? 0.0 : x_3;
}

uint raw_a(
    int at,
    device type_3 const& a_data,
    constant _mslBufferSizes& _buffer_sizes
) {
    uint _e3 = a_data[at];
    return _e3;
}

Acc load_a(
    int at_1,
    device type_3 const& a_data,
    constant _mslBufferSizes& _buffer_sizes
) {
    uint _e1 = raw_a(at_1, a_data, _buffer_sizes);
    return static_cast<float>(as_type<float>(_e1));
}

uint raw_b(
    int at_2,
    device type_3 const& b_data,
    constant _mslBufferSizes& _buffer_sizes
) {
    uint _e3 = b_data[at_2];
    return _e3;
}

Acc load_b(
    int at_3,
    device type_3 const& b_data,
    constant _mslBufferSizes& _buffer_sizes
) {
    uint _e1 = raw_b(at_3, b_data, _buffer_sizes);
    return static_cast<float>(as_type<float>(_e1));
}

uint raw_bias(
    int at_4,
    device type_3 const& bias_data,
    constant _mslBufferSizes& _buffer_sizes
) {
    uint _e3 = bias_data[at_4];
    return _e3;
}

Acc load_bias(
    int at_5,
    device type_3 const& bias_data,
    constant _mslBufferSizes& _buffer_sizes
) {
    uint _e1 = raw_bias(at_5, bias_data, _buffer_sizes);
    return static_cast<float>(as_type<float>(_e1));
}

void put_d(
    int at_6,
    uint bits,
    device type_3& d_data,
    constant _mslBufferSizes& _buffer_sizes
) {
    d_data[at_6] = bits;
    return;
}

void store_d(
    int at_7,
    Acc y,
    device type_3& d_data,
    constant _mslBufferSizes& _buffer_sizes
) {
    put_d(at_7, as_type<uint>(static_cast<float>(y)), d_data, _buffer_sizes);
    return;
}

int a_at(
    uint batch,
    uint row,
    uint col,
    constant Arguments& args
) {
    int _e5 = args.a_offset;
    int _e9 = args.a_batch;
    int _e15 = args.a_row;
    int _e21 = args.a_col;
    return as_type<int>(as_type<uint>(as_type<int>(as_type<uint>(as_type<int>(as_type<uint>(_e5) + as_type<uint>(as_type<int>(as_type<uint>(static_cast<int>(batch)) * as_type<uint>(_e9))))) + as_type<uint>(as_type<int>(as_type<uint>(static_cast<int>(row)) * as_type<uint>(_e15))))) + as_type<uint>(as_type<int>(as_type<uint>(static_cast<int>(col)) * as_type<uint>(_e21))));
}

int b_at(
    uint batch_1,
    uint row_1,
    uint col_1,
    constant Arguments& args
) {
    int _e5 = args.b_offset;
    int _e9 = args.b_batch;
    int _e15 = args.b_row;
    int _e21 = args.b_col;
    return as_type<int>(as_type<uint>(as_type<int>(as_type<uint>(as_type<int>(as_type<uint>(_e5) + as_type<uint>(as_type<int>(as_type<uint>(static_cast<int>(batch_1)) * as_type<uint>(_e9))))) + as_type<uint>(as_type<int>(as_type<uint>(static_cast<int>(row_1)) * as_type<uint>(_e15))))) + as_type<uint>(as_type<int>(as_type<uint>(static_cast<int>(col_1)) * as_type<uint>(_e21))));
}

int bias_at(
    uint batch_2,
    uint row_2,
    uint col_2,
    constant Arguments& args
) {
    int _e5 = args.bias_offset;
    int _e9 = args.bias_batch;
    int _e15 = args.bias_row;
    int _e21 = args.bias_col;
    return as_type<int>(as_type<uint>(as_type<int>(as_type<uint>(as_type<int>(as_type<uint>(_e5) + as_type<uint>(as_type<int>(as_type<uint>(static_cast<int>(batch_2)) * as_type<uint>(_e9))))) + as_type<uint>(as_type<int>(as_type<uint>(static_cast<int>(row_2)) * as_type<uint>(_e15))))) + as_type<uint>(as_type<int>(as_type<uint>(static_cast<int>(col_2)) * as_type<uint>(_e21))));
}

int d_at(
    uint batch_3,
    uint row_3,
    uint col_3,
    constant Arguments& args
) {
    int _e5 = args.d_offset;
    int _e9 = args.d_batch;
    int _e15 = args.d_row;
    int _e21 = args.d_col;
    return as_type<int>(as_type<uint>(as_type<int>(as_type<uint>(as_type<int>(as_type<uint>(_e5) + as_type<uint>(as_type<int>(as_type<uint>(static_cast<int>(batch_3)) * as_type<uint>(_e9))))) + as_type<uint>(as_type<int>(as_type<uint>(static_cast<int>(row_3)) * as_type<uint>(_e15))))) + as_type<uint>(as_type<int>(as_type<uint>(static_cast<int>(col_3)) * as_type<uint>(_e21))));
}

Acc finish(
    Acc acc,
    uint batch_4,
    uint row_4,
    uint col_4,
    device type_3 const& bias_data,
    constant Arguments& args,
    constant _mslBufferSizes& _buffer_sizes
) {
    Acc v_2 = {};
    float _e6 = args.alpha;
    v_2 = _e6 * acc;
    Acc _e9 = v_2;
    int _e10 = bias_at(batch_4, row_4, col_4, args);
    Acc _e11 = load_bias(_e10, bias_data, _buffer_sizes);
    float _e13 = ks_relu(_e9 + _e11);
    return _e13;
}

Four of_a(
    uint at_8,
    threadgroup type_5& slice_a
) {
    Acc _e3 = slice_a.inner[at_8];
    Acc _e8 = slice_a.inner[at_8 + 1u];
    Acc _e13 = slice_a.inner[at_8 + 2u];
    Acc _e18 = slice_a.inner[at_8 + 3u];
    return Four(_e3, _e8, _e13, _e18);
}

Four of_b(
    uint at_9,
    threadgroup type_5& slice_b
) {
    Acc _e3 = slice_b.inner[at_9];
    Acc _e8 = slice_b.inner[at_9 + 1u];
    Acc _e13 = slice_b.inner[at_9 + 2u];
    Acc _e18 = slice_b.inner[at_9 + 3u];
    return Four(_e3, _e8, _e13, _e18);
}

struct gemmInput {
};
[[max_total_threads_per_threadgroup(64)]] kernel void gemm(
  metal::uint3 group [[threadgroup_position_in_grid]]
, metal::uint3 groups [[threadgroups_per_grid]]
, uint local [[thread_index_in_threadgroup]]
, device type_3 const& a_data [[user(fake0)]]
, device type_3 const& b_data [[user(fake0)]]
, device type_3 const& bias_data [[user(fake0)]]
, device type_3& d_data [[user(fake0)]]
, constant Arguments& args [[user(fake0)]]
, threadgroup type_5& slice_a
, threadgroup type_5& slice_b
, constant _mslBufferSizes& _buffer_sizes [[user(fake0)]]
) {
    uint z = {};
    Four c0_ = {};
    Four c1_ = {};
    Four c2_ = {};
    Four c3_ = {};
    Four c4_ = {};
    Four c5_ = {};
    Four c6_ = {};
    Four c7_ = {};
    Four d0_ = {};
    Four d1_ = {};
    Four d2_ = {};
    Four d3_ = {};
    Four d4_ = {};
    Four d5_ = {};
    Four d6_ = {};
    Four d7_ = {};
    uint from_k = {};
    uint i = {};
    uint r = {};
    uint p = {};
    float v = {};
    bool local_1 = {};
    uint i_1 = {};
    uint c = {};
    uint p_1 = {};
    float v_1 = {};
    bool local_2 = {};
    uint p_2 = {};
    type_7 tile = {};
    uint i_2 = {};
    uint j = {};
    bool local_3 = {};
    int _e5 = args.m;
    uint m = static_cast<uint>(_e5);
    int _e9 = args.n;
    uint n = static_cast<uint>(_e9);
    int _e13 = args.k;
    uint k = static_cast<uint>(_e13);
    uint first_row = group.y * BM;
    uint first_col = group.x * BN;
    uint y_1 = (local / ACROSS) * 8u;
    uint x_4 = (local % ACROSS) * 8u;
    z = group.z;
    bool loop_init = true;
    while(true) {
        if (!loop_init) {
            uint _e341 = z;
            z = _e341 + groups.z;
        }
        loop_init = false;
        uint _e31 = z;
        int _e34 = args.batch;
        if (_e31 < static_cast<uint>(_e34)) {
        } else {
            break;
        }
        {
            c0_ = Four {};
            c1_ = Four {};
            c2_ = Four {};
            c3_ = Four {};
            c4_ = Four {};
            c5_ = Four {};
            c6_ = Four {};
            c7_ = Four {};
            d0_ = Four {};
            d1_ = Four {};
            d2_ = Four {};
            d3_ = Four {};
            d4_ = Four {};
            d5_ = Four {};
            d6_ = Four {};
            d7_ = Four {};
            from_k = 0u;
            bool loop_init_1 = true;
            while(true) {
                if (!loop_init_1) {
                    uint _e271 = from_k;
                    from_k = _e271 + BK;
                }
                loop_init_1 = false;
                uint _e71 = from_k;
                if (_e71 < k) {
                } else {
                    break;
                }
                {
                    i = local;
                    bool loop_init_2 = true;
                    while(true) {
                        if (!loop_init_2) {
                            uint _e121 = i;
                            i = _e121 + THREADS;
                        }
                        loop_init_2 = false;
                        uint _e74 = i;
                        if (_e74 < 1024u) {
                        } else {
                            break;
                        }
                        {
                            uint _e77 = i;
                            r = _e77 % BM;
                            uint _e81 = i;
                            p = _e81 / BM;
                            if (true) {
                                uint _e86 = i;
                                p = _e86 % BK;
                                uint _e89 = i;
                                r = _e89 / BK;
                            }
                            v = 0.0;
                            uint _e94 = r;
                            if ((first_row + _e94) < m) {
                                uint _e99 = from_k;
                                uint _e100 = p;
                                local_1 = (_e99 + _e100) < k;
                            } else {
                                local_1 = false;
                            }
                            bool _e104 = local_1;
                            if (_e104) {
                                uint _e105 = z;
                                uint _e106 = r;
                                uint _e108 = from_k;
                                uint _e109 = p;
                                int _e111 = a_at(_e105, first_row + _e106, _e108 + _e109, args);
                                Acc _e112 = load_a(_e111, a_data, _buffer_sizes);
                                v = _e112;
                            }
                            uint _e114 = p;
                            uint _e117 = r;
                            float _e120 = v;
                            slice_a.inner[(_e114 * BM) + _e117] = _e120;
                        }
                    }
                    i_1 = local;
                    bool loop_init_3 = true;
                    while(true) {
                        if (!loop_init_3) {
                            uint _e172 = i_1;
                            i_1 = _e172 + THREADS;
                        }
                        loop_init_3 = false;
                        uint _e125 = i_1;
                        if (_e125 < 1024u) {
                        } else {
                            break;
                        }
                        {
                            uint _e128 = i_1;
                            c = _e128 % BN;
                            uint _e132 = i_1;
                            p_1 = _e132 / BN;
                            if (true) {
                                uint _e137 = i_1;
                                p_1 = _e137 % BK;
                                uint _e140 = i_1;
                                c = _e140 / BK;
                            }
                            v_1 = 0.0;
                            uint _e145 = c;
                            if ((first_col + _e145) < n) {
                                uint _e150 = from_k;
                                uint _e151 = p_1;
                                local_2 = (_e150 + _e151) < k;
                            } else {
                                local_2 = false;
                            }
                            bool _e155 = local_2;
                            if (_e155) {
                                uint _e156 = z;
                                uint _e157 = from_k;
                                uint _e158 = p_1;
                                uint _e160 = c;
                                int _e162 = b_at(_e156, _e157 + _e158, first_col + _e160, args);
                                Acc _e163 = load_b(_e162, b_data, _buffer_sizes);
                                v_1 = _e163;
                            }
                            uint _e165 = p_1;
                            uint _e168 = c;
                            float _e171 = v_1;
                            slice_b.inner[(_e165 * BN) + _e168] = _e171;
                        }
                    }
                    metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
                    p_2 = 0u;
                    bool loop_init_4 = true;
                    while(true) {
                        if (!loop_init_4) {
                            uint _e269 = p_2;
                            p_2 = _e269 + 1u;
                        }
                        loop_init_4 = false;
                        uint _e177 = p_2;
                        if (_e177 < BK) {
                        } else {
                            break;
                        }
                        {
                            uint _e180 = p_2;
                            Four _e184 = of_a((_e180 * BM) + y_1, slice_a);
                            uint _e185 = p_2;
                            Four _e191 = of_a(((_e185 * BM) + y_1) + 4u, slice_a);
                            uint _e192 = p_2;
                            Four _e196 = of_b((_e192 * BN) + x_4, slice_b);
                            uint _e197 = p_2;
                            Four _e203 = of_b(((_e197 * BN) + x_4) + 4u, slice_b);
                            Four _e204 = c0_;
                            c0_ = _e204 + (_e184.x * _e196);
                            Four _e208 = c1_;
                            c1_ = _e208 + (_e184.y * _e196);
                            Four _e212 = c2_;
                            c2_ = _e212 + (_e184.z * _e196);
                            Four _e216 = c3_;
                            c3_ = _e216 + (_e184.w * _e196);
                            Four _e220 = c4_;
                            c4_ = _e220 + (_e191.x * _e196);
                            Four _e224 = c5_;
                            c5_ = _e224 + (_e191.y * _e196);
                            Four _e228 = c6_;
                            c6_ = _e228 + (_e191.z * _e196);
                            Four _e232 = c7_;
                            c7_ = _e232 + (_e191.w * _e196);
                            Four _e236 = d0_;
                            d0_ = _e236 + (_e184.x * _e203);
                            Four _e240 = d1_;
                            d1_ = _e240 + (_e184.y * _e203);
                            Four _e244 = d2_;
                            d2_ = _e244 + (_e184.z * _e203);
                            Four _e248 = d3_;
                            d3_ = _e248 + (_e184.w * _e203);
                            Four _e252 = d4_;
                            d4_ = _e252 + (_e191.x * _e203);
                            Four _e256 = d5_;
                            d5_ = _e256 + (_e191.y * _e203);
                            Four _e260 = d6_;
                            d6_ = _e260 + (_e191.z * _e203);
                            Four _e264 = d7_;
                            d7_ = _e264 + (_e191.w * _e203);
                        }
                    }
                    metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
                }
            }
            Four _e274 = c0_;
            Four _e275 = c1_;
            Four _e276 = c2_;
            Four _e277 = c3_;
            Four _e278 = c4_;
            Four _e279 = c5_;
            Four _e280 = c6_;
            Four _e281 = c7_;
            Four _e282 = d0_;
            Four _e283 = d1_;
            Four _e284 = d2_;
            Four _e285 = d3_;
            Four _e286 = d4_;
            Four _e287 = d5_;
            Four _e288 = d6_;
            Four _e289 = d7_;
            tile = type_7 {{_e274, _e275, _e276, _e277, _e278, _e279, _e280, _e281, _e282, _e283, _e284, _e285, _e286, _e287, _e288, _e289}};
            uint _e294 = args.zero;
            i_2 = _e294;
            bool loop_init_5 = true;
            while(true) {
                if (!loop_init_5) {
                    uint _e339 = i_2;
                    i_2 = _e339 + 1u;
                }
                loop_init_5 = false;
                uint _e296 = i_2;
                if (_e296 < 16u) {
                } else {
                    break;
                }
                {
                    uint _e300 = i_2;
                    uint r_1 = (first_row + y_1) + (_e300 & 7u);
                    uint _e306 = args.zero;
                    j = _e306;
                    bool loop_init_6 = true;
                    while(true) {
                        if (!loop_init_6) {
                            uint _e336 = j;
                            j = _e336 + 1u;
                        }
                        loop_init_6 = false;
                        uint _e308 = j;
                        if (_e308 < 4u) {
                        } else {
                            break;
                        }
                        {
                            uint _e313 = i_2;
                            uint _e318 = j;
                            uint c_1 = ((first_col + x_4) + (4u * (_e313 >> 3u))) + _e318;
                            if (r_1 < m) {
                                local_3 = c_1 < n;
                            } else {
                                local_3 = false;
                            }
                            bool _e325 = local_3;
                            if (_e325) {
                                uint _e326 = z;
                                int _e327 = d_at(_e326, r_1, c_1, args);
                                uint _e328 = i_2;
                                uint _e330 = j;
                                float _e332 = tile.inner[_e328][_e330];
                                uint _e333 = z;
                                Acc _e334 = finish(_e332, _e333, r_1, c_1, bias_data, args, _buffer_sizes);
                                store_d(_e327, _e334, d_data, _buffer_sizes);
                            }
                        }
                    }
                }
            }
        }
    }
    return;
}
