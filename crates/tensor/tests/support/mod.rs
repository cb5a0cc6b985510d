//! What the property tests share: random numbers, a naive host model of tensors, random views.
#![allow(dead_code)]

use kernelsmith::{DType, Device, Tensor};
use kernelsmith_core::HostArray;

pub fn device() -> Device {
    Device::best().unwrap()
}

pub const FLOATS: [DType; 4] = [DType::F32, DType::F64, DType::F16, DType::BF16];

/// SplitMix64: a case is its seed.
pub struct Draws(pub u64);

impl Draws {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In 0..n.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    pub fn chance(&mut self, one_in: usize) -> bool {
        self.below(one_in) == 0
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// Uniform in [low, high).
    pub fn real(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * ((self.next() >> 11) as f64 / (1u64 << 53) as f64)
    }

    /// Sizes 1 to 6, now and then 0; few elements in all.
    pub fn shape(&mut self, ranks: std::ops::RangeInclusive<usize>) -> Vec<usize> {
        let rank = ranks.start() + self.below(ranks.end() - ranks.start() + 1);
        let mut shape: Vec<usize> = (0..rank).map(|_| 1 + self.below(6)).collect();
        while shape.iter().product::<usize>() > 600 {
            let d = self.below(rank);
            shape[d] = 1 + self.below(3);
        }
        if rank > 0 && self.chance(25) {
            let d = self.below(rank);
            shape[d] = 0;
        }
        shape
    }

    pub fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut p: Vec<usize> = (0..n).collect();
        for i in (1..n).rev() {
            p.swap(i, self.below(i + 1));
        }
        p
    }
}

/// Every multi-index of a shape in row-major order.
pub fn points(shape: &[usize]) -> Vec<Vec<usize>> {
    let n: usize = shape.iter().product();
    let unravel = |mut i: usize| {
        let mut index = vec![0; shape.len()];
        for d in (0..shape.len()).rev() {
            index[d] = i % shape[d];
            i /= shape[d];
        }
        index
    };
    (0..n).map(unravel).collect()
}

/// A tensor as a person would write it down: a shape and numbers in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    pub shape: Vec<usize>,
    pub values: Vec<f64>,
}

impl Model {
    pub fn new(shape: &[usize], values: Vec<f64>) -> Model {
        assert_eq!(shape.iter().product::<usize>(), values.len());
        Model { shape: shape.to_vec(), values }
    }

    pub fn from_fn(shape: &[usize], f: impl FnMut(&[usize]) -> f64) -> Model {
        let mut f = f;
        Model { shape: shape.to_vec(), values: points(shape).iter().map(|p| f(p)).collect() }
    }

    pub fn at(&self, index: &[usize]) -> f64 {
        assert_eq!(index.len(), self.shape.len());
        let at = index.iter().zip(&self.shape).fold(0, |at, (i, n)| {
            assert!(i < n);
            at * n + i
        });
        self.values[at]
    }

    pub fn len(&self) -> usize {
        self.values.len()
    }

    pub fn map(&self, f: impl Fn(f64) -> f64) -> Model {
        Model { shape: self.shape.clone(), values: self.values.iter().map(|x| f(*x)).collect() }
    }

    pub fn zip(&self, other: &Model, f: impl Fn(f64, f64) -> f64) -> Model {
        let shape = broadcast(&self.shape, &other.shape).unwrap();
        let (a, b) = (self.broadcast(&shape), other.broadcast(&shape));
        Model { shape, values: a.values.iter().zip(&b.values).map(|(x, y)| f(*x, *y)).collect() }
    }

    pub fn broadcast(&self, shape: &[usize]) -> Model {
        let lead = shape.len() - self.shape.len();
        Model::from_fn(shape, |p| {
            let index: Vec<usize> =
                self.shape.iter().zip(&p[lead..]).map(|(n, i)| if *n == 1 { 0 } else { *i }).collect();
            self.at(&index)
        })
    }

    pub fn permute(&self, axes: &[usize]) -> Model {
        let shape: Vec<usize> = axes.iter().map(|a| self.shape[*a]).collect();
        Model::from_fn(&shape, |p| {
            let mut index = vec![0; p.len()];
            axes.iter().zip(p).for_each(|(a, i)| index[*a] = *i);
            self.at(&index)
        })
    }

    /// Axis `axis` of the result has `size` elements, the i-th of which is element `from(i)`.
    pub fn along(&self, axis: usize, size: usize, from: impl Fn(usize) -> usize) -> Model {
        let mut shape = self.shape.clone();
        shape[axis] = size;
        Model::from_fn(&shape, |p| {
            let mut index = p.to_vec();
            index[axis] = from(p[axis]);
            self.at(&index)
        })
    }

    pub fn reshape(&self, shape: &[usize]) -> Model {
        Model::new(shape, self.values.clone())
    }

