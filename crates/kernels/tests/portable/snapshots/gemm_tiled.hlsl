struct NagaConstants {
    int first_vertex;
    int first_instance;
    uint other;
};
ConstantBuffer<NagaConstants> _NagaConstants: register(b0);

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

static const uint BK = 16u;
static const uint BM = 64u;
static const uint BN = 64u;
static const uint INFINITE = 2139095040u;
static const int A_INNER = int(0);
static const int A_VEC = int(4);
static const int B_INNER = int(1);
static const int B_VEC = int(4);
static const int C_INNER = int(0);
static const int C_VEC = int(4);
static const int D_INNER = int(0);
static const int D_VEC = int(4);
static const uint ACROSS = 8u;
static const uint THREADS = 64u;

RWByteAddressBuffer a_data : register(u0);
RWByteAddressBuffer b_data : register(u1);
RWByteAddressBuffer bias_data : register(u2);
RWByteAddressBuffer d_data : register(u3);
cbuffer args : register(b4) { Arguments args; }
groupshared float slice_a[1024];
groupshared float slice_b[1024];

uint magnitude(float x)
{
    return (asuint(x) & 2147483647u);
}

bool is_nan(float x_1)
{
    const uint _e1 = magnitude(x_1);
    return (_e1 > INFINITE);
}

bool is_negative(float x_2)
{
    return ((asuint(x_2) >> 31u) != 0u);
}

float ks_relu(float x_3)
{
    bool local_4 = (bool)0;
    bool local_5 = (bool)0;

    const bool _e1 = is_negative(x_3);
    if (_e1) {
        const bool _e4 = is_nan(x_3);
        local_4 = !(_e4);
    } else {
        local_4 = false;
    }
    bool _e7 = local_4;
    if (_e7) {
        const uint _e10 = magnitude(x_3);
        local_5 = (_e10 != 0u);
    } else {
        local_5 = false;
    }
    bool _e14 = local_5;
    return (_e14 ? 0.0 : x_3);
}

uint raw_a(int at)
{
    uint _e3 = asuint(a_data.Load(at*4));
    return _e3;
}

float load_a(int at_1)
{
    const uint _e1 = raw_a(at_1);
    return float(asfloat(_e1));
}

uint raw_b(int at_2)
{
    uint _e3 = asuint(b_data.Load(at_2*4));
    return _e3;
}

float load_b(int at_3)
{
    const uint _e1 = raw_b(at_3);
    return float(asfloat(_e1));
}

uint raw_bias(int at_4)
{
    uint _e3 = asuint(bias_data.Load(at_4*4));
    return _e3;
}

float load_bias(int at_5)
{
    const uint _e1 = raw_bias(at_5);
    return float(asfloat(_e1));
}

void put_d(int at_6, uint bits)
{
    d_data.Store(at_6*4, asuint(bits));
    return;
}

void store_d(int at_7, float y)
{
    put_d(at_7, asuint(float(y)));
    return;
}

int a_at(uint batch, uint row, uint col)
{
    int _e5 = args.a_offset;
    int _e9 = args.a_batch;
    int _e15 = args.a_row;
    int _e21 = args.a_col;
    return asint(asuint(asint(asuint(asint(asuint(_e5) + asuint(asint(asuint(int(batch)) * asuint(_e9))))) + asuint(asint(asuint(int(row)) * asuint(_e15))))) + asuint(asint(asuint(int(col)) * asuint(_e21))));
}

int b_at(uint batch_1, uint row_1, uint col_1)
{
    int _e5 = args.b_offset;
    int _e9 = args.b_batch;
    int _e15 = args.b_row;
    int _e21 = args.b_col;
    return asint(asuint(asint(asuint(asint(asuint(_e5) + asuint(asint(asuint(int(batch_1)) * asuint(_e9))))) + asuint(asint(asuint(int(row_1)) * asuint(_e15))))) + asuint(asint(asuint(int(col_1)) * asuint(_e21))));
}

int bias_at(uint batch_2, uint row_2, uint col_2)
{
    int _e5 = args.bias_offset;
    int _e9 = args.bias_batch;
    int _e15 = args.bias_row;
    int _e21 = args.bias_col;
    return asint(asuint(asint(asuint(asint(asuint(_e5) + asuint(asint(asuint(int(batch_2)) * asuint(_e9))))) + asuint(asint(asuint(int(row_2)) * asuint(_e15))))) + asuint(asint(asuint(int(col_2)) * asuint(_e21))));
}

