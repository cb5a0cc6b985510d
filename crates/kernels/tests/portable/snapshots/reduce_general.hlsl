struct NagaConstants {
    int first_vertex;
    int first_instance;
    uint other;
};
ConstantBuffer<NagaConstants> _NagaConstants: register(b0);

struct Arguments {
    uint zero;
    int x0_offset;
    int x0_s0_;
    int x0_s1_;
    int out_offset;
    int out_s0_;
    int out_s1_;
    uint size0_;
    uint size1_;
    uint outer;
    uint inner;
};

struct Place {
    uint at[2];
    int offset[2];
};

struct State {
    float value;
    uint at;
};

static const uint TEAM = 32u;
static const uint THREADS = 256u;
static const uint INFINITE = 2139095040u;
static const int RANK = int(2);
static const int OUTER = int(1);
static const int ARRAYS = int(2);
static const int KIND = int(3);
static const int POST_IS_VALUE = int(1);
static const int X_IS_I32_ = int(0);
static const int X_IS_FLOAT = int(1);
static const int OUT_IS_I32_ = int(1);
static const int OUT_IS_FLOAT = int(0);
static const int OUT_EACH = int(1);
static const int OUT_DENSE = int(0);
static const int SUM = int(0);
static const int MAX = int(1);
static const int MIN = int(2);
static const int ARG_MAX = int(3);
static const int ARG_MIN = int(4);
static const bool IS_POSITION = true;
static const uint NOWHERE = 4294967295u;

RWByteAddressBuffer x0_data : register(u0);
RWByteAddressBuffer out_data : register(u1);
cbuffer args : register(b2) { Arguments args; }
groupshared float values[256];
groupshared uint places[256];

float from_bits(uint x)
{
    uint _e3 = args.zero;
    return asfloat((x ^ _e3));
}

float infinity()
{
    const float _e1 = from_bits(INFINITE);
    return _e1;
}

uint magnitude(float x_1)
{
    return (asuint(x_1) & 2147483647u);
}

bool is_nan(float x_2)
{
    const uint _e1 = magnitude(x_2);
    return (_e1 > INFINITE);
}

bool acc_is_nan(float x_3)
{
    const bool _e1 = is_nan(x_3);
    return _e1;
}

float acc_infinity()
{
    const float _e0 = infinity();
    return _e0;
}

float ks_max(float a, float b)
{
    bool local_2 = (bool)0;
    bool local_3 = (bool)0;

    const bool _e2 = is_nan(a);
    if (!(_e2)) {
        if ((a > b)) {
            const bool _e9 = is_nan(b);
            local_3 = !(_e9);
        } else {
            local_3 = false;
        }
        bool _e12 = local_3;
        local_2 = _e12;
    } else {
        local_2 = true;
    }
    bool _e14 = local_2;
    return (_e14 ? a : b);
}

float ks_min(float a_1, float b_1)
{
    bool local_4 = (bool)0;
    bool local_5 = (bool)0;

    const bool _e2 = is_nan(a_1);
    if (!(_e2)) {
        if ((a_1 < b_1)) {
            const bool _e9 = is_nan(b_1);
            local_5 = !(_e9);
        } else {
            local_5 = false;
        }
        bool _e12 = local_5;
        local_4 = _e12;
    } else {
        local_4 = true;
    }
    bool _e14 = local_4;
    return (_e14 ? a_1 : b_1);
}

bool either_is_nan(float a_2, float b_2)
{
    bool local_6 = (bool)0;

    const bool _e2 = is_nan(a_2);
    if (!(_e2)) {
        const bool _e6 = is_nan(b_2);
        local_6 = _e6;
    } else {
        local_6 = true;
    }
    bool _e8 = local_6;
    return _e8;
}

bool is_zero(float x_4)
{
    const uint _e1 = magnitude(x_4);
    return (_e1 == 0u);
}

bool less(float a_3, float b_3)
{
    bool local_7 = (bool)0;

    if ((a_3 < b_3)) {
        const bool _e5 = either_is_nan(a_3, b_3);
        local_7 = !(_e5);
    } else {
        local_7 = false;
    }
    bool _e8 = local_7;
    return _e8;
}

bool same(float a_4, float b_4)
{
    bool local_8 = (bool)0;
    bool local_9 = (bool)0;
    bool local_10 = (bool)0;

    if (!((asuint(a_4) == asuint(b_4)))) {
        const bool _e8 = is_zero(a_4);
        if (_e8) {
            const bool _e11 = is_zero(b_4);
            local_9 = _e11;
        } else {
            local_9 = false;
        }
        bool _e13 = local_9;
        local_8 = _e13;
    } else {
        local_8 = true;
    }
    bool _e15 = local_8;
    if (_e15) {
        const bool _e18 = either_is_nan(a_4, b_4);
        local_10 = !(_e18);
    } else {
        local_10 = false;
    }
    bool _e21 = local_10;
    return _e21;
}

int naga_f2i32(float value) {
    return int(clamp(value, -2147483600.0, 2147483500.0));
}

