//! What the lab measures: one problem, or a chain of problems that take each other's results.
//!
//! A chain is written `P > Q`: Q's first operand is P's output, or begins where that does. Steps may be of other
//! ops, named before the problem, and take more than the step before gives: `with NAME=K` says that the operand
//! is the output of the K-th step, `with NAME=K.OPERAND` that it is what that step takes. So
//!
//! ```text
//! m=1,n=8,k=4,dtype=f32 > map shape=4,expr=mul(x0,x1),x0=f32,x1=f32@4:1,out=f32 with x1=1 > m=1,n=4,k=4,dtype=f32,beta=1.0 with c=1.a
//! ```
//!
//! is a product, the first half of its result times the second, and another product with the first one's A added.

use kernelsmith_core::{Operand, Problem, ProblemError};
use std::fmt;

/// Where an operand of a step comes from: an earlier step, and which of its operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    pub operand: usize,
    /// Steps count from 0 here, from 1 in text.
    pub step: usize,
    /// The source's operand; its output is the last one.
    pub source: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Work {
    steps: Vec<Problem>,
    /// Of each step: what it takes from earlier ones.
    links: Vec<Vec<Link>>,
}

impl Work {
    /// Reads a problem or a chain; `op` is that of steps that name none.
    ///
    /// # Errors
    /// A problem that does not parse, or an operand that what it is taken from does not hold.
    pub fn parse(op: &str, text: &str) -> Result<Work, ProblemError> {
        let mut work = Work { steps: Vec::new(), links: Vec::new() };
        for step in text.split('>').map(str::trim) {
            work.push(op, step).map_err(|error| match error {
                // Of a single problem the error is its own.
                Failed::Problem(error) => error,
                Failed::Link(reason) => ProblemError::Invalid { problem: text.to_string(), reason },
            })?;
        }
        Ok(work)
    }

    fn push(&mut self, op: &str, text: &str) -> Result<(), Failed> {
        let (problem, taken) = match text.split_once(" with ") {
            Some((problem, taken)) => (problem.trim(), taken.split(',').map(str::trim).collect()),
            None => (text, Vec::new()),
        };
        // A problem has no spaces before its first `=`.
        let named = problem.split_once(' ').filter(|(name, _)| !name.contains('='));
        let (op, problem) = named.map_or((op, problem), |(op, rest)| (op, rest.trim()));
        let problem = Problem::parse(op, problem).map_err(Failed::Problem)?;
        let mut links: Vec<Link> = Vec::new();
        for word in taken {
            let link = self.link(&problem, word)?;
            if links.iter().any(|l| l.operand == link.operand) {
                return Err(Failed::Link(format!("`{word}`: the operand is taken from two places")));
            }
            links.push(link);
        }
        if let Some(step) = self.steps.len().checked_sub(1)
            && links.iter().all(|l| l.operand != 0)
        {
            let source = self.steps[step].operands().len() - 1;
            links.insert(0, self.checked(&problem, Link { operand: 0, step, source })?);
        }
        self.steps.push(problem);
        self.links.push(links);
        Ok(())
    }

    /// Reads `c=1` or `c=1.a`.
    fn link(&self, problem: &Problem, word: &str) -> Result<Link, Failed> {
        let bad = |reason: &str| Failed::Link(format!("`with {word}`: {reason}"));
        let (name, from) = word.split_once('=').ok_or_else(|| bad("expected OPERAND=STEP or OPERAND=STEP.OPERAND"))?;
        let position = |problem: &Problem, name: &str| problem.operands().iter().position(|o| o.name == name);
        let operand = position(problem, name.trim()).filter(|i| i + 1 < problem.operands().len());
        let operand = operand.ok_or_else(|| bad("the step has no such input"))?;
        let (step, source) = from.split_once('.').map_or((from, None), |(step, source)| (step, Some(source)));
        let step = step.trim().parse::<usize>().ok().and_then(|k| k.checked_sub(1)).filter(|k| *k < self.steps.len());
        let step = step.ok_or_else(|| bad("expected the number of an earlier step, the first is 1"))?;
        let source = match source {
            None => self.steps[step].operands().len() - 1,
            Some(name) => {
                let found = position(&self.steps[step], name.trim());
                found.ok_or_else(|| bad("that step has no such operand"))?
            }
        };
        self.checked(problem, Link { operand, step, source })
    }

    fn checked(&self, problem: &Problem, link: Link) -> Result<Link, Failed> {
        let taken = &problem.operands()[link.operand];
        let given = &self.steps[link.step].operands()[link.source];
        if taken.dtype == given.dtype && taken.layout.span() <= given.layout.span() {
            return Ok(link);
        }
        Err(Failed::Link(format!(
            "step {} takes {} {:?} as `{}`, `{}` of step {} is {} {:?}",
            self.steps.len() + 1,
            taken.dtype,
            taken.layout,
            taken.name,
            given.name,
            link.step + 1,
            given.dtype,
            given.layout
        )))
    }

    pub fn steps(&self) -> &[Problem] {
        &self.steps
    }

    /// What a step takes from earlier ones.
    pub fn links(&self, step: usize) -> &[Link] {
        &self.links[step]
    }