    /// The elements that become each element of the result when `axes` are reduced, in row-major order.
    pub fn groups(&self, axes: &[usize]) -> (Vec<usize>, Vec<Vec<f64>>) {
        let kept: Vec<usize> = (0..self.shape.len()).filter(|d| !axes.contains(d)).collect();
        let outer: Vec<usize> = kept.iter().map(|d| self.shape[*d]).collect();
        let mut inner_axes = axes.to_vec();
        inner_axes.sort_unstable();
        let inner: Vec<usize> = inner_axes.iter().map(|d| self.shape[*d]).collect();
        let group = |o: &Vec<usize>| {
            let one = |i: &Vec<usize>| {
                let mut index = vec![0; self.shape.len()];
                kept.iter().zip(o).for_each(|(d, x)| index[*d] = *x);
                inner_axes.iter().zip(i).for_each(|(d, x)| index[*d] = *x);
                self.at(&index)
            };
            points(&inner).iter().map(one).collect()
        };
        (outer.clone(), points(&outer).iter().map(group).collect())
    }
}

/// The shape that two broadcast to.
pub fn broadcast(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let rank = a.len().max(b.len());
    let size = |s: &[usize], d: usize| if d + s.len() >= rank { s[d + s.len() - rank] } else { 1 };
    (0..rank)
        .map(|d| match (size(a, d), size(b, d)) {
            (x, y) if x == y => Some(x),
            (1, y) => Some(y),
            (x, 1) => Some(x),
            _ => None,
        })
        .collect()
}

/// A tensor and what it must be.
#[derive(Clone)]
pub struct Pair {
    pub t: Tensor,
    pub m: Model,
}

impl Pair {
    /// A tensor of the values, rounded to the dtype.
    pub fn of(m: Model, dtype: DType, device: &Device) -> Pair {
        let array = HostArray::from_fn(dtype, m.len(), |i| m.values[i]);
        let t = Tensor::from_array(&array, &m.shape, device).unwrap();
        Pair { t, m: m.map(|x| dtype.round(x)) }
    }

    pub fn random(rng: &mut Draws, shape: &[usize], dtype: DType, device: &Device, low: f64, high: f64) -> Pair {
        Pair::of(Model::from_fn(shape, |_| rng.real(low, high)), dtype, device)
    }

    /// One random view, or a reshape that may copy.
    pub fn view(self, rng: &mut Draws) -> Pair {
        let Pair { t, m } = self;
        let rank = m.shape.len();
        let negative = rng.chance(2);
        let axis = |d: usize| if negative { d as isize - rank as isize } else { d as isize };
        let d = rng.below(rank);
        match rng.below(9) {
            0 if rank > 0 => {
                let e = rng.below(rank);
                let mut axes: Vec<usize> = (0..rank).collect();
                axes.swap(d, e);
                Pair { t: t.transpose(axis(d), axis(e)).unwrap(), m: m.permute(&axes) }
            }
            1 => {
                let axes = rng.permutation(rank);
                Pair { t: t.permute(&axes).unwrap(), m: m.permute(&axes) }
            }
            2 if rank > 0 => {
                let n = m.shape[d];
                let start = rng.below(n + 1);
                let end = start + rng.below(n - start + 1);
                // Empty ones are rare, or nothing would be left to look at.
                let (start, end) = if start == end && !rng.chance(20) { (0, n) } else { (start, end) };
                let step = 1 + rng.below(3);
                let size = (end - start).div_ceil(step);
                let t = t.slice_step(axis(d), start..end, step).unwrap();
                Pair { t, m: m.along(d, size, |i| start + i * step) }
            }
            3 if rank > 0 => {
                let n = m.shape[d];
                Pair { t: t.flip(axis(d)).unwrap(), m: m.along(d, n, |i| n - 1 - i) }
            }
            4 if rank < 6 => {
                let at = rng.below(rank + 1);
                let mut shape = m.shape.clone();
                shape.insert(at, 1);
                let at = if negative { at as isize - rank as isize - 1 } else { at as isize };
                Pair { t: t.unsqueeze(at).unwrap(), m: m.reshape(&shape) }
            }
            5 if rank > 0 && m.shape[d] == 1 => {
                let mut shape = m.shape.clone();
                shape.remove(d);
                Pair { t: t.squeeze(axis(d)).unwrap(), m: m.reshape(&shape) }
            }
            6 => {
                let mut shape: Vec<usize> =
                    m.shape.iter().map(|n| if *n == 1 && rng.chance(2) { 1 + rng.below(3) } else { *n }).collect();
                if rank < 5 && rng.chance(3) {
                    shape.insert(0, 1 + rng.below(3));
                }
                if shape.iter().product::<usize>() > 4000 {
                    return Pair { t, m };
                }
                Pair { t: t.broadcast_to(&shape).unwrap(), m: m.broadcast(&shape) }
            }
            7 if rank > 0 && m.shape[d] > 0 => {
                let size = 1 + rng.below(m.shape[d]);
                let pieces = t.split(axis(d), size).unwrap();
                assert_eq!(pieces.len(), m.shape[d].div_ceil(size));
                let i = rng.below(pieces.len());
                let n = pieces[i].shape()[d];
                Pair { t: pieces[i].clone(), m: m.along(d, n, |j| i * size + j) }
            }
            8 => {
                let mut shape = m.shape.clone();
                if rank > 1 && rng.chance(2) {
                    let d = rng.below(rank - 1);
                    let n = shape.remove(d);
                    shape[d] *= n;
                } else if let Some(d) = (0..rank).find(|d| shape[*d] > 3 && shape[*d] % 2 == 0 && rank < 6) {
                    shape[d] /= 2;
                    shape.insert(d, 2);
                } else {
                    shape = vec![m.len()];
                }
                Pair { t: t.reshape(&shape).unwrap(), m: m.reshape(&shape) }
            }
            _ => Pair { t, m },
        }
    }