int to_i32_(float x_5)
{
    const bool _e1 = is_nan(x_5);
    if (_e1) {
        return int(0);
    }
    if ((x_5 >= 2147483600.0)) {
        return int(2147483647);
    }
    if ((x_5 <= -2147483600.0)) {
        return int(-2147483647 - 1);
    }
    return naga_f2i32(x_5);
}

uint raw_x0_(int at)
{
    uint _e3 = asuint(x0_data.Load(at*4));
    return _e3;
}

float load_x0_(int at_1)
{
    const uint _e1 = raw_x0_(at_1);
    return float(asfloat(_e1));
}

void put_out(int at_2, uint bits)
{
    out_data.Store(at_2*4, asuint(bits));
    return;
}

void store_out(int at_3, float y)
{
    const int _e2 = to_i32_(y);
    put_out(at_3, asuint(_e2));
    return;
}

Place origin()
{
    Place p = (Place)0;

    int _e5 = args.x0_offset;
    p.offset[0] = _e5;
    int _e10 = args.out_offset;
    p.offset[1] = _e10;
    Place _e11 = p;
    const Place place = _e11;
    return place;
}

Place enter_outer(Place start, uint linear_)
{
    Place p_1 = (Place)0;
    uint rest = (uint)0;

    p_1 = start;
    rest = linear_;
    uint _e6 = rest;
    p_1.at[0] = _e6;
    int _e9 = p_1.offset[0];
    uint _e12 = p_1.at[0];
    int _e16 = args.x0_s0_;
    p_1.offset[0] = asint(asuint(_e9) + asuint(asint(asuint(int(_e12)) * asuint(_e16))));
    int _e21 = p_1.offset[1];
    uint _e24 = p_1.at[0];
    int _e28 = args.out_s0_;
    p_1.offset[1] = asint(asuint(_e21) + asuint(asint(asuint(int(_e24)) * asuint(_e28))));
    Place _e31 = p_1;
    const Place place_1 = _e31;
    return place_1;
}

Place enter_inner(Place start_1, uint linear_1)
{
    Place p_2 = (Place)0;
    uint rest_1 = (uint)0;

    p_2 = start_1;
    rest_1 = linear_1;
    uint _e6 = rest_1;
    p_2.at[1] = _e6;
    int _e9 = p_2.offset[0];
    uint _e12 = p_2.at[1];
    int _e16 = args.x0_s1_;
    p_2.offset[0] = asint(asuint(_e9) + asuint(asint(asuint(int(_e12)) * asuint(_e16))));
    Place _e19 = p_2;
    const Place place_2 = _e19;
    return place_2;
}

void store_out_at(Place p_3, float y_1)
{
    store_out(p_3.offset[1], y_1);
    return;
}

float expr(Place p_4)
{
    const float _e3 = load_x0_(p_4.offset[0]);
    return _e3;
}

float post(Place p_5, float v)
{
    return v;
}

void store_position(Place p_6, uint i_1)
{
    put_out(p_6.offset[1], min(i_1, 2147483647u));
    return;
}

State ConstructState(float arg0, uint arg1) {
    State ret = (State)0;
    ret.value = arg0;
    ret.at = arg1;
    return ret;
}

State cleared()
{
    bool local_11 = (bool)0;

    if (false) {
        const State state = ConstructState(0.0, 4294967295u);
        return state;
    }
    if (true) {
        local_11 = true;
    } else {
        local_11 = true;
    }
    bool _e9 = local_11;
    if (_e9) {
        const float _e10 = acc_infinity();
        const State state_1 = ConstructState(-(_e10), NOWHERE);
        return state_1;
    }
    const float _e14 = acc_infinity();
    const State state_2 = ConstructState(_e14, NOWHERE);
    return state_2;
}

