//! A canonical problem computes the same numbers from the same buffers into the same places.

use super::naive::{self, Fault, arrays};
use super::problems;
use kernelsmith_core::HostArray;
use kernelsmith_core::inputs::Inputs;
use kernelsmith_core::ops::OpProblem;
use proptest::prelude::*;

/// The same bytes, save for what a NaN looks like.
fn same(a: &HostArray, b: &HostArray) -> bool {
    a.len() == b.len() && (0..a.len()).all(|i| a.get(i) == b.get(i) || (a.get(i).is_nan() && b.get(i).is_nan()))
}

fn families() -> impl Strategy<Value = Inputs> {
    prop::sample::select(&Inputs::ALL[..])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn map_means_the_same(seed in any::<u64>(), family in families()) {
        let p = problems::map(seed);
        let c = p.clone().canonical();
        prop_assert!(c.shape().len() <= p.shape().len() && c.clone().canonical() == c);
        prop_assert_eq!(c.arithmetic(), p.arithmetic());
        let x = arrays(&p.operands(), family, seed);
        prop_assert!(same(&naive::map(&p, &x, Fault::None), &naive::map(&c, &x, Fault::None)), "{} and {}", p.text(), c.text());
    }

    #[test]
    fn reduce_means_the_same(seed in any::<u64>(), family in families()) {
        let p = problems::reduce(seed);
        let c = p.clone().canonical();
        prop_assert!(c.shape().len() <= p.shape().len() && c.clone().canonical() == c);
        prop_assert_eq!((c.inner_len(), c.outer_len(), c.arithmetic()), (p.inner_len(), p.outer_len(), p.arithmetic()));
        let x = arrays(&p.operands(), family, seed);
        let [a, b] = [&p, &c].map(|p| naive::reduce(p, &x, Fault::None));
        prop_assert!(same(&a, &b), "{} and {}", p.text(), c.text());
    }

    #[test]
    fn row_means_the_same(seed in any::<u64>(), family in families()) {
        let p = problems::row(seed);
        let c = p.clone().canonical();
        prop_assert!(c.shape().len() <= p.shape().len() && c.clone().canonical() == c);
        prop_assert_eq!((c.rows(), c.columns(), c.arithmetic()), (p.rows(), p.columns(), p.arithmetic()));
        let x = arrays(&p.operands(), family, seed);
        let [a, b] = [&p, &c].map(|p| naive::row(p, &x, Fault::None));
        prop_assert!(same(&a, &b), "{} and {}", p.text(), c.text());
    }
}
