//! T4, results of a tuner: an object with a list `results`, an element a config.
//!
//! Published files differ from the schema in two places and both are read: `compilation` for
//! `compilation_time`, and a unit of time that is spelled `miliseconds` or not given at all.

use super::fields::{Fields, FieldsOf};
use super::recording::{Column, Failure, Recording, Trial};
use super::{InterchangeError, content, shown, stem, syntax};
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Value, json};
use std::fmt;
use std::path::Path;

/// Reads T4 results. They name neither kernel nor device: both are called after the file.
pub fn parse(path: &Path, bytes: &[u8]) -> Result<Recording, InterchangeError> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let file = reader.deserialize_map(Top).and_then(|f| reader.end().map(|()| f)).map_err(|e| syntax(path, &e))?;
    let results = file.results.ok_or_else(|| content(path, "the file", "a list `results`", "none"))?;
    let unit = file.metadata.as_ref().and_then(|m| m.get("timeunit")).and_then(Value::as_str);
    let scale = scale(path, "`metadata.timeunit`", unit.unwrap_or("milliseconds"))?;
    // Our own files say the parameters' order and values, which JSON objects do not keep.
    let listed = file.metadata.as_ref().and_then(|m| m.get("parameters")).and_then(Value::as_array);
    let column = |v: &Value| {
        let name = v.get("name")?.as_str()?.to_string();
        Some(Column { name, values: v.get("values")?.as_array()?.clone() })
    };
    let mut columns: Vec<Column> = listed.and_then(|l| l.iter().map(column).collect()).unwrap_or_default();
    let mut trials = Vec::with_capacity(results.len());
    for (i, result) in results.into_iter().enumerate() {
        trials.push(trial(path, &mut columns, i, result, scale)?);
    }
    let metadata = |key: &str| {
        let value = file.metadata.as_ref().and_then(|m| m.get(key));
        value.and_then(Value::as_str).map_or_else(|| stem(path), str::to_string)
    };
    let problem = file.metadata.as_ref().and_then(|m| m.get("problem_size")).cloned().unwrap_or(Value::Null);
    let (device, kernel) = (metadata("device_name"), metadata("kernel_name"));
    let mut out = Recording { device, kernel, problem, columns, trials };
    out.complete_columns();
    Ok(out)
}

/// Milliseconds in a unit.
fn scale(path: &Path, place: &str, unit: &str) -> Result<f64, InterchangeError> {
    match unit.to_ascii_lowercase().as_str() {
        "" | "ms" | "milliseconds" | "miliseconds" => Ok(1.0),
        "us" | "µs" | "microseconds" => Ok(1e-3),
        "ns" | "nanoseconds" => Ok(1e-6),
        "s" | "seconds" => Ok(1e3),
        other => Err(content(path, place, "a unit of time", format!("`{other}`"))),
    }
}

fn trial(
    path: &Path,
    columns: &mut Vec<Column>,
    i: usize,
    result: Item,
    scale: f64,
) -> Result<Trial, InterchangeError> {
    let place = |what: &str| format!("`results[{i}].{what}`");
    let fail = |what: &str, expected: &str, found: Option<&Value>| {
        content(path, place(what), expected, found.map_or("none".to_string(), shown))
    };
    let Some(configuration) = &result.configuration else {
        return Err(fail("configuration", "an object", None));
    };
    let names = || configuration.fields.iter().map(|(name, _)| name);
    if columns.is_empty() {
        *columns = names().map(|name| Column { name: name.clone(), values: Vec::new() }).collect();
    }
    if let Some(extra) = names().find(|k| !columns.iter().any(|c| c.name == **k)) {
        return Err(fail(
            "configuration",
            "the parameters of the first result or of `metadata.parameters`",
            Some(&Value::String(extra.clone())),
        ));
    }
    let mut config = Vec::with_capacity(columns.len());
    for column in columns.iter() {
        match configuration.get(&column.name) {
            Some(value) if !value.is_object() && !value.is_array() => config.push(value.clone()),
            other => return Err(fail(&format!("configuration.{}", column.name), "a number or a name", other)),
        }
    }
    let outcome = match result.fields.text("invalidity") {
        Some("correct") => Ok(()),
        Some("compile") => Err(Failure::Compile),
        Some("runtime") => Err(Failure::Runtime),
        Some("timeout") => Err(Failure::Timeout),
        Some("correctness") => Err(Failure::Correctness),
        Some("constraints") => Err(Failure::Constraints),
        _ => {
            let expected = "correct, timeout, compile, runtime, correctness or constraints";
            return Err(fail("invalidity", expected, result.fields.get("invalidity")));
        }
    };
    let outcome = match outcome {
        Err(failure) => Err(failure),
        // Whatever else it says: what is not right has no time.
        Ok(()) if result.fields.number("correctness") == Some(0.0) => Err(Failure::Correctness),
        Ok(()) => Ok(time(path, &place("measurements"), &result.fields, scale)?),
    };
    let spent = |names: &[&str]| names.iter().find_map(|n| result.times.number(n)).unwrap_or(0.0) * scale;
    Ok(Trial {
        config,
        outcome,
        samples: result.times.samples.iter().map(|s| s * scale).collect(),
        compile: spent(&["compilation_time", "compilation"]),
        benchmark: spent(&["benchmark"]),
        framework: spent(&["framework"]),
        strategy: spent(&["search_algorithm"]),
        verification: spent(&["validation"]),
        timestamp: result.fields.text("timestamp").map(str::to_string),
        verdict: measurement(&result.fields, "verdict").and_then(Value::as_str).map(str::to_string),
        error_over_bound: measurement(&result.fields, "error_over_bound").and_then(Value::as_f64),
    })
}

