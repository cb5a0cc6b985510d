// language: metal3.0
#include <metal_stdlib>
#include <simd/simd.h>

using metal::uint;

struct _mslBufferSizes {
    uint size0;
    uint size1;
    uint size2;
};

typedef float Acc;
struct Arguments {
    uint zero;
    int x0_offset;
    int x0_s0_;
    int x0_s1_;
    int x1_offset;
    int x1_s0_;
    int x1_s1_;
    int out_offset;
    int out_s0_;
    int out_s1_;
    uint size0_;
    uint size1_;
    uint outer;
    uint inner;
    float c0_;
};
typedef uint type_3[1];
struct type_5 {
    uint inner[2];
};
struct type_6 {
    int inner[3];
};
struct Place {
    type_5 at;
    type_6 offset;
};
constant uint THREADS = 128u;
constant uint INFINITE = 2139095040u;
constant int RANK = 2;
constant int OUTER = 1;
constant int ARRAYS = 3;
constant int X_IS_I32_ = 0;
constant int X_IS_FLOAT = 1;
constant int OUT_IS_I32_ = 0;
constant int OUT_IS_FLOAT = 1;
constant int OUT_EACH = 1;
constant int OUT_DENSE = 1;

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
    bool local = {};
    bool local_1 = {};
    bool _e1 = is_negative(x_3);
    if (_e1) {
        bool _e4 = is_nan(x_3);
        local = !(_e4);
    } else {
        local = false;
    }
    bool _e7 = local;
    if (_e7) {
        uint _e10 = magnitude(x_3);
        local_1 = _e10 != 0u;
    } else {
        local_1 = false;
    }
    bool _e14 = local_1;
    return _e14 ? 0.0 : x_3;
}

uint raw_x0_(
    int at,
    device type_3 const& x0_data,
    constant _mslBufferSizes& _buffer_sizes
) {
    uint _e3 = x0_data[at];
    return _e3;
}

Acc load_x0_(
    int at_1,
    device type_3 const& x0_data,
    constant _mslBufferSizes& _buffer_sizes
) {
    uint _e1 = raw_x0_(at_1, x0_data, _buffer_sizes);
    return static_cast<float>(as_type<float>(_e1));
}

uint raw_x1_(
    int at_2,
    device type_3 const& x1_data,
    constant _mslBufferSizes& _buffer_sizes
) {
    uint _e3 = x1_data[at_2];
    return _e3;
}

Acc load_x1_(
    int at_3,
    device type_3 const& x1_data,
    constant _mslBufferSizes& _buffer_sizes
) {
    uint _e1 = raw_x1_(at_3, x1_data, _buffer_sizes);
    return static_cast<float>(as_type<float>(_e1));
}

void put_out(
    int at_4,
    uint bits,
    device type_3& out_data,
    constant _mslBufferSizes& _buffer_sizes
) {
    out_data[at_4] = bits;
    return;
}

void store_out(
    int at_5,
    Acc y,
    device type_3& out_data,
    constant _mslBufferSizes& _buffer_sizes
) {
    put_out(at_5, as_type<uint>(static_cast<float>(y)), out_data, _buffer_sizes);
    return;
}

Place origin(
    constant Arguments& args
) {
    Place p = {};
    int _e5 = args.x0_offset;
    p.offset.inner[0] = _e5;
    int _e10 = args.x1_offset;
    p.offset.inner[1] = _e10;
    int _e15 = args.out_offset;
    p.offset.inner[2] = _e15;
    Place _e16 = p;
    return _e16;
}

