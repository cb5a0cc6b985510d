//! From a declared launch to a concrete one: grid, block, shared memory and argument values.

use crate::Config;
use crate::catalogue::{CatalogueError, scope};
use crate::facts::DeviceFacts;
use crate::formula::{Formula, Scope};
use crate::frame::{Field, Frame};
use crate::manifest::{ArgSpec, LaunchSpec, TensorMapSpec, Variant};
use kernelsmith_core::{DType, Operand, Problem};

/// A launch with every number filled in. Operand indices count in `problem.operands()`.
#[derive(Clone, Debug, PartialEq)]
pub struct Launch {
    pub entry: String,
    pub grid: [u32; 3],
    pub block: [u32; 3],
    pub cluster: Option<[u32; 3]>,
    /// Dynamic shared memory in bytes.
    pub shared: u32,
    pub overlap: bool,
    pub args: Vec<Arg>,
}

/// A kernel argument with its value; device addresses are filled in at launch.
#[derive(Clone, Debug, PartialEq)]
pub enum Arg {
    Matrix(MatrixArg),
    /// The rendered `Epilogue` struct: one matrix for each further input.
    Epilogue(Vec<MatrixArg>),
    /// The rendered `Arrays` struct, member by member, each at its natural alignment.
    Arrays(Vec<Field>),
    Pointer {
        operand: usize,
        byte_offset: usize,
    },
    I32(i32),
    I64(i64),
    F32(f32),
    F64(f64),
    /// Bytes of scratch.
    Workspace(usize),
    /// Number of u32 counters.
    Counters(usize),
    /// Whether this operand may be read before earlier launches have ended: known only when it is launched.
    Settled {
        operand: usize,
    },
    TensorMap(TensorMap),
}

/// Pointer and strides (in elements, batch first) of an operand of rank 3, or 4 where there is a matrix for each
/// batch and head; no operand is a null pointer.
#[derive(Clone, Debug, PartialEq)]
pub struct MatrixArg {
    pub operand: Option<usize>,
    pub byte_offset: usize,
    pub strides: Vec<i64>,
}

/// What a descriptor is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    Operand(usize),
    /// The variant's own scratch, where a launch before packed an operand.
    Workspace,
}

/// A TMA descriptor to encode: sizes and byte strides, innermost dimension first.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorMap {
    pub memory: Memory,
    pub byte_offset: usize,
    pub dtype: DType,
    pub dims: Vec<u64>,
    /// Byte strides of the dimensions after the first.
    pub strides: Vec<u64>,
    pub box_sizes: Vec<u32>,
    pub swizzle: u32,
    /// Whether f32 elements are rounded to tf32 on the way to shared memory.
    pub tf32: bool,
}

impl Variant {
    /// The launches of `config` on `problem`.
    ///
    /// # Errors
    /// An expression that fails, an operand that does not exist, or a geometry that no device takes.
    pub fn launches(
        &self,
        config: &Config,
        problem: &Problem,
        facts: &DeviceFacts,
    ) -> Result<Vec<Launch>, CatalogueError> {
        let mut scope = scope(problem, facts);
        self.bind(&mut scope, config)?;
        let resolver = Resolver { variant: self, problem, operands: problem.operands(), scope };
        let mut out = Vec::new();
        for spec in &self.launches {
            let wanted = match &spec.when {
                None => true,
                Some(f) => f.bool(&resolver.scope).map_err(|e| resolver.formula_error(e))?,
            };
            if wanted {
                out.push(resolver.launch(spec)?);
            }
        }
        Ok(out)
    }
}

struct Resolver<'a> {
    variant: &'a Variant,
    problem: &'a Problem,
    operands: Vec<Operand>,
    scope: Scope,
}

