//! What the lab measures: one problem, or a chain of problems where each step's output is the
//! next step's first operand. A chain is written `P > Q`.

use kernelsmith_core::{Problem, ProblemError};
use std::fmt;

#[derive(Clone, Debug, PartialEq)]
pub struct Work(Vec<Problem>);

impl Work {
    /// Reads a problem or a chain.
    ///
    /// # Errors
    /// A problem that does not parse, or a step whose first operand is not the output before it.
    pub fn parse(op: &str, text: &str) -> Result<Work, ProblemError> {
        let steps = text.split('>').map(|t| Problem::parse(op, t.trim())).collect::<Result<Vec<_>, _>>()?;
        for pair in steps.windows(2) {
            let (output, input) = (pair[0].output(), pair[1].operands().swap_remove(0));
            if (output.layout, output.dtype) != (input.layout, input.dtype) {
                return Err(ProblemError::Invalid {
                    problem: text.to_string(),
                    reason: format!(
                        "a step gives {} {:?}, the next one takes {} {:?}",
                        output.dtype, output.layout, input.dtype, input.layout
                    ),
                });
            }
        }
        Ok(Work(steps))
    }

    pub fn steps(&self) -> &[Problem] {
        &self.0
    }

    pub fn is_chain(&self) -> bool {
        self.0.len() > 1
    }

    pub fn op(&self) -> &'static str {
        self.0[0].op()
    }

    pub fn flops(&self) -> f64 {
        self.0.iter().map(|p| p.flops()).sum()
    }

    /// Fewest bytes that must cross device memory.
    pub fn bytes(&self) -> f64 {
        self.0.iter().map(|p| p.bytes()).sum()
    }

    /// Bytes of every operand's buffer.
    pub fn buffer_bytes(&self) -> usize {
        self.0.iter().flat_map(|p| p.operands()).map(|o| o.bytes()).sum()
    }
}

impl From<Problem> for Work {
    fn from(problem: Problem) -> Self {
        Work(vec![problem])
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<String> = self.0.iter().map(|p| p.text()).collect();
        f.write_str(&texts.join(" > "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_must_fit_together() {
        let w = Work::parse("gemm", "m=256,n=128,k=784,dtype=f32 > m=256,n=10,k=128,dtype=f32").unwrap();
        assert_eq!(w.steps().len(), 2);
        assert_eq!(Work::parse("gemm", &w.to_string()).unwrap(), w);
        assert!(Work::parse("gemm", "m=2,n=3,k=4,dtype=f32 > m=2,n=3,k=4,dtype=f32").is_err());
        assert!(Work::parse("gemm", "m=2,n=3,k=4,dtype=f32 >").is_err());
    }
}