fn measurement<'a>(fields: &'a Fields, name: &str) -> Option<&'a Value> {
    let all = fields.get("measurements").and_then(Value::as_array)?;
    all.iter().find(|m| m.get("name").and_then(Value::as_str) == Some(name)).and_then(|m| m.get("value"))
}

/// The text of T4 results. Kernel, device, problem and the order of the parameters are in the
/// metadata, where other readers leave them alone.
pub fn write(recording: &Recording) -> String {
    let names: Vec<&str> = recording.columns.iter().map(|c| c.name.as_str()).collect();
    let result = |trial: &Trial| {
        let configuration: serde_json::Map<String, Value> =
            names.iter().map(|n| n.to_string()).zip(trial.config.iter().cloned()).collect();
        let mut measurements = Vec::new();
        if let Ok(time) = trial.outcome {
            measurements.push(json!({"name": "time", "value": time, "unit": "ms"}));
        }
        if let Some(error) = trial.error_over_bound {
            measurements.push(json!({"name": "error_over_bound", "value": error, "unit": ""}));
        }
        if let Some(verdict) = &trial.verdict {
            measurements.push(json!({"name": "verdict", "value": verdict, "unit": ""}));
        }
        let mut out = json!({
            "configuration": configuration,
            "times": {
                "compilation_time": trial.compile, "benchmark": trial.benchmark, "framework": trial.framework,
                "search_algorithm": trial.strategy, "validation": trial.verification, "runtimes": trial.samples,
            },
            "invalidity": invalidity(trial.outcome),
            "correctness": trial.correctness(),
            "measurements": measurements,
            "objectives": ["time"],
        });
        if let Some(timestamp) = &trial.timestamp {
            out["timestamp"] = timestamp.clone().into();
        }
        out
    };
    let results: Vec<Value> = recording.trials.iter().map(result).collect();
    let columns: Vec<Value> = recording.columns.iter().map(|c| json!({"name": c.name, "values": c.values})).collect();
    let out = json!({
        "schema_version": "1.0.0",
        "metadata": {
            "timeunit": "milliseconds", "device_name": recording.device, "kernel_name": recording.kernel,
            "problem_size": recording.problem, "parameters": columns,
        },
        "results": results,
    });
    format!("{out:#}\n")
}

fn invalidity(outcome: Result<f64, Failure>) -> &'static str {
    match outcome {
        Ok(_) => "correct",
        Err(Failure::Constraints) => "constraints",
        Err(Failure::Compile) => "compile",
        Err(Failure::Runtime) => "runtime",
        Err(Failure::Timeout) => "timeout",
        Err(Failure::Correctness) => "correctness",
    }
}

/// The measurement that the first objective names.
fn time(path: &Path, place: &str, fields: &Fields, scale_of_file: f64) -> Result<f64, InterchangeError> {
    let objective = fields.get("objectives").and_then(|o| o.get(0)).and_then(Value::as_str).unwrap_or("time");
    if objective != "time" {
        return Err(content(path, place.replace("measurements", "objectives"), "`time`", format!("`{objective}`")));
    }
    let all = fields.get("measurements").and_then(Value::as_array);
    let found = all.and_then(|m| m.iter().find(|m| m.get("name").and_then(Value::as_str) == Some(objective)));
    let value = found.and_then(|m| m.get("value"));
    let unit = found.and_then(|m| m.get("unit")).and_then(Value::as_str).unwrap_or_default();
    let scale = if unit.is_empty() { scale_of_file } else { scale(path, place, unit)? };
    match value.and_then(Value::as_f64).map(|t| t * scale) {
        Some(t) if t > 0.0 && t.is_finite() => Ok(t),
        _ => {
            let found = value.map_or("none".to_string(), shown);
            Err(content(path, place, &format!("a measurement `{objective}` above 0"), found))
        }
    }
}

struct File {
    metadata: Option<Value>,
    results: Option<Vec<Item>>,
}

#[derive(Default)]
struct Item {
    configuration: Option<Fields>,
    fields: Fields,
    times: Fields,
}

struct Top;

impl<'de> Visitor<'de> for Top {
    type Value = File;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object with `results`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<File, A::Error> {
        let mut out = File { metadata: None, results: None };
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "results" => out.results = Some(map.next_value_seed(Results)?),
                "metadata" => out.metadata = Some(map.next_value()?),
                _ => drop(map.next_value::<Value>()?),
            }
        }
        Ok(out)
    }
}

struct Results;

impl<'de> DeserializeSeed<'de> for Results {
    type Value = Vec<Item>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Results {
    type Value = Vec<Item>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a list of results")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut out = Vec::new();
        while let Some(item) = seq.next_element_seed(OneResult)? {
            out.push(item);
        }
        Ok(out)
    }
}

struct OneResult;

impl<'de> DeserializeSeed<'de> for OneResult {
    type Value = Item;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Item, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for OneResult {
    type Value = Item;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a result's object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Item, A::Error> {
        let mut out = Item::default();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "times" => out.times = map.next_value_seed(FieldsOf("runtimes"))?,
                "configuration" => out.configuration = Some(map.next_value_seed(FieldsOf(""))?),
                _ => out.fields.fields.push((key, map.next_value()?)),
            }
        }
        Ok(out)
    }
}
