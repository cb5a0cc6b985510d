//! Faulted calls of the CPU's kernels: which fault is called on which problem.

use super::{Class, Fault, FaultError, How};
use kernelsmith_core::Problem;
use kernelsmith_device::cpu::faulted;
use kernelsmith_kernels::{Catalogue, CatalogueError, DeviceFacts, Target, manifest};

/// Places in `faulted::kernels` and `faulted::faults`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbers {
    kernel: usize,
    fault: usize,
}

/// Faults that show on one problem.
struct On {
    op: &'static str,
    problem: &'static str,
    faults: &'static [(&'static str, Class)],
}

use Class::{
    Accumulation, Batch, Epilogue, Function, Guard, Identity, Index, Memory, Nan, Nondeterminism, Offset, Rounding,
    Scale, Split, Stale, Stride, Swap, Tail, Write,
};

/// What any kernel can get wrong.
const ANYWHERE: &[(&str, Class)] = &[
    ("writes_nothing", Write),
    ("writes_zeros", Write),
    ("stale_output", Stale),
    ("adds_to_output", Stale),
    ("needs_poison", Stale),
    ("needs_uniform_output", Stale),
    ("last_element_unwritten", Guard),
    ("first_element_unwritten", Guard),
    ("one_in_61_unwritten", Write),
    ("second_half_unwritten", Write),
    ("stores_shifted_by_one", Offset),
    ("neighbours_swapped", Swap),
    ("one_element_off", Write),
    ("rounds_to_bf16", Rounding),
    ("loses_low_bits", Rounding),
    ("swallows_nan", Nan),
    ("nan_becomes_infinity", Nan),
    ("scribbles_between_rows", Memory),
    ("changes_input", Memory),
    ("reads_past_the_end", Memory),
    ("writes_past_the_end", Memory),
    ("differs_each_run", Nondeterminism),
];

