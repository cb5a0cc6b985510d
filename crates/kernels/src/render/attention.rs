//! The prelude of attention: dtype, numbers of a head, whether keys hide.

use kernelsmith_core::DType;
use kernelsmith_core::ops::attention::AttentionProblem;

/// What goes before `attention.cuh`, which the kernels include.
pub fn prelude(p: &AttentionProblem) -> String {
    let dtype = match p.dtype {
        DType::F16 => "F16",
        DType::BF16 => "BF16",
        _ => "F32",
    };
    format!("#define DTYPE_{dtype} 1\nconstexpr int HEAD = {};\nconstexpr bool CAUSAL = {};\n", p.shape.head, p.causal)
}