int d_at(uint batch_3, uint row_3, uint col_3)
{
    int _e5 = args.d_offset;
    int _e9 = args.d_batch;
    int _e15 = args.d_row;
    int _e21 = args.d_col;
    return asint(asuint(asint(asuint(asint(asuint(_e5) + asuint(asint(asuint(int(batch_3)) * asuint(_e9))))) + asuint(asint(asuint(int(row_3)) * asuint(_e15))))) + asuint(asint(asuint(int(col_3)) * asuint(_e21))));
}

float finish(float acc, uint batch_4, uint row_4, uint col_4)
{
    float v_2 = (float)0;

    float _e6 = args.alpha;
    v_2 = (_e6 * acc);
    float _e9 = v_2;
    const int _e10 = bias_at(batch_4, row_4, col_4);
    const float _e11 = load_bias(_e10);
    const float _e13 = ks_relu((_e9 + _e11));
    return _e13;
}

float4 of_a(uint at_8)
{
    float _e3 = slice_a[at_8];
    float _e8 = slice_a[(at_8 + 1u)];
    float _e13 = slice_a[(at_8 + 2u)];
    float _e18 = slice_a[(at_8 + 3u)];
    return float4(_e3, _e8, _e13, _e18);
}

float4 of_b(uint at_9)
{
    float _e3 = slice_b[at_9];
    float _e8 = slice_b[(at_9 + 1u)];
    float _e13 = slice_b[(at_9 + 2u)];
    float _e18 = slice_b[(at_9 + 3u)];
    return float4(_e3, _e8, _e13, _e18);
}

uint naga_div(uint lhs, uint rhs) {
    return lhs / (rhs == 0u ? 1u : rhs);
}

uint naga_mod(uint lhs, uint rhs) {
    return lhs % (rhs == 0u ? 1u : rhs);
}

typedef float4 ret_Constructarray16_float4_[16];
ret_Constructarray16_float4_ Constructarray16_float4_(float4 arg0, float4 arg1, float4 arg2, float4 arg3, float4 arg4, float4 arg5, float4 arg6, float4 arg7, float4 arg8, float4 arg9, float4 arg10, float4 arg11, float4 arg12, float4 arg13, float4 arg14, float4 arg15) {
    float4 ret[16] = { arg0, arg1, arg2, arg3, arg4, arg5, arg6, arg7, arg8, arg9, arg10, arg11, arg12, arg13, arg14, arg15 };
    return ret;
}

float4 ZeroValuefloat4() {
    return (float4)0;
}