const ON: &[On] = &[
    On { op: "gemm", problem: "m=24,n=40,k=57,dtype=f32", faults: ANYWHERE },
    On { op: "map", problem: "shape=37x70,expr=add(mul(x0,1.5),x1),x0=f32,x1=f32,out=f32", faults: ANYWHERE },
    On { op: "reduce", problem: "kind=sum,outer=30,inner=70,x0=f32,out=f32", faults: ANYWHERE },
    On { op: "row", problem: "kind=layer_norm,rows=30,columns=70,eps=1e-5,x0=f32,out=f32", faults: ANYWHERE },
    On { op: "gather", problem: "shape=64x70,axis=0,size=301,x=f32,index=i32@0:1:0,out=f32", faults: ANYWHERE },
    On { op: "scatter_add", problem: "shape=90x40,axis=0,size=61,x=f32,index=i32@0:1:0,out=f32", faults: ANYWHERE },
    On { op: "attention", problem: "heads=3,queries=9,keys=40,head=16,dtype=f32", faults: ANYWHERE },
    // Products.
    On {
        op: "gemm",
        problem: "m=24,n=40,k=57,dtype=f32",
        faults: &[
            ("skips_last_k", Tail),
            ("skips_first_k", Tail),
            ("skips_k_tail", Tail),
            ("skips_half_of_k", Tail),
            ("skips_last_row", Guard),
            ("skips_last_column", Guard),
            ("half_accumulation", Accumulation),
            ("bf16_accumulation", Accumulation),
            ("accumulation_dropped", Accumulation),
            ("split_counts_twice", Split),
            ("split_dropped", Split),
            ("inputs_rounded_to_tf32", Rounding),
            ("inputs_rounded_to_bf16", Rounding),
            ("last_row_of_a_repeated", Guard),
            ("clamps_infinity", Nan),
            ("reads_nan_as_zero", Nan),
        ],
    },
    On { op: "gemm", problem: "m=30,n=20,k=16,dtype=f32", faults: &[("guard_of_m_uses_n", Guard)] },
    On {
        op: "gemm",
        problem: "m=24,n=40,k=57,dtype=f16,layout=nt",
        faults: &[("half_accumulation", Accumulation), ("skips_last_k", Tail), ("swallows_nan", Nan)],
    },
    On { op: "gemm", problem: "m=24,n=40,k=57,dtype=bf16", faults: &[("bf16_accumulation", Accumulation)] },
    On {
        op: "gemm",
        problem: "m=13,n=40,k=57,dtype=f64",
        faults: &[("rounds_to_bf16", Rounding), ("loses_low_bits", Rounding), ("skips_last_k", Tail)],
    },
    On {
        op: "gemm",
        problem: "m=24,n=24,k=24,dtype=f32,layout=tn",
        faults: &[("operands_swapped", Swap), ("transpose_of_a_ignored", Swap), ("transpose_of_b_ignored", Swap)],
    },
    On {
        op: "gemm",
        problem: "batch=3,m=12,n=20,k=17,dtype=f32",
        faults: &[("batch_of_a_ignored", Batch), ("batch_of_b_ignored", Batch), ("second_half_unwritten", Batch)],
    },
    On {
        op: "gemm",
        problem: "m=24,n=40,k=57,dtype=f32,a=5@0:61:1,b=3@0:44:1",
        faults: &[
            ("offset_of_a_ignored", Offset),
            ("offset_of_b_ignored", Offset),
            ("wrong_stride_of_a", Stride),
            ("wrong_stride_of_b", Stride),
        ],
    },
    On {
        op: "gemm",
        problem: "m=24,n=40,k=57,dtype=f32,alpha=0.5,beta=2.0",
        faults: &[
            ("alpha_ignored", Scale),
            ("beta_ignored", Scale),
            ("beta_of_one", Scale),
            ("c_read_from_output", Stale),
            ("wrong_stride_of_c", Stride),
        ],
    },
    On {
        op: "gemm",
        problem: "m=24,n=40,k=57,dtype=f32,epilogue=bias+gelu",
        faults: &[
            ("epilogue_missing", Epilogue),
            ("last_step_missing", Epilogue),
            ("another_activation", Function),
            ("bias_shifted", Epilogue),
        ],
    },
    On {
        op: "gemm",
        problem: "m=24,n=24,k=57,dtype=f32,epilogue=bias+relu",
        faults: &[("bias_along_the_other_way", Epilogue), ("another_activation", Function)],
    },
    // Maps.
    On {
        op: "map",
        problem: "shape=37x70,expr=gelu(mul(sub(x0,x1),1.5)),x0=f32,x1=f32,out=f32",
        faults: &[
            ("expression_missing", Function),
            ("constant_off", Scale),
            ("operands_exchanged", Swap),
            ("difference_reversed", Swap),
            ("gelu_by_tanh", Function),
            ("skips_tail", Tail),
            ("skips_head", Tail),
            ("skips_to_vectors", Tail),
            ("wrong_stride", Stride),
            ("wrong_stride_of_second", Stride),
            ("taken_as_broadcast", Stride),
        ],
    },
    On {
        op: "map",
        problem: "shape=37x70,expr=add(x0,add(i0,mul(i1,100))),x0=f32,out=f32",
        faults: &[("indices_exchanged", Index)],
    },
    On {
        op: "map",
        problem: "shape=37x70,expr=uniform(3,add(mul(i0,70),i1)),out=f32",
        faults: &[("another_seed", Function)],
    },
    On {
        op: "map",
        problem: "shape=37x70,expr=max(x0,x1),x0=f32,x1=f32,out=f32",
        faults: &[("max_loses_nan", Nan), ("clamps_infinity", Nan), ("reads_nan_as_zero", Nan)],
    },
    On { op: "map", problem: "shape=37x70,expr=relu(x0),x0=f32,out=f32", faults: &[("relu_loses_nan", Nan)] },
    On {
        op: "map",
        problem: "shape=37x70,expr=select(lt(x0,x1),x0,mul(x1,2)),x0=f32,x1=f32,out=f32",
        faults: &[("less_or_equal", Function), ("select_reversed", Function)],
    },
    On {
        op: "map",
        problem: "shape=37x70,expr=add(f16(x0),x1),x0=f32,x1=f32,out=f32",
        faults: &[("casts_ignored", Rounding)],
    },
    On {
        op: "map",
        problem: "shape=30x40,expr=mul(x0,2.5),x0=f32@7:1:31,out=f32",
        faults: &[("offset_ignored", Offset), ("taken_as_contiguous", Stride)],
    },
    On { op: "map", problem: "shape=900,expr=mul(x0,2.5),x0=f32@899:-1,out=f32", faults: &[("flip_ignored", Stride)] },
    // Reductions.
    On {
        op: "reduce",
        problem: "kind=sum,outer=30,inner=70,expr=mul(x0,x0),post=mul(v,0.5),x0=f32,out=f32",
        faults: &[
            ("expression_missing", Function),
            ("post_missing", Epilogue),
            ("constant_off", Scale),
            ("skips_tail", Tail),
            ("skips_head", Tail),
            ("skips_to_vectors", Tail),
            ("another_kind", Function),
            ("taken_as_broadcast", Stride),
            ("wrong_stride", Stride),
            ("input_nan_skipped", Nan),
        ],
    },
    On { op: "reduce", problem: "kind=sum,outer=30,inner=70,x0=f32,out=f32", faults: &[("sums_in_f16", Accumulation)] },
    On {
        op: "reduce",
        problem: "kind=sum,outer=40,inner=30,x0=f32@5:1:40,out=f32",
        faults: &[("taken_as_contiguous", Stride), ("offset_ignored", Offset), ("skips_tail", Tail)],
    },
    On {
        op: "reduce",
        problem: "kind=max,outer=30,inner=7,x0=f32,out=f32",
        faults: &[
            ("identity_of_zero", Identity),
            ("another_kind", Function),
            ("input_nan_skipped", Nan),
            ("clamps_infinity", Nan),
            ("skips_tail", Tail),
        ],
    },
    On {
        op: "reduce",
        problem: "kind=min,outer=30,inner=7,x0=f32,out=f32",
        faults: &[("identity_of_zero", Identity), ("another_kind", Function), ("input_nan_skipped", Nan)],
    },
    On {
        op: "reduce",
        problem: "kind=argmax,outer=30,inner=70,x0=f32,out=i32",
        faults: &[
            ("last_of_equals", Index),
            ("position_off_by_one", Index),
            ("another_kind", Function),
            ("input_nan_skipped", Nan),
            ("skips_tail", Tail),
            ("skips_head", Tail),
        ],
    },
    On {
        op: "reduce",
        problem: "kind=argmin,outer=30,inner=70,x0=f32,out=i32",
        faults: &[("last_of_equals", Index), ("another_kind", Function)],
    },
    // Row operations.
    On {
        op: "row",
        problem: "kind=layer_norm,rows=30,columns=70,eps=1e-5,post=add(mul(v,x1),x2),x0=f32,x1=f32@0:0:1,\
                  x2=f32@0:0:1,out=f32",
        faults: &[
            ("wrong_eps", Scale),
            ("eps_ignored", Scale),
            ("variance_of_a_sample", Scale),
            ("mean_kept", Function),
            ("post_missing", Epilogue),
            ("skips_tail", Tail),
            ("skips_head", Tail),
            ("skips_to_vectors", Tail),
            ("wrong_stride", Stride),
            ("taken_as_broadcast", Stride),
            ("row_of_nan_is_zero", Nan),
        ],
    },
    On {
        op: "row",
        problem: "kind=rms_norm,rows=30,columns=70,eps=1e-6,expr=add(x0,x1),x0=f32,x1=f32,out=f32",
        faults: &[
            ("wrong_eps", Scale),
            ("eps_ignored", Scale),
            ("variance_of_a_sample", Scale),
            ("expression_missing", Function),
        ],
    },
    On {
        op: "row",
        problem: "kind=softmax,rows=30,columns=70,expr=mul(x0,60),x0=f32,out=f32",
        faults: &[
            ("overflows_without_shift", Function),
            ("expression_missing", Function),
            ("constant_off", Scale),
            ("row_of_nan_is_zero", Nan),
        ],
    },
    On {
        op: "row",
        problem: "kind=softmax,rows=45,columns=45,x0=f32@3:46:1,out=f32",
        faults: &[("normalises_columns", Swap), ("offset_ignored", Offset), ("skips_tail", Tail)],
    },
    On {
        op: "row",
        problem: "kind=log_softmax,rows=30,columns=70,x0=f32,out=f32",
        faults: &[("logarithm_missing", Function), ("row_of_nan_is_zero", Nan)],
    },
    On {
        op: "row",
        problem: "kind=cross_entropy,rows=40,columns=30,label=1,x0=f32,x1=i32@0:1:0,out=f32",
        faults: &[("label_ignored", Index), ("label_off_by_one", Index), ("label_clamped", Index)],
    },
    // Movements.
    On { op: "gather", problem: "shape=64x70,axis=0,size=301,x=f32,index=i32@0:1:0,out=f32", faults: PICKED },
    On {
        op: "gather",
        problem: "shape=31x129,axis=1,size=17,x=f32,index=i32,out=f32",
        faults: &[("index_clamped", Index), ("index_wraps", Index), ("index_shifted", Index)],
    },
    On {
        op: "gather",
        problem: "shape=20x30,axis=0,size=40,x=i32@4:31:1,index=i32@0:1:0,out=i32",
        faults: &[("offset_of_x_ignored", Offset), ("wrong_stride_of_x", Stride)],
    },
    On { op: "scatter_add", problem: "shape=90x40,axis=0,size=301,x=f32,index=i32@0:1:0,out=f32", faults: PICKED },
    On {
        op: "scatter_add",
        problem: "shape=90x40,axis=0,size=7,x=f32,index=i32@0:1:0,out=f32",
        faults: &[
            ("last_term_wins", Accumulation),
            ("terms_added_in_f16", Accumulation),
            ("equal_neighbours_once", Class::Race),
            ("result_not_cleared", Stale),
        ],
    },
    // Attention.
    On {
        op: "attention",
        problem: "batch=2,heads=4,kv_heads=2,queries=20,keys=70,head=32,dtype=f32,causal=1",
        faults: &[
            ("triangle_ignored", Guard),
            ("triangle_at_the_upper_left", Guard),
            ("first_key_hidden", Tail),
            ("heads_of_keys_reversed", Index),
            ("batch_of_k_ignored", Batch),
            ("batch_of_v_ignored", Batch),
            ("head_of_v_ignored", Batch),
        ],
    },
    On {
        op: "attention",
        problem: "heads=4,queries=20,keys=70,head=32,dtype=bf16,q=3@0:700:32:1,k=0@0:2500:35:1",
        faults: &[
            ("scores_not_scaled", Scale),
            ("scaled_by_the_head", Scale),
            ("last_key_hidden", Tail),
            ("keys_taken_for_values", Swap),
            ("offset_of_q_ignored", Offset),
            ("rows_of_k_of_the_head", Stride),
            ("last_number_not_scored", Tail),
            ("halves_not_weighed", Split),
            ("row_of_nan_is_zero", Nan),
        ],
    },
];