State merged(State a_5, State b_5)
{
    bool local_12 = (bool)0;
    bool local_13 = (bool)0;
    bool local_14 = (bool)0;
    bool local_15 = (bool)0;
    bool local_16 = (bool)0;
    bool local_17 = (bool)0;
    bool local_18 = (bool)0;
    bool local_19 = (bool)0;
    bool local_20 = (bool)0;
    bool local_21 = (bool)0;
    bool local_22 = (bool)0;

    if (false) {
        const State state_3 = ConstructState((a_5.value + b_5.value), NOWHERE);
        return state_3;
    }
    if (false) {
        const float _e11 = ks_max(a_5.value, b_5.value);
        const State state_4 = ConstructState(_e11, NOWHERE);
        return state_4;
    }
    if (false) {
        const float _e17 = ks_min(a_5.value, b_5.value);
        const State state_5 = ConstructState(_e17, NOWHERE);
        return state_5;
    }
    const bool _e21 = acc_is_nan(a_5.value);
    const bool _e23 = acc_is_nan(b_5.value);
    if (true) {
        const bool _e29 = less(a_5.value, b_5.value);
        local_12 = _e29;
    } else {
        local_12 = false;
    }
    bool _e31 = local_12;
    if (!(_e31)) {
        if (false) {
            const bool _e40 = less(b_5.value, a_5.value);
            local_14 = _e40;
        } else {
            local_14 = false;
        }
        bool _e42 = local_14;
        local_13 = _e42;
    } else {
        local_13 = true;
    }
    bool better = local_13;
    const bool _e47 = same(a_5.value, b_5.value);
    if (!(_e47)) {
        if (_e21) {
            local_16 = _e23;
        } else {
            local_16 = false;
        }
        bool _e54 = local_16;
        local_15 = _e54;
    } else {
        local_15 = true;
    }
    bool alike = local_15;
    if (_e21) {
        local_17 = !(_e23);
    } else {
        local_17 = false;
    }
    bool _e61 = local_17;
    if (!(_e61)) {
        if (!(better)) {
            if (_e23) {
                local_20 = !(_e21);
            } else {
                local_20 = false;
            }
            bool _e72 = local_20;
            local_19 = _e72;
        } else {
            local_19 = true;
        }
        bool _e74 = local_19;
        if (!(_e74)) {
            if (alike) {
                local_22 = (b_5.at < a_5.at);
            } else {
                local_22 = false;
            }
            bool _e84 = local_22;
            local_21 = _e84;
        } else {
            local_21 = true;
        }
        bool _e86 = local_21;
        local_18 = _e86;
    } else {
        local_18 = false;
    }
    bool _e88 = local_18;
    if (_e88) {
        const State state_6 = b_5;
        return state_6;
    }
    const State state_7 = a_5;
    return state_7;
}

void finish(State s_1, Place p_7)
{
    bool local_23 = (bool)0;
    float v_1 = (float)0;

    if (IS_POSITION) {
        local_23 = true;
    } else {
        local_23 = false;
    }
    bool _e7 = local_23;
    if (_e7) {
        store_position(p_7, s_1.at);
        return;
    }
    v_1 = s_1.value;
    if (IS_POSITION) {
        v_1 = float(s_1.at);
    }
    float _e14 = v_1;
    const float _e15 = post(p_7, _e14);
    store_out_at(p_7, _e15);
    return;
}

uint naga_mod(uint lhs, uint rhs) {
    return lhs % (rhs == 0u ? 1u : rhs);
}

uint naga_div(uint lhs, uint rhs) {
    return lhs / (rhs == 0u ? 1u : rhs);
}

[numthreads(256, 1, 1)]
void reduce(uint3 group : SV_GroupID, uint3 groups : SV_GroupID, uint local : SV_GroupIndex)
{
    State s = (State)0;
    uint i = (uint)0;
    uint step_ = 16u;
    bool local_1 = (bool)0;

    uint lane = naga_mod(local, TEAM);
    uint output = ((((group.y * uint3(_NagaConstants.first_vertex, _NagaConstants.first_instance, _NagaConstants.other).x) + group.x) * 8u) + naga_div(local, TEAM));
    uint _e17 = args.outer;
    bool inside = (output < _e17);
    const Place _e19 = origin();
    const Place _e22 = enter_outer(_e19, (inside ? output : 0u));
    const State _e23 = cleared();
    s = _e23;
    i = lane;
    bool loop_init = true;
    while(true) {
        if (!loop_init) {
            uint _e38 = i;
            i = (_e38 + TEAM);
        }
        loop_init = false;
        uint _e26 = i;
        uint _e29 = args.inner;
        if ((_e26 < _e29)) {
        } else {
            break;
        }
        {
            State _e31 = s;
            uint _e32 = i;
            const Place _e33 = enter_inner(_e22, _e32);
            const float _e34 = expr(_e33);
            uint _e35 = i;
            const State _e37 = merged(_e31, ConstructState(_e34, _e35));
            s = _e37;
        }
    }
    if (true) {
        float _e45 = s.value;
        values[local] = _e45;
        uint _e49 = s.at;
        places[local] = _e49;
        bool loop_init_1 = true;
        while(true) {
            if (!loop_init_1) {
                uint _e78 = step_;
                step_ = naga_div(_e78, 2u);
            }
            loop_init_1 = false;
            uint _e52 = step_;
            if ((_e52 > 0u)) {
            } else {
                break;
            }
            {
                GroupMemoryBarrierWithGroupSync();
                uint _e55 = step_;
                if ((lane < _e55)) {
                    State _e57 = s;
                    uint _e59 = step_;
                    float _e62 = values[(local + _e59)];
                    uint _e64 = step_;
                    uint _e67 = places[(local + _e64)];
                    const State _e69 = merged(_e57, ConstructState(_e62, _e67));
                    s = _e69;
                    float _e73 = s.value;
                    values[local] = _e73;
                    uint _e77 = s.at;
                    places[local] = _e77;
                }
            }
        }
    }
    if (inside) {
        local_1 = (lane == 0u);
    } else {
        local_1 = false;
    }
    bool _e86 = local_1;
    if (_e86) {
        State _e87 = s;
        finish(_e87, _e22);
        return;
    } else {
        return;
    }
}
