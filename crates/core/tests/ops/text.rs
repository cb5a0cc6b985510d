//! Text forms: they read back, and damaged ones are errors that name what is wrong.

use super::problems;
use kernelsmith_core::Problem;
use proptest::prelude::*;

fn any_problem(seed: u64) -> Problem {
    match seed % 5 {
        0 => Problem::new(problems::map(seed)),
        1 => Problem::new(problems::reduce(seed)),
        2 => Problem::new(problems::row(seed)),
        3 => Problem::new(problems::attention(seed)),
        _ => Problem::new(problems::gather(seed)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn any_problem_reads_back(seed in any::<u64>()) {
        let problem = any_problem(seed);
        let again = Problem::parse(problem.op(), &problem.text());
        let again = again.map_err(|e| TestCaseError::fail(format!("{problem:?}: {e}")))?;
        prop_assert_eq!(&again, &problem);
        prop_assert_eq!(again.fingerprint(), problem.fingerprint());
        prop_assert_eq!(again.class(), problem.class());
    }

    #[test]
    fn edge_cases_read_back(seed in any::<u64>()) {
        for edge in any_problem(seed).edge_cases() {
            prop_assert_eq!(&Problem::parse(edge.op(), &edge.text()).unwrap(), &edge);
        }
    }

    #[test]
    fn damaged_text_is_an_error_or_a_problem(seed in any::<u64>(), at in any::<prop::sample::Index>(), byte in 32u8..127) {
        let problem = any_problem(seed);
        let text = problem.text();
        let at = at.index(text.len());
        let mut bytes = text.clone().into_bytes();
        bytes[at] = byte;
        for damaged in [String::from_utf8(bytes).unwrap(), text[..at].to_string(), text[at..].to_string()] {
            if let Ok(other) = Problem::parse(problem.op(), &damaged) {
                prop_assert_eq!(Problem::parse(problem.op(), &other.text()).unwrap(), other);
            }
        }
    }
}

#[test]
fn errors_name_what_is_wrong() {
    for (op, text, needle) in [
        ("map", "shape=4,expr=x0,x0=f32", "key `out` is missing"),
        ("map", "shape=4x,expr=x0,x0=f32,out=f32", "shape=4x"),
        ("map", "shape=4,expr=x1,x0=f32,out=f32", "reads x1, there are 1 inputs"),
        ("map", "shape=4,expr=add(x0,i1),x0=f32,out=f32", "reads i1, the space has rank 1"),
        ("map", "shape=4,expr=v,out=f32", "reads v"),
        ("map", "shape=4,expr=foo(x0),x0=f32,out=f32", "at byte 0"),
        ("map", "shape=4,expr=x0,x0=f33,out=f32", "x0=f33"),
        ("map", "shape=4,expr=x0,x0=f32@0:1:1,out=f32", "x0=f32@0:1:1"),
        ("map", "shape=4,expr=x0,x0=f32@0:-1,out=f32", "inside the buffer"),
        ("map", "shape=4,expr=x0,x1=f32,out=f32", "without a hole"),
        ("map", "shape=0x4,expr=1.0,out=f32", "empty"),
        ("map", "shape=4,expr=1.0,out=f32@0:0", "overlap"),
        ("map", "shape=4,expr=1.0,out=f32,shape=5", "given twice"),
        ("map", "shape=4,expr=1.0,out=f32,size=5", "unknown key `size`"),
        ("map", "shape=4,expr=1.0,out", "is not key=value"),
        ("map", "shape=4611686018427387904x8,expr=1.0,out=f32", "out"),
        ("reduce", "kind=mean,outer=4,inner=4,x0=f32,out=f32", "kind=mean"),
        ("reduce", "kind=sum,outer=4,x0=f32,out=f32", "`inner` is missing"),
        ("reduce", "kind=sum,outer=4,inner=0,x0=f32,out=f32", "empty"),
        ("reduce", "kind=sum,outer=4,inner=4,post=add(v,x0),x0=f32,out=f32", "post reads x0"),
        ("reduce", "kind=sum,outer=4,inner=4,post=i1,x0=f32,out=f32", "reads i1"),
        ("row", "kind=softmax,rows=4,x0=f32,out=f32", "`columns` is missing"),
        ("row", "kind=softmin,rows=4,columns=4,x0=f32,out=f32", "kind=softmin"),
        ("row", "kind=softmax,rows=4,columns=4,label=1,x0=f32,out=f32", "label=x1 does not exist"),
        ("row", "kind=softmax,rows=4,columns=4,label=0,x0=f32,out=f32", "expected an i32 input"),
        ("row", "kind=layer_norm,rows=4,columns=4,eps=-1,x0=f32,out=f32", "eps=-1"),
        ("row", "kind=layer_norm,rows=4,columns=0,x0=f32,out=f32", "columns=0"),
        ("gather", "shape=4x4,axis=2,size=4,x=f32,index=i32,out=f32", "axis=2"),
        ("gather", "shape=4x4,axis=0,size=4,x=f32,index=f32,out=f32", "index has dtype f32"),
        ("gather", "shape=4x4,axis=0,size=4,x=f32,index=i32,out=f16", "expected the same"),
        ("scatter_add", "shape=4x4,axis=0,size=4,x=i32,index=i32,out=i32", "sums are not defined"),
        ("scatter_add", "shape=4x4,axis=0,size=4,x=f32,index=i32,out=f32@0:0:1", "overlap"),
        ("attention", "heads=2,queries=3,keys=4,dtype=f16", "`head` is missing"),
        ("attention", "heads=2,queries=3,keys=0,head=8,dtype=f16", "keys=0"),
        ("attention", "heads=3,kv_heads=2,queries=3,keys=4,head=8,dtype=f16", "no multiple of kv_heads=2"),
        ("attention", "heads=2,queries=5,keys=4,head=8,dtype=f16,causal=1", "queries=5 over keys=4"),
        ("attention", "heads=2,queries=3,keys=4,head=8,dtype=f64", "f32, f16 or bf16"),
        ("attention", "heads=2,queries=3,keys=4,head=8,dtype=f16,causal=yes", "expected 0 or 1"),
        ("attention", "heads=2,queries=3,keys=4,head=8,dtype=f16,order=hbsd", "bhsd or bshd"),
        ("attention", "heads=2,queries=3,keys=4,head=8,dtype=f16,scale=inf", "a finite number"),
        ("attention", "heads=2,queries=3,keys=4,head=8,dtype=f16,k=0@1:2:3", "offset@batch:head:row:column"),
        ("attention", "heads=2,queries=3,keys=4,head=8,dtype=f16,out=0@0:0:8:1", "overlap"),
        ("attention", "heads=2,queries=3,keys=4,head=8,dtype=f16,mask=1", "unknown key `mask`"),
        ("convolve", "shape=4", "unknown op `convolve`"),
    ] {
        let error = Problem::parse(op, text).map(|p| p.text()).expect_err(text).to_string();
        assert!(error.contains(needle), "{op} {text}: {error}");
    }
}