Place enter_all(
    Place start,
    uint linear,
    constant Arguments& args
) {
    Place p_1 = {};
    uint rest = {};
    p_1 = start;
    rest = linear;
    uint _e4 = rest;
    uint _e7 = args.size1_;
    uint q1_ = _e4 / _e7;
    uint _e11 = rest;
    uint _e14 = args.size1_;
    p_1.at.inner[1] = _e11 - (q1_ * _e14);
    rest = q1_;
    int _e19 = p_1.offset.inner[0];
    uint _e22 = p_1.at.inner[1];
    int _e26 = args.x0_s1_;
    p_1.offset.inner[0] = as_type<int>(as_type<uint>(_e19) + as_type<uint>(as_type<int>(as_type<uint>(static_cast<int>(_e22)) * as_type<uint>(_e26))));
    int _e31 = p_1.offset.inner[1];
    uint _e34 = p_1.at.inner[1];
    int _e38 = args.x1_s1_;
    p_1.offset.inner[1] = as_type<int>(as_type<uint>(_e31) + as_type<uint>(as_type<int>(as_type<uint>(static_cast<int>(_e34)) * as_type<uint>(_e38))));
    int _e43 = p_1.offset.inner[2];
    uint _e46 = p_1.at.inner[1];
    int _e50 = args.out_s1_;
    p_1.offset.inner[2] = as_type<int>(as_type<uint>(_e43) + as_type<uint>(as_type<int>(as_type<uint>(static_cast<int>(_e46)) * as_type<uint>(_e50))));
    uint _e55 = rest;
    p_1.at.inner[0] = _e55;
    int _e58 = p_1.offset.inner[0];
    uint _e61 = p_1.at.inner[0];
    int _e65 = args.x0_s0_;
    p_1.offset.inner[0] = as_type<int>(as_type<uint>(_e58) + as_type<uint>(as_type<int>(as_type<uint>(static_cast<int>(_e61)) * as_type<uint>(_e65))));
    int _e70 = p_1.offset.inner[1];
    uint _e73 = p_1.at.inner[0];
    int _e77 = args.x1_s0_;
    p_1.offset.inner[1] = as_type<int>(as_type<uint>(_e70) + as_type<uint>(as_type<int>(as_type<uint>(static_cast<int>(_e73)) * as_type<uint>(_e77))));
    int _e82 = p_1.offset.inner[2];
    uint _e85 = p_1.at.inner[0];
    int _e89 = args.out_s0_;
    p_1.offset.inner[2] = as_type<int>(as_type<uint>(_e82) + as_type<uint>(as_type<int>(as_type<uint>(static_cast<int>(_e85)) * as_type<uint>(_e89))));
    Place _e92 = p_1;
    return _e92;
}

void store_out_at(
    Place p_2,
    Acc y_1,
    device type_3& out_data,
    constant _mslBufferSizes& _buffer_sizes
) {
    store_out(p_2.offset.inner[2], y_1, out_data, _buffer_sizes);
    return;
}

Acc expr(
    Place p_3,
    device type_3 const& x0_data,
    device type_3 const& x1_data,
    constant Arguments& args,
    constant _mslBufferSizes& _buffer_sizes
) {
    Acc _e3 = load_x0_(p_3.offset.inner[0], x0_data, _buffer_sizes);
    Acc _e6 = load_x1_(p_3.offset.inner[1], x1_data, _buffer_sizes);
    float _e9 = args.c0_;
    float _e12 = ks_relu((_e3 * _e9) + _e6);
    return _e12;
}

struct mapInput {
};
[[max_total_threads_per_threadgroup(128)]] kernel void map(
  metal::uint3 id [[thread_position_in_grid]]
, metal::uint3 groups [[threadgroups_per_grid]]
, device type_3 const& x0_data [[user(fake0)]]
, device type_3 const& x1_data [[user(fake0)]]
, device type_3& out_data [[user(fake0)]]
, constant Arguments& args [[user(fake0)]]
, constant _mslBufferSizes& _buffer_sizes [[user(fake0)]]
) {
    uint i = {};
    uint _e4 = args.outer;
    uint _e7 = args.inner;
    uint total = _e4 * _e7;
    i = id.x;
    bool loop_init = true;
    while(true) {
        if (!loop_init) {
            uint _e17 = i;
            i = _e17 + (groups.x * THREADS);
        }
        loop_init = false;
        uint _e11 = i;
        if (_e11 < total) {
        } else {
            break;
        }
        {
            Place _e13 = origin(args);
            uint _e14 = i;
            Place _e15 = enter_all(_e13, _e14, args);
            Acc _e16 = expr(_e15, x0_data, x1_data, args, _buffer_sizes);
            store_out_at(_e15, _e16, out_data, _buffer_sizes);
        }
    }
    return;
}