    /// Up to four random views.
    pub fn views(self, rng: &mut Draws) -> Pair {
        (0..rng.below(5)).fold(self, |p, _| p.view(rng))
    }

    /// Views whose shape is the same again: a permutation, a flip and slices undone by nothing.
    pub fn arranged(rng: &mut Draws, shape: &[usize], dtype: DType, device: &Device, low: f64, high: f64) -> Pair {
        let rank = shape.len();
        let axes = rng.permutation(rank);
        let mut inverse = vec![0; rank];
        axes.iter().enumerate().for_each(|(d, a)| inverse[*a] = d);
        // A buffer with the axes in another order and room around each.
        let step = 1 + rng.below(2);
        let room: Vec<(usize, usize)> = (0..rank).map(|_| (rng.below(2), rng.below(2))).collect();
        let stored: Vec<usize> = axes.iter().map(|a| shape[*a] * step + room[*a].0 + room[*a].1).collect();
        let mut p = Pair::random(rng, &stored, dtype, device, low, high);
        p = Pair { t: p.t.permute(&inverse).unwrap(), m: p.m.permute(&inverse) };
        for d in 0..rank {
            let (start, n) = (room[d].0, shape[d]);
            let t = p.t.slice_step(d as isize, start..start + n * step, step).unwrap();
            p = Pair { t, m: p.m.along(d, n, |i| start + i * step) };
            if rng.chance(3) {
                p = Pair { t: p.t.flip(d as isize).unwrap(), m: p.m.along(d, n, |i| n - 1 - i) };
            }
        }
        assert_eq!(p.m.shape, shape);
        p
    }
}

/// The unit roundoff that sums and functions of a dtype are computed with.
pub fn arithmetic_unit(dtype: DType) -> f64 {
    if dtype == DType::F64 { DType::F64.unit_roundoff() } else { DType::F32.unit_roundoff() }
}

/// What storing `y` as `dtype` may add, besides rounding in the arithmetic.
pub fn storing(dtype: DType, y: f64) -> f64 {
    if !dtype.is_float() {
        return 0.0;
    }
    dtype.unit_roundoff() * y.abs() + dtype.underflow_error() + f64::from(f32::MIN_POSITIVE)
}

/// Checks shape and values; `error(i)` is how far the i-th element may be off.
pub fn check(what: &str, t: &Tensor, m: &Model, error: impl Fn(usize) -> f64) {
    assert_eq!(t.shape(), m.shape, "{what}");
    assert_eq!(t.len(), m.len(), "{what}");
    let array = t.to_array().unwrap_or_else(|e| panic!("{what}: {e}"));
    assert_eq!(array.dtype(), t.dtype(), "{what}");
    assert_eq!(array.len(), m.len(), "{what}");
    let max = t.dtype().max_finite();
    for i in 0..m.len() {
        let (got, want, error) = (array.get(i), m.values[i], error(i));
        let fits = if want.is_nan() || got.is_nan() {
            want.is_nan() && got.is_nan()
        } else if got == want {
            true
        } else if got.is_infinite() {
            got.signum() == want.signum() && want.abs() + error > max * (1.0 - t.dtype().unit_roundoff())
        } else {
            (got - want).abs() <= error
        };
        assert!(fits, "{what}: element {i} of {:?} is {got:e}, expected {want:e} ± {error:e}\n{t:?}", m.shape);
    }
}

/// [`check`] where nothing is rounded.
pub fn exact(what: &str, t: &Tensor, m: &Model) {
    check(what, t, m, |_| 0.0);
}

/// Checks a result through random views, now and then with more element-wise work after them, so
/// that the planner has to look through the views.
pub fn finish(rng: &mut Draws, what: &str, t: &Tensor, m: Model, errors: Vec<f64>) {
    let seed = rng.next();
    let errors = Model::new(&m.shape, errors);
    assert_eq!(t.shape(), m.shape, "{what}");
    let seen = Pair { t: t.clone(), m }.views(&mut Draws(seed));
    let errors = Pair { t: t.clone(), m: errors }.views(&mut Draws(seed)).m;
    let touched = match (rng.below(3), t.dtype()) {
        (0, DType::Bool) => seen.t.logical_not().unwrap().logical_not().unwrap(),
        (0, d) if !d.is_float() => seen.t.add(0).unwrap(),
        (0, _) => seen.t.mul(1.0).unwrap(),
        _ => seen.t.clone(),
    };
    check(what, &touched, &seen.m, |i| errors.values[i]);
}