[numthreads(64, 1, 1)]
void gemm(uint3 group : SV_GroupID, uint3 groups : SV_GroupID, uint local : SV_GroupIndex)
{
    uint z = (uint)0;
    float4 c0_ = (float4)0;
    float4 c1_ = (float4)0;
    float4 c2_ = (float4)0;
    float4 c3_ = (float4)0;
    float4 c4_ = (float4)0;
    float4 c5_ = (float4)0;
    float4 c6_ = (float4)0;
    float4 c7_ = (float4)0;
    float4 d0_ = (float4)0;
    float4 d1_ = (float4)0;
    float4 d2_ = (float4)0;
    float4 d3_ = (float4)0;
    float4 d4_ = (float4)0;
    float4 d5_ = (float4)0;
    float4 d6_ = (float4)0;
    float4 d7_ = (float4)0;
    uint from_k = (uint)0;
    uint i = (uint)0;
    uint r = (uint)0;
    uint p = (uint)0;
    float v = (float)0;
    bool local_1 = (bool)0;
    uint i_1 = (uint)0;
    uint c = (uint)0;
    uint p_1 = (uint)0;
    float v_1 = (float)0;
    bool local_2 = (bool)0;
    uint p_2 = (uint)0;
    float4 tile[16] = (float4[16])0;
    uint i_2 = (uint)0;
    uint j = (uint)0;
    bool local_3 = (bool)0;

    int _e5 = args.m;
    uint m = uint(_e5);
    int _e9 = args.n;
    uint n = uint(_e9);
    int _e13 = args.k;
    uint k = uint(_e13);
    uint first_row = (group.y * BM);
    uint first_col = (group.x * BN);
    uint y_1 = (naga_div(local, ACROSS) * 8u);
    uint x_4 = (naga_mod(local, ACROSS) * 8u);
    z = group.z;
    bool loop_init = true;
    while(true) {
        if (!loop_init) {
            uint _e341 = z;
            z = (_e341 + uint3(_NagaConstants.first_vertex, _NagaConstants.first_instance, _NagaConstants.other).z);
        }
        loop_init = false;
        uint _e31 = z;
        int _e34 = args.batch;
        if ((_e31 < uint(_e34))) {
        } else {
            break;
        }
        {
            c0_ = ZeroValuefloat4();
            c1_ = ZeroValuefloat4();
            c2_ = ZeroValuefloat4();
            c3_ = ZeroValuefloat4();
            c4_ = ZeroValuefloat4();
            c5_ = ZeroValuefloat4();
            c6_ = ZeroValuefloat4();
            c7_ = ZeroValuefloat4();
            d0_ = ZeroValuefloat4();
            d1_ = ZeroValuefloat4();
            d2_ = ZeroValuefloat4();
            d3_ = ZeroValuefloat4();
            d4_ = ZeroValuefloat4();
            d5_ = ZeroValuefloat4();
            d6_ = ZeroValuefloat4();
            d7_ = ZeroValuefloat4();
            from_k = 0u;
            bool loop_init_1 = true;
            while(true) {
                if (!loop_init_1) {
                    uint _e271 = from_k;
                    from_k = (_e271 + BK);
                }
                loop_init_1 = false;
                uint _e71 = from_k;
                if ((_e71 < k)) {
                } else {
                    break;
                }
                {
                    i = local;
                    bool loop_init_2 = true;
                    while(true) {
                        if (!loop_init_2) {
                            uint _e121 = i;
                            i = (_e121 + THREADS);
                        }
                        loop_init_2 = false;
                        uint _e74 = i;
                        if ((_e74 < 1024u)) {
                        } else {
                            break;
                        }
                        {
                            uint _e77 = i;
                            r = naga_mod(_e77, BM);
                            uint _e81 = i;
                            p = naga_div(_e81, BM);
                            if (true) {
                                uint _e86 = i;
                                p = naga_mod(_e86, BK);
                                uint _e89 = i;
                                r = naga_div(_e89, BK);
                            }
                            v = 0.0;
                            uint _e94 = r;
                            if (((first_row + _e94) < m)) {
                                uint _e99 = from_k;
                                uint _e100 = p;
                                local_1 = ((_e99 + _e100) < k);
                            } else {
                                local_1 = false;
                            }
                            bool _e104 = local_1;
                            if (_e104) {
                                uint _e105 = z;
                                uint _e106 = r;
                                uint _e108 = from_k;
                                uint _e109 = p;
                                const int _e111 = a_at(_e105, (first_row + _e106), (_e108 + _e109));
                                const float _e112 = load_a(_e111);
                                v = _e112;
                            }
                            uint _e114 = p;
                            uint _e117 = r;
                            float _e120 = v;
                            slice_a[((_e114 * BM) + _e117)] = _e120;
                        }
                    }
                    i_1 = local;
                    bool loop_init_3 = true;
                    while(true) {
                        if (!loop_init_3) {
                            uint _e172 = i_1;
                            i_1 = (_e172 + THREADS);
                        }
                        loop_init_3 = false;
                        uint _e125 = i_1;
                        if ((_e125 < 1024u)) {
                        } else {
                            break;
                        }
                        {
                            uint _e128 = i_1;
                            c = naga_mod(_e128, BN);
                            uint _e132 = i_1;
                            p_1 = naga_div(_e132, BN);
                            if (true) {
                                uint _e137 = i_1;
                                p_1 = naga_mod(_e137, BK);
                                uint _e140 = i_1;
                                c = naga_div(_e140, BK);
                            }
                            v_1 = 0.0;
                            uint _e145 = c;
                            if (((first_col + _e145) < n)) {
                                uint _e150 = from_k;
                                uint _e151 = p_1;
                                local_2 = ((_e150 + _e151) < k);
                            } else {
                                local_2 = false;
                            }
                            bool _e155 = local_2;
                            if (_e155) {
                                uint _e156 = z;
                                uint _e157 = from_k;
                                uint _e158 = p_1;
                                uint _e160 = c;
                                const int _e162 = b_at(_e156, (_e157 + _e158), (first_col + _e160));
                                const float _e163 = load_b(_e162);
                                v_1 = _e163;
                            }
                            uint _e165 = p_1;
                            uint _e168 = c;
                            float _e171 = v_1;
                            slice_b[((_e165 * BN) + _e168)] = _e171;
                        }
                    }
                    GroupMemoryBarrierWithGroupSync();
                    p_2 = 0u;
                    bool loop_init_4 = true;
                    while(true) {
                        if (!loop_init_4) {
                            uint _e269 = p_2;
                            p_2 = (_e269 + 1u);
                        }
                        loop_init_4 = false;
                        uint _e177 = p_2;
                        if ((_e177 < BK)) {
                        } else {
                            break;
                        }
                        {
                            uint _e180 = p_2;
                            const float4 _e184 = of_a(((_e180 * BM) + y_1));
                            uint _e185 = p_2;
                            const float4 _e191 = of_a((((_e185 * BM) + y_1) + 4u));
                            uint _e192 = p_2;
                            const float4 _e196 = of_b(((_e192 * BN) + x_4));
                            uint _e197 = p_2;
                            const float4 _e203 = of_b((((_e197 * BN) + x_4) + 4u));
                            float4 _e204 = c0_;
                            c0_ = (_e204 + (_e184.x * _e196));
                            float4 _e208 = c1_;
                            c1_ = (_e208 + (_e184.y * _e196));
                            float4 _e212 = c2_;
                            c2_ = (_e212 + (_e184.z * _e196));
                            float4 _e216 = c3_;
                            c3_ = (_e216 + (_e184.w * _e196));
                            float4 _e220 = c4_;
                            c4_ = (_e220 + (_e191.x * _e196));
                            float4 _e224 = c5_;
                            c5_ = (_e224 + (_e191.y * _e196));
                            float4 _e228 = c6_;
                            c6_ = (_e228 + (_e191.z * _e196));
                            float4 _e232 = c7_;
                            c7_ = (_e232 + (_e191.w * _e196));
                            float4 _e236 = d0_;
                            d0_ = (_e236 + (_e184.x * _e203));
                            float4 _e240 = d1_;
                            d1_ = (_e240 + (_e184.y * _e203));
                            float4 _e244 = d2_;
                            d2_ = (_e244 + (_e184.z * _e203));
                            float4 _e248 = d3_;
                            d3_ = (_e248 + (_e184.w * _e203));
                            float4 _e252 = d4_;
                            d4_ = (_e252 + (_e191.x * _e203));
                            float4 _e256 = d5_;
                            d5_ = (_e256 + (_e191.y * _e203));
                            float4 _e260 = d6_;
                            d6_ = (_e260 + (_e191.z * _e203));
                            float4 _e264 = d7_;
                            d7_ = (_e264 + (_e191.w * _e203));
                        }
                    }
                    GroupMemoryBarrierWithGroupSync();
                }
            }
            float4 _e274 = c0_;
            float4 _e275 = c1_;
            float4 _e276 = c2_;
            float4 _e277 = c3_;
            float4 _e278 = c4_;
            float4 _e279 = c5_;
            float4 _e280 = c6_;
            float4 _e281 = c7_;
            float4 _e282 = d0_;
            float4 _e283 = d1_;
            float4 _e284 = d2_;
            float4 _e285 = d3_;
            float4 _e286 = d4_;
            float4 _e287 = d5_;
            float4 _e288 = d6_;
            float4 _e289 = d7_;
            tile = Constructarray16_float4_(_e274, _e275, _e276, _e277, _e278, _e279, _e280, _e281, _e282, _e283, _e284, _e285, _e286, _e287, _e288, _e289);
            uint _e294 = args.zero;
            i_2 = _e294;
            bool loop_init_5 = true;
            while(true) {
                if (!loop_init_5) {
                    uint _e339 = i_2;
                    i_2 = (_e339 + 1u);
                }
                loop_init_5 = false;
                uint _e296 = i_2;
                if ((_e296 < 16u)) {
                } else {
                    break;
                }
                {
                    uint _e300 = i_2;
                    uint r_1 = ((first_row + y_1) + (_e300 & 7u));
                    uint _e306 = args.zero;
                    j = _e306;
                    bool loop_init_6 = true;
                    while(true) {
                        if (!loop_init_6) {
                            uint _e336 = j;
                            j = (_e336 + 1u);
                        }
                        loop_init_6 = false;
                        uint _e308 = j;
                        if ((_e308 < 4u)) {
                        } else {
                            break;
                        }
                        {
                            uint _e313 = i_2;
                            uint _e318 = j;
                            uint c_1 = (((first_col + x_4) + (4u * (_e313 >> 3u))) + _e318);
                            if ((r_1 < m)) {
                                local_3 = (c_1 < n);
                            } else {
                                local_3 = false;
                            }
                            bool _e325 = local_3;
                            if (_e325) {
                                uint _e326 = z;
                                const int _e327 = d_at(_e326, r_1, c_1);
                                uint _e328 = i_2;
                                uint _e330 = j;
                                float _e332 = tile[_e328][_e330];
                                uint _e333 = z;
                                const float _e334 = finish(_e332, _e333, r_1, c_1);
                                store_d(_e327, _e334);
                            }
                        }
                    }
                }
            }
        }
    }
    return;
}
