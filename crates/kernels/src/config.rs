//! A config: one assignment of a variant's parameters.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Parameter names and values, in name order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Config(BTreeMap<String, i64>);

/// Text that is not `NAME=1,OTHER=2`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a config: expected NAME=integer pairs joined by commas")]
pub struct ConfigError(String);

impl Config {
    pub fn new(values: impl IntoIterator<Item = (String, i64)>) -> Self {
        Config(values.into_iter().collect())
    }

    /// The value of a parameter, if the variant has it.
    pub fn get(&self, name: &str) -> Option<i64> {
        self.0.get(name).copied()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, i64)> {
        self.0.iter().map(|(k, v)| (k.as_str(), *v))
    }

    /// The same config with one parameter changed.
    pub fn with(&self, name: &str, value: i64) -> Self {
        let mut out = self.clone();
        out.0.insert(name.to_string(), value);
        out
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (name, value)) in self.iter().enumerate() {
            write!(f, "{}{name}={value}", if i > 0 { "," } else { "" })?;
        }
        Ok(())
    }
}

impl FromStr for Config {
    type Err = ConfigError;
    fn from_str(s: &str) -> Result<Self, ConfigError> {
        let pair = |part: &str| {
            let (name, value) = part.split_once('=')?;
            Some((name.trim().to_string(), value.trim().parse().ok()?))
        };
        s.split(',')
            .filter(|p| !p.trim().is_empty())
            .map(|p| pair(p).ok_or_else(|| ConfigError(s.to_string())))
            .collect::<Result<_, _>>()
            .map(Config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_parses_back() {
        let c: Config = "BN=64,BM=128".parse().unwrap();
        assert_eq!((c.get("BM"), c.get("BK"), c.to_string().as_str()), (Some(128), None, "BM=128,BN=64"));
        assert_eq!("".parse::<Config>().unwrap(), Config::default());
        assert!("BM".parse::<Config>().is_err() && "BM=x".parse::<Config>().is_err());
    }
}
