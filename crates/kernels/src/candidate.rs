//! A candidate: a variant and a config, written `name[BM=128,BN=64]`.

use crate::Config;
use std::fmt;
use std::str::FromStr;

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Candidate {
    pub variant: String,
    pub config: Config,
}

/// Text that is not `name` or `name[A=1,B=2]`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a candidate: expected a variant's name, or name[PARAM=integer,…]")]
pub struct CandidateError(String);

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.config.is_empty() { f.write_str(&self.variant) } else { write!(f, "{}[{}]", self.variant, self.config) }
    }
}

impl FromStr for Candidate {
    type Err = CandidateError;
    fn from_str(s: &str) -> Result<Self, CandidateError> {
        let fail = || CandidateError(s.to_string());
        let (name, config) = match s.split_once('[') {
            None => (s, ""),
            Some((name, rest)) => (name, rest.strip_suffix(']').ok_or_else(fail)?),
        };
        if name.is_empty() || name.contains(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
            return Err(fail());
        }
        let config = config.parse().map_err(|_| fail())?;
        Ok(Candidate { variant: name.to_string(), config })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_parses_back() {
        for text in ["naive", "mma[BM=128,STAGES=4]"] {
            assert_eq!(text.parse::<Candidate>().unwrap().to_string(), text);
        }
        for text in ["", "mma[", "mma[BM]", "a b", "mma[BM=1"] {
            assert!(text.parse::<Candidate>().is_err(), "{text}");
        }
    }
}