impl Resolver<'_> {
    fn formula_error(&self, error: crate::formula::FormulaError) -> CatalogueError {
        CatalogueError::Formula { variant: self.variant.name.clone(), origin: self.variant.origin.to_string(), error }
    }

    fn fail(&self, reason: String) -> CatalogueError {
        CatalogueError::Config { candidate: self.variant.name.clone(), reason: format!("{reason} on {}", self.problem) }
    }

    fn int(&self, f: &Formula) -> Result<i64, CatalogueError> {
        f.int(&self.scope).map_err(|e| self.formula_error(e))
    }

    fn size(&self, f: &Formula, what: &str, range: std::ops::RangeInclusive<i64>) -> Result<u32, CatalogueError> {
        let x = self.int(f)?;
        if !range.contains(&x) {
            return Err(self.fail(format!(
                "{what} `{}` is {x}, expected {} to {}",
                f.source(),
                range.start(),
                range.end()
            )));
        }
        Ok(x as u32)
    }

    fn triple(&self, f: &[Formula; 3], what: &str, limits: [i64; 3]) -> Result<[u32; 3], CatalogueError> {
        let mut out = [0; 3];
        for d in 0..3 {
            out[d] = self.size(&f[d], what, 1..=limits[d])?;
        }
        Ok(out)
    }

    fn launch(&self, spec: &LaunchSpec) -> Result<Launch, CatalogueError> {
        let block = self.triple(&spec.block, "block", [1024, 1024, 64])?;
        if block.iter().product::<u32>() > 1024 {
            return Err(self.fail(format!("block {block:?} has more than 1024 threads")));
        }
        Ok(Launch {
            entry: spec.entry.clone(),
            grid: self.triple(&spec.grid, "grid", [i32::MAX as i64, 65535, 65535])?,
            block,
            cluster: spec.cluster.as_ref().map(|c| self.triple(c, "cluster", [16, 16, 16])).transpose()?,
            shared: self.size(&spec.shared, "shared", 0..=1 << 20)?,
            overlap: spec.overlap,
            args: spec.args.iter().map(|a| self.arg(a)).collect::<Result<_, _>>()?,
        })
    }

    fn operand(&self, name: &str) -> Option<usize> {
        self.operands.iter().position(|o| o.name == name)
    }

    fn index(&self, name: &str) -> Result<usize, CatalogueError> {
        self.operand(name).ok_or_else(|| self.fail(format!("there is no operand `{name}`")))
    }

    fn matrix(&self, name: &str) -> Result<MatrixArg, CatalogueError> {
        let Some(index) = self.operand(name) else {
            // C without beta: the kernel is compiled not to read it.
            if name == "c" {
                return Ok(MatrixArg { operand: None, byte_offset: 0, strides: vec![0; 3] });
            }
            return Err(self.fail(format!("there is no operand `{name}`")));
        };
        let operand = &self.operands[index];
        let s = operand.layout.strides();
        if !matches!(s.len(), 3 | 4) {
            return Err(self.fail(format!("operand `{name}` has rank {}, a matrix argument needs 3 or 4", s.len())));
        }
        let byte_offset = operand.layout.offset() * operand.dtype.bytes();
        Ok(MatrixArg { operand: Some(index), byte_offset, strides: s.iter().map(|s| *s as i64).collect() })
    }

    fn arg(&self, spec: &ArgSpec) -> Result<Arg, CatalogueError> {
        let narrow = |x: i64, f: &Formula| {
            i32::try_from(x).map_err(|_| self.fail(format!("i32 argument `{}` is {x}", f.source())))
        };
        let bytes = |f: &Formula| {
            let x = self.int(f)?;
            usize::try_from(x).map_err(|_| self.fail(format!("size `{}` is {x}", f.source())))
        };
        let float = |f: &Formula| f.float(&self.scope).map_err(|e| self.formula_error(e));
        Ok(match spec {
            ArgSpec::Matrix(name) => Arg::Matrix(self.matrix(name)?),
            ArgSpec::Settled(name) => Arg::Settled { operand: self.index(name)? },
            ArgSpec::Buffer(name) => {
                let index = self.index(name)?;
                let operand = &self.operands[index];
                Arg::Pointer { operand: index, byte_offset: operand.layout.offset() * operand.dtype.bytes() }
            }
            ArgSpec::I32(f) => Arg::I32(narrow(self.int(f)?, f)?),
            ArgSpec::I64(f) => Arg::I64(self.int(f)?),
            ArgSpec::F32(f) => Arg::F32(float(f)? as f32),
            ArgSpec::Acc(f) => {
                let double = self.problem.output().dtype.accumulator() == DType::F64;
                if double { Arg::F64(float(f)?) } else { Arg::F32(float(f)? as f32) }
            }
            ArgSpec::Epilogue => {
                let names = self.problem.expr_operands();
                Arg::Epilogue(names.iter().map(|n| self.matrix(n)).collect::<Result<_, _>>()?)
            }
            ArgSpec::Arrays => {
                let frame = Frame::of(self.problem);
                Arg::Arrays(
                    frame.ok_or_else(|| self.fail("an `arrays` argument is not for this op".to_string()))?.fields(),
                )
            }
            ArgSpec::Workspace(f) => Arg::Workspace(bytes(f)?),
            ArgSpec::Counters(f) => Arg::Counters(bytes(f)?),
            ArgSpec::TensorMap(spec) => Arg::TensorMap(self.tensor_map(spec)?),
        })
    }

    fn tensor_map(&self, spec: &TensorMapSpec) -> Result<TensorMap, CatalogueError> {
        let name = &spec.operand;
        let index = self.index(name)?;
        let operand = &self.operands[index];
        let shape = operand.layout.shape();
        let element = operand.dtype.bytes();
        let (memory, byte_offset, strides) = match &spec.packed {
            None => (Memory::Operand(index), operand.layout.offset() * element, operand.layout.strides().to_vec()),
            Some(place) => {
                let numbers = place.iter().map(|f| self.int(f)).collect::<Result<Vec<i64>, _>>()?;
                let (at, strides) = numbers.split_first().unwrap_or((&0, &[]));
                if strides.len() != shape.len() || *at < 0 {
                    return Err(self.fail(format!(
                        "`packed` of operand `{name}` is {numbers:?}, expected a byte and {} strides",
                        shape.len()
                    )));
                }
                (Memory::Workspace, *at as usize, strides.iter().map(|s| *s as isize).collect())
            }
        };
        // Innermost first: the contiguous dimension, then the others from the last one outwards. A dimension of
        // size 1 has no neighbours: it is the contiguous one only where no other is.
        let unit = |longer: bool| (0..shape.len()).rev().find(|&d| strides[d] == 1 && (shape[d] > 1 || !longer));
        let inner = unit(true)
            .or_else(|| unit(false))
            .ok_or_else(|| self.fail(format!("operand `{name}` has no contiguous dimension for a tensor map")))?;
        let order: Vec<usize> = std::iter::once(inner).chain((0..shape.len()).rev().filter(|d| *d != inner)).collect();
        let rank = spec.box_sizes.len();
        if rank > order.len() || order[rank..].iter().any(|&d| shape[d] != 1) {
            return Err(
                self.fail(format!("operand `{name}` of shape {shape:?} does not fit a tensor map of rank {rank}"))
            );
        }
        // No dimension is empty in a descriptor, and a broadcast one has a single index.
        let repeats = |d: usize| d != inner && strides[d] == 0;
        let dims: Vec<u64> =
            order[..rank].iter().map(|&d| if repeats(d) { 1 } else { shape[d].max(1) as u64 }).collect();
        let mut byte_strides = Vec::new();
        let mut span = (dims[0] * element as u64).next_multiple_of(16);
        for (&d, &size) in order[1..rank].iter().zip(&dims[1..]) {
            // What a single index is multiplied by does not matter, but it must be a valid stride.
            let stride =
                if size == 1 { Some(span) } else { u64::try_from(strides[d]).ok().map(|s| s * element as u64) };
            let stride = stride.filter(|s| s % 16 == 0 && *s > 0).ok_or_else(|| {
                self.fail(format!(
                    "operand `{name}` has stride {} where a tensor map needs a positive multiple of 16 bytes",
                    strides[d]
                ))
            })?;
            byte_strides.push(stride);
            span = span.max(stride * size);
        }
        let box_sizes = spec.box_sizes.iter().map(|f| self.size(f, "box", 1..=256)).collect::<Result<Vec<_>, _>>()?;
        Ok(TensorMap {
            memory,
            byte_offset,
            dtype: operand.dtype,
            dims,
            strides: byte_strides,
            box_sizes,
            swizzle: spec.swizzle,
            tf32: spec.tf32,
        })
    }
}
