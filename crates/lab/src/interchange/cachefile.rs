//! Kernel Tuner's cachefile: one JSON object with the space in its head and an entry a config in
//! `cache`. A failed config has the name of an error where its time would be.

use super::fields::{Fields, FieldsOf};
use super::recording::{Column, Failure, Recording, Trial};
use super::{InterchangeError, content, shown, stem, syntax};
use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use std::fmt;
use std::path::Path;

/// Keys of an entry that are not parameters.
const TIMES: [&str; 5] = ["compile_time", "benchmark_time", "framework_time", "strategy_time", "verification_time"];

/// Costs from which on older files mean a failure.
const NEVER: f64 = 1e20;

/// Reads a cachefile's text. One that its tuner left open (it appends as it goes) is closed first.
pub fn parse(path: &Path, bytes: &[u8]) -> Result<Recording, InterchangeError> {
    let file = match read(bytes) {
        Ok(file) => file,
        Err(error) if error.is_eof() => {
            let open = bytes.trim_ascii_end();
            let open = open.strip_suffix(b",").unwrap_or(open);
            read(&[open, b"}}"].concat()).map_err(|_| syntax(path, &error))?
        }
        Err(error) => return Err(syntax(path, &error)),
    };
    let names = names(path, &file.head)?;
    let objective = match file.head.get("objective") {
        None => "time",
        Some(Value::String(name)) => name.as_str(),
        Some(other) => return Err(content(path, "`objective`", "the name of one measurement", shown(other))),
    };
    if objective != "time" {
        return Err(content(path, "`objective`", "`time`", format!("`{objective}`")));
    }
    let mut columns = Vec::new();
    for name in &names {
        let values = file.head.get("tune_params").and_then(|p| p.get(name)).and_then(Value::as_array);
        columns.push(Column { name: name.clone(), values: values.cloned().unwrap_or_default() });
    }
    let entries = file.entries.ok_or_else(|| content(path, "the file", "an object `cache`", "none"))?;
    let trials = entries.into_iter().map(|(key, e)| trial(path, &names, &key, e)).collect::<Result<Vec<_>, _>>()?;
    let text = |key: &str| file.head.text(key).filter(|t| !t.trim().is_empty()).map(str::to_string);
    let mut out = Recording {
        device: text("device_name").unwrap_or_else(|| stem(path)),
        kernel: text("kernel_name").unwrap_or_else(|| stem(path)),
        problem: file.head.get("problem_size").cloned().unwrap_or(Value::Null),
        columns,
        trials,
    };
    out.complete_columns();
    Ok(out)
}

fn names(path: &Path, head: &Fields) -> Result<Vec<String>, InterchangeError> {
    let expected = "a list of parameter names";
    let list = match (head.get("tune_params_keys"), head.get("tune_params")) {
        (Some(Value::Array(list)), _) => list.clone(),
        (Some(other), _) => return Err(content(path, "`tune_params_keys`", expected, shown(other))),
        (None, Some(Value::Object(map))) => map.keys().cloned().map(Value::String).collect(),
        (None, _) => return Err(content(path, "`tune_params_keys`", expected, "none")),
    };
    let mut out: Vec<String> = Vec::new();
    for item in list {
        match item {
            Value::String(name) if !out.contains(&name) => out.push(name),
            other => return Err(content(path, "`tune_params_keys`", "names, each once", shown(&other))),
        }
    }
    Ok(out)
}

fn trial(path: &Path, names: &[String], key: &str, entry: Fields) -> Result<Trial, InterchangeError> {
    let place = |what: &str| format!("entry `{}`, `{what}`", key.chars().take(80).collect::<String>());
    let mut config = Vec::with_capacity(names.len());
    for name in names {
        let value = entry.get(name).ok_or_else(|| content(path, place(name), "a value", "none"))?;
        if value.is_object() || value.is_array() {
            return Err(content(path, place(name), "a number or a name", shown(value)));
        }
        config.push(value.clone());
    }
    let outcome = match (entry.text("__error__"), entry.get("time")) {
        (Some(error), _) => Err(failure(error)),
        (None, Some(Value::String(error))) => Err(failure(error)),
        (None, Some(Value::Number(time))) => match time.as_f64() {
            Some(t) if t > 0.0 && t < NEVER => Ok(t),
            Some(t) if t >= NEVER => Err(Failure::Runtime),
            _ => return Err(content(path, place("time"), "a time above 0 or an error's name", time.to_string())),
        },
        (None, Some(Value::Null)) => Err(Failure::Runtime),
        (None, Some(other)) => {
            return Err(content(path, place("time"), "a time above 0 or an error's name", shown(other)));
        }
        (None, None) => return Err(content(path, place("time"), "a time above 0 or an error's name", "none")),
    };
    let [compile, benchmark, framework, strategy, verification] = TIMES.map(|t| entry.number(t).unwrap_or(0.0));
    let timestamp = entry.text("timestamp").map(str::to_string);
    let (verdict, error_over_bound) = (entry.text("verdict").map(str::to_string), entry.number("error_over_bound"));
    Ok(Trial {
        config,
        outcome,
        samples: entry.samples,
        compile,
        benchmark,
        framework,
        strategy,
        verification,
        timestamp,
        verdict,
        error_over_bound,
    })
}