/// What a movement can get wrong.
const PICKED: &[(&str, Class)] = &[
    ("index_clamped", Index),
    ("index_wraps", Index),
    ("index_off_by_one", Index),
    ("index_of_zero", Index),
    ("last_index_refused", Guard),
    ("index_of_eight_bits", Index),
    ("index_shifted", Index),
    ("moves_all_but_the_last", Tail),
    ("wrong_stride_of_x", Stride),
];

/// Each fault in each kernel of the CPU that takes its problem, vendors' among them.
pub fn faults(facts: &DeviceFacts) -> Result<Vec<Fault>, FaultError> {
    let catalogue = Catalogue::builtin()?;
    let mut out = Vec::new();
    for on in ON {
        let problem = Problem::parse(on.op, on.problem)?;
        let (able, _) = catalogue.capable(&problem, facts)?;
        for variant in able {
            for (name, class) in on.faults {
                let kernel = faulted::kernels().position(|k| k.name == variant.source);
                let fault = faulted::faults().position(|f| f.name == *name);
                let (Some(kernel), Some(fault)) = (kernel, fault) else {
                    return Err(FaultError::Unknown(format!("{}/{}/{name}", on.op, variant.name)));
                };
                let (op, kernel_name) = (on.op, variant.name.clone());
                let how = How::Call(Numbers { kernel, fault });
                out.push(Fault { op, kernel: kernel_name, name, class: *class, problem: on.problem, how });
            }
        }
    }
    Ok(out)
}