    pub fn is_chain(&self) -> bool {
        self.steps.len() > 1
    }

    pub fn op(&self) -> &'static str {
        self.steps[0].op()
    }

    pub fn flops(&self) -> f64 {
        self.steps.iter().map(|p| p.flops()).sum()
    }

    /// Fewest bytes that must cross device memory.
    pub fn bytes(&self) -> f64 {
        self.steps.iter().map(|p| p.bytes()).sum()
    }

    /// Every operand that has a buffer of its own.
    pub fn operands(&self) -> impl Iterator<Item = Operand> + '_ {
        self.steps.iter().zip(&self.links).flat_map(|(problem, links)| {
            let own = move |i: usize| links.iter().all(|l| l.operand != i);
            problem.operands().into_iter().enumerate().filter(move |(i, _)| own(*i)).map(|(_, o)| o)
        })
    }

    /// Bytes of every operand's buffer.
    pub fn buffer_bytes(&self) -> usize {
        self.operands().map(|o| o.bytes()).sum()
    }
}

enum Failed {
    Problem(ProblemError),
    Link(String),
}

impl From<Problem> for Work {
    fn from(problem: Problem) -> Self {
        Work { steps: vec![problem], links: vec![Vec::new()] }
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (s, (problem, links)) in self.steps.iter().zip(&self.links).enumerate() {
            if s > 0 {
                f.write_str(" > ")?;
            }
            if problem.op() != self.op() {
                write!(f, "{} ", problem.op())?;
            }
            write!(f, "{problem}")?;
            let mut word = " with ";
            for link in links {
                let given = self.steps[link.step].operands();
                let output = link.source + 1 == given.len();
                if link.operand == 0 && link.step + 1 == s && output {
                    continue;
                }
                write!(f, "{word}{}={}", problem.operands()[link.operand].name, link.step + 1)?;
                if !output {
                    write!(f, ".{}", given[link.source].name)?;
                }
                word = ",";
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BLOCK: &str = "m=1,n=8,k=4,dtype=f32 > map shape=4,expr=mul(x0,x1),x0=f32,x1=f32@4:1,out=f32 with x1=1 > m=1,n=4,k=4,dtype=f32,beta=1.0 with c=1.a";

    #[test]
    fn a_chain_must_fit_together() {
        let w = Work::parse("gemm", "m=256,n=128,k=784,dtype=f32 > m=256,n=10,k=128,dtype=f32").unwrap();
        assert_eq!(w.steps().len(), 2);
        assert_eq!(w.links(1), [Link { operand: 0, step: 0, source: 2 }]);
        assert_eq!(Work::parse("gemm", &w.to_string()).unwrap(), w);
        assert!(Work::parse("gemm", "m=2,n=3,k=4,dtype=f32 > m=2,n=3,k=4,dtype=f32").is_err());
        assert!(Work::parse("gemm", "m=2,n=3,k=4,dtype=f32 >").is_err());
        assert!(Work::parse("gemm", "m=2,n=3,k=4,dtype=f32 > m=2,n=3,k=3,dtype=f16").is_err());
    }

    #[test]
    fn steps_take_what_earlier_ones_gave_or_took() {
        let w = Work::parse("gemm", BLOCK).unwrap();
        assert_eq!(w.op(), "gemm");
        assert_eq!(w.steps().iter().map(|p| p.op()).collect::<Vec<_>>(), ["gemm", "map", "gemm"]);
        let link = |operand, step, source| Link { operand, step, source };
        assert_eq!(w.links(1), [link(0, 0, 2), link(1, 0, 2)]);
        assert_eq!(w.links(2), [link(0, 1, 2), link(2, 0, 0)]);
        assert_eq!(Work::parse("gemm", &w.to_string()).unwrap(), w, "{w}");
        let own: Vec<String> = w.operands().map(|o| o.name).collect();
        assert_eq!(own, ["a", "b", "d", "out", "b", "d"]);
        let refused = |text: &str| Work::parse("gemm", text).unwrap_err().to_string();
        for (with, why) in [
            ("c", "OPERAND=STEP"),
            ("d=1", "no such input"),
            ("c=0", "the first is 1"),
            ("c=2", "the first is 1"),
            ("c=1.z", "no such operand"),
            ("a=1.b,a=1.a", "two places"),
            ("b=1.a", "`a` of step 1"),
        ] {
            let text = format!("m=2,n=4,k=4,dtype=f32 > m=2,n=4,k=4,dtype=f32,beta=1.0 with {with}");
            let said = refused(&text);
            assert!(said.contains(why), "{with}: {said}");
        }
        assert!(refused("m=2,n=4,k=4,dtype=f32 > conv m=1").contains("unknown op `conv`"));
    }

    proptest! {
        #[test]
        fn no_text_panics(cut in 0usize..200, insert in "[ a-z0-9=.,>@:()]{0,6}") {
            let at = cut.min(BLOCK.len());
            let _ = Work::parse("gemm", &format!("{}{insert}{}", &BLOCK[..at], &BLOCK[at..]));
        }
    }
}
