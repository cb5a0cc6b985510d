//! Element-wise kernels, and the functions and formats that all kernels share.

use super::Mutation;
use crate::gate_test::Class;

const STRIDED: Mutation = Mutation {
    op: "map",
    kernel: "strided",
    file: "map/strided.wgsl",
    name: "",
    class: Class::Tail,
    problem: "shape=70x75,expr=mul(x0,1.5),x0=f32,out=f32",
    config: None,
    find: "",
    replace: "",
};
/// Shared text, checked in the simplest kernel.
const FUNCTION: Mutation = Mutation {
    op: "map",
    kernel: "strided",
    file: "include/single.wgsl",
    name: "",
    class: Class::Tail,
    problem: "shape=70x75,expr=mul(x0,1.5),x0=f32,out=f32",
    config: None,
    find: "",
    replace: "",
};
const WORDS: Mutation = Mutation {
    op: "map",
    kernel: "words",
    file: "map/words.wgsl",
    name: "",
    class: Class::Tail,
    problem: "shape=71x75,expr=mul(x0,1.37),x0=f16,out=f16",
    config: None,
    find: "",
    replace: "",
};

const COPY: Mutation = Mutation {
    op: "map",
    kernel: "copy",
    file: "map/copy.wgsl",
    name: "",
    class: Class::Tail,
    problem: "shape=70x75,expr=x0,x0=i32@0:1:70,out=i32",
    config: None,
    find: "",
    replace: "",
};