/// The built-in catalogue in which a CPU kernel is called wrongly.
pub fn catalogue(op: &str, kernel: &str, numbers: Numbers) -> Result<Catalogue, FaultError> {
    let catalogue = Catalogue::builtin()?;
    let real = catalogue.variant(op, Target::Cpu, kernel)?;
    // A faulted call makes products of other sizes and layouts, which a vendor's may not offer.
    let supports: Vec<String> = real.supports.iter().map(|f| format!("{:?}", f.source())).collect();
    let values = real.default.iter().map(|(name, value)| (name.to_string(), value));
    let values: Vec<(String, i64)> = values
        .chain([("KERNEL".to_string(), numbers.kernel as i64), ("FAULT".to_string(), numbers.fault as i64)])
        .collect();
    let list = |f: &dyn Fn(&(String, i64)) -> String| values.iter().map(f).collect::<Vec<_>>().join(", ");
    let manifest = format!(
        "[[variant]]\nname = \"{kernel}\"\nabout = \"a faulted call\"\ntarget = \"cpu\"\nsource = \"faulted\"\n\
         supports = [{}]\ndeterministic = {}\nparams = {{ {} }}\ndefault = {{ {} }}\n",
        supports.join(", "),
        real.deterministic,
        list(&|(name, value)| format!("{name} = [{value}]")),
        list(&|(name, value)| format!("{name} = {value}")),
    );
    let variants = manifest::parse(op, "a faulted call", &manifest, &|_| None).map_err(CatalogueError::from)?;
    Ok(catalogue.with(variants))
}