fn failure(error: &str) -> Failure {
    match error {
        "InvalidConfig" => Failure::Constraints,
        "CompilationFailedConfig" => Failure::Compile,
        _ => Failure::Runtime,
    }
}

/// The text of a cachefile, closed, as its tuner writes it.
pub fn write(recording: &Recording) -> String {
    let names: Vec<&str> = recording.columns.iter().map(|c| c.name.as_str()).collect();
    let line = |key: &str, value: Value| format!("{}: {value}", Value::from(key));
    // The order of the parameters is the order of a key's values.
    let params: Vec<String> = recording.columns.iter().map(|c| line(&c.name, c.values.clone().into())).collect();
    let mut out = format!(
        "{{\n{},\n{},\n{},\n{},\n\"tune_params\": {{{}}},\n{},\n\"cache\": {{",
        line("device_name", recording.device.clone().into()),
        line("kernel_name", recording.kernel.clone().into()),
        line("problem_size", recording.problem.clone()),
        line("tune_params_keys", names.clone().into()),
        params.join(", "),
        line("objective", "time".into()),
    );
    for (i, trial) in recording.trials.iter().enumerate() {
        let mut fields: Vec<String> = names.iter().zip(&trial.config).map(|(n, v)| line(n, v.clone())).collect();
        match trial.outcome {
            Ok(time) => fields.push(line("time", time.into())),
            Err(failure) => {
                fields.push(line("time", error(failure).into()));
                fields.push(line("__error__", error(failure).into()));
            }
        }
        fields.push(line("times", trial.samples.clone().into()));
        let times = [trial.compile, trial.benchmark, trial.framework, trial.strategy, trial.verification];
        fields.extend(TIMES.iter().zip(times).map(|(name, ms)| line(name, ms.into())));
        fields.extend(trial.timestamp.iter().map(|t| line("timestamp", t.clone().into())));
        fields.extend(trial.verdict.iter().map(|v| line("verdict", v.clone().into())));
        fields.extend(trial.error_over_bound.iter().map(|e| line("error_over_bound", (*e).into())));
        let comma = if i > 0 { "," } else { "" };
        out += &format!("{comma}\n{}: {{{}}}", Value::from(recording.key(trial)), fields.join(", "));
    }
    // Kernel Tuner tells a closed file by these three characters.
    out + "}\n}"
}

/// A failure by the library's name for it.
fn error(failure: Failure) -> &'static str {
    match failure {
        Failure::Constraints => "InvalidConfig",
        Failure::Compile => "CompilationFailedConfig",
        Failure::Runtime | Failure::Timeout | Failure::Correctness => "RuntimeFailedConfig",
    }
}

struct File {
    head: Fields,
    entries: Option<Vec<(String, Fields)>>,
}

fn read(bytes: &[u8]) -> Result<File, serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let file = reader.deserialize_map(Head)?;
    reader.end()?;
    Ok(file)
}

struct Head;

impl<'de> Visitor<'de> for Head {
    type Value = File;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a cachefile's object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<File, A::Error> {
        let mut out = File { head: Fields::default(), entries: None };
        while let Some(key) = map.next_key::<String>()? {
            if key == "cache" {
                out.entries = Some(map.next_value_seed(Entries)?);
            } else {
                out.head.fields.push((key, map.next_value()?));
            }
        }
        Ok(out)
    }
}

struct Entries;

impl<'de> DeserializeSeed<'de> for Entries {
    type Value = Vec<(String, Fields)>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Entries {
    type Value = Vec<(String, Fields)>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object with an entry a config")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut out = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            out.push((key, map.next_value_seed(FieldsOf("times"))?));
        }
        Ok(out)
    }
}