pub static MUTATIONS: &[Mutation] = &[
    Mutation { name: "last_element_unwritten", find: "i < total; i +=", replace: "i + 1u < total; i +=", ..COPY },
    Mutation {
        name: "first_element_unwritten",
        class: Class::Guard,
        find: "var i = id.x;",
        replace: "var i = id.x + 1u;",
        ..COPY
    },
    Mutation {
        name: "every_second_one_unwritten",
        class: Class::Write,
        find: "enter_all(origin(), i)",
        replace: "enter_all(origin(), i / 2u * 2u)",
        ..COPY
    },
    Mutation {
        name: "a_lane_unwritten",
        class: Class::Write,
        find: "move_one(p);",
        replace: "if ((i & 63u) != 63u) { move_one(p); }",
        ..COPY
    },
    Mutation {
        name: "one_row_only",
        class: Class::Offset,
        find: "args.outer * args.inner",
        replace: "args.inner",
        ..COPY
    },
    Mutation {
        name: "last_element_unwritten",
        class: Class::Tail,
        find: "i < total; i +=",
        replace: "i + 1u < total; i +=",
        ..STRIDED
    },
    Mutation {
        name: "one_element_more",
        class: Class::Guard,
        find: "i < total; i +=",
        replace: "i <= total; i +=",
        ..STRIDED
    },
    Mutation {
        name: "of_the_neighbour",
        class: Class::Offset,
        find: "expr(p)",
        replace: "expr(enter_all(origin(), i ^ 1u))",
        ..STRIDED
    },
    Mutation {
        name: "output_added_to",
        class: Class::Stale,
        find: "expr(p)",
        replace: "bitcast<f32>(out_data[p.offset[1]]) + expr(p)",
        ..STRIDED
    },
    Mutation {
        name: "needs_poison",
        class: Class::Stale,
        find: "store_out_at(p, expr(p));",
        replace: "if (out_data[p.offset[1]] != 0u) { store_out_at(p, expr(p)); }",
        ..STRIDED
    },
    Mutation {
        name: "offset_ignored",
        class: Class::Offset,
        problem: "shape=30x40,expr=mul(x0,2.5),x0=f32@7:41:1,out=f32@0:40:1",
        find: "expr(p)",
        replace: "expr(along_last(p, u32(-args.x0_offset)))",
        ..STRIDED
    },
    Mutation {
        name: "constant_off",
        class: Class::Scale,
        problem: "shape=70x75,expr=gelu(x0),x0=f32,out=f32",
        find: "0.70710678",
        replace: "0.7071",
        ..FUNCTION
    },
    Mutation {
        name: "relu_loses_nan",
        class: Class::Nan,
        problem: "shape=70x75,expr=relu(x0),x0=f32,out=f32",
        find: "return select(x, 0.0, is_negative(x) && !is_nan(x) && magnitude(x) != 0u);",
        replace: "return select(0.0, x, x > 0.0);",
        ..FUNCTION
    },
    Mutation {
        name: "max_loses_nan",
        class: Class::Nan,
        problem: "shape=70x75,expr=max(x0,x1),x0=f32,x1=f32,out=f32",
        find: "return select(b, a, is_nan(a) || (a > b && !is_nan(b)));",
        replace: "return select(b, a, a > b);",
        ..FUNCTION
    },
    Mutation {
        name: "silu_of_minus_infinity",
        class: Class::Nan,
        problem: "shape=70x75,expr=silu(x0),x0=f32,out=f32",
        find: "return select(x * gate, bitcast<f32>(0x80000000u), magnitude(gate) == 0u && is_negative(x));",
        replace: "return x * gate;",
        ..FUNCTION
    },
    Mutation {
        name: "less_or_equal",
        class: Class::Function,
        problem: "shape=70x75,expr=select(lt(x0,x1),x0,mul(x1,2)),x0=f32,x1=f32,out=f32",
        find: "{ return f32(less(a, b)); }",
        replace: "{ return f32(less(a, b) || same(a, b)); }",
        ..FUNCTION
    },
    Mutation {
        name: "select_reversed",
        class: Class::Function,
        problem: "shape=70x75,expr=select(lt(x0,x1),x0,mul(x1,2)),x0=f32,x1=f32,out=f32",
        find: "select(x, y, is_zero(condition))",
        replace: "select(y, x, is_zero(condition))",
        ..FUNCTION
    },
    Mutation {
        name: "underflows_too_early",
        class: Class::Function,
        problem: "shape=70x75,expr=exp(mul(x0,40)),x0=f32,out=f32",
        find: "x < -104.0",
        replace: "x < -60.0",
        ..FUNCTION
    },
    Mutation {
        name: "bytes_not_clamped",
        class: Class::Rounding,
        problem: "shape=70x75,expr=mul(x0,200),x0=f32,out=u8",
        find: r"    if (x >= 255.0) { return 255u; }
",
        replace: "",
        ..FUNCTION
    },
    Mutation {
        name: "counter_off_by_one",
        class: Class::Index,
        file: "include/random.wgsl",
        problem: "shape=70x75,expr=uniform(3,add(mul(i0,75),i1)),out=f32",
        find: "add64(counter, vec2<u32>(1u, 0u))",
        replace: "add64(counter, vec2<u32>(2u, 0u))",
        ..FUNCTION
    },
    Mutation {
        name: "rounds_towards_zero",
        class: Class::Rounding,
        file: "include/bits.wgsl",
        problem: "shape=70x75,expr=mul(x0,1.37),x0=f32,out=bf16",
        find: "(bits + 0x7fffu + ((bits >> 16u) & 1u)) >> 16u",
        replace: "bits >> 16u",
        ..FUNCTION
    },
    Mutation {
        name: "small_numbers_are_zero",
        class: Class::Rounding,
        file: "include/halves_in_words.wgsl",
        problem: "shape=70x75,expr=mul(x0,0.0001),x0=f32,out=f16",
        find: "m < 0x33000000u",
        replace: "m < 0x38800000u",
        ..FUNCTION
    },
    Mutation {
        name: "conversion_of_small_numbers_is_zero",
        class: Class::Rounding,
        file: "include/halves.wgsl",
        problem: "shape=70x75,expr=mul(x0,0.0001),x0=f32,out=f16",
        find: "vec2<f32>(x, 0.0)",
        replace: "vec2<f32>(select(x, 0.0, magnitude(x) < 0x38800000u), 0.0)",
        ..FUNCTION
    },
    Mutation {
        name: "last_word_unwritten",
        class: Class::Tail,
        find: "w < words; w +=",
        replace: "w + 1u < words; w +=",
        ..WORDS
    },
    Mutation {
        name: "last_word_taken_as_whole",
        class: Class::Guard,
        find: "if (owned == EACH)",
        replace: "if (owned >= 1u)",
        ..WORDS
    },
    Mutation {
        name: "part_of_a_word_unwritten",
        class: Class::Write,
        find: "} else {",
        replace: "} else if (total == 0u) {",
        ..WORDS
    },
    Mutation {
        name: "halves_swapped",
        class: Class::Swap,
        find: "<< (j * BITS);",
        replace: "<< ((EACH - 1u - j) * BITS);",
        ..WORDS
    },
    Mutation {
        name: "first_of_a_word_for_all",
        class: Class::Index,
        find: "bits_out(expr(enter_all(origin(), e - before)))",
        replace: "bits_out(expr(enter_all(origin(), w * EACH - min(before, w * EACH))))",
        ..WORDS
    },
    Mutation {
        name: "offset_of_the_output_ignored",
        class: Class::Offset,
        problem: "shape=71x75,expr=mul(x0,1.37),x0=f16,out=f16@6:75:1",
        find: "put_word_out(args.out_offset / i32(EACH) + i32(w), word)",
        replace: "put_word_out(i32(w), word)",
        ..WORDS
    },
    Mutation {
        name: "first_half_word_ignored",
        class: Class::Offset,
        problem: "shape=71x75,expr=mul(x0,1.37),x0=f16,out=f16@3:75:1",
        find: "let before = u32(args.out_offset) % EACH;",
        replace: "let before = 0u;",
        ..WORDS
    },
    Mutation {
        name: "gaps_written_over",
        class: Class::Stride,
        problem: "shape=71x75,expr=mul(x0,1.37),x0=f16,out=f16@0:80:1",
        find: "if (OUT_DENSE == 0)",
        replace: "if (OUT_DENSE == 2)",
        ..WORDS
    },
];
