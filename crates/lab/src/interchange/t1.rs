//! T1, a space for a tuner to search: parameters with their values, and conditions in Python.
//!
//! Our conditions are in another language, and about the problem and the device as well. What is
//! written is their outcome: where they rule anything out, one condition lists the configs left.

use super::recording::{Column, Recording};
use super::{InterchangeError, content, shown, syntax};
use serde_json::{Value, json};
use std::path::Path;

/// A space as T1 has it.
#[derive(Clone, Debug, PartialEq)]
pub struct T1 {
    pub kernel: String,
    pub columns: Vec<Column>,
    /// Python expressions over the parameters; all must hold.
    pub conditions: Vec<String>,
}

/// Writes the space of a recording's configs, for Kernel Tuner and its kin.
pub fn write(recording: &Recording) -> String {
    let all: usize = recording.columns.iter().map(|c| c.values.len()).product();
    let names: Vec<&str> = recording.columns.iter().map(|c| c.name.as_str()).collect();
    let parameter = |c: &Column| {
        let values: Vec<String> = c.values.iter().map(python).collect();
        json!({"Name": c.name, "Type": kind(c), "Values": format!("[{}]", values.join(", "))})
    };
    let mut conditions = Vec::new();
    if recording.trials.len() < all {
        let tuple = |items: Vec<String>| {
            if items.len() == 1 { format!("({},)", items[0]) } else { format!("({})", items.join(", ")) }
        };
        let configs: Vec<String> =
            recording.trials.iter().map(|t| tuple(t.config.iter().map(python).collect())).collect();
        let left = tuple(names.iter().map(|n| n.to_string()).collect());
        conditions.push(json!({"Parameters": names, "Expression": format!("{left} in [{}]", configs.join(", "))}));
    }
    let out = json!({
        "ConfigurationSpace": {
            "TuningParameters": recording.columns.iter().map(parameter).collect::<Vec<_>>(),
            "Conditions": conditions,
        },
        "KernelSpecification": {
            "Language": "CUDA", "KernelName": recording.kernel, "KernelFile": format!("{}.cu", recording.kernel),
            "GlobalSize": {"X": "1"}, "LocalSize": {"X": "1"}, "ProblemSize": recording.problem,
            "Device": {"Name": recording.device},
        },
    });
    format!("{out:#}\n")
}

fn kind(column: &Column) -> &'static str {
    let all = |f: fn(&Value) -> bool| column.values.iter().all(f);
    if all(|v| v.is_i64() || v.is_u64()) {
        "int"
    } else if all(Value::is_boolean) {
        "bool"
    } else if all(Value::is_number) {
        "float"
    } else {
        "string"
    }
}

fn python(value: &Value) -> String {
    match value {
        Value::Bool(true) => "True".to_string(),
        Value::Bool(false) => "False".to_string(),
        other => other.to_string(),
    }
}

/// Reads a T1 file.
pub fn read(path: &Path) -> Result<T1, InterchangeError> {
    parse(path, &super::bytes(path)?)
}

/// Reads a T1 file's text.
pub fn parse(path: &Path, bytes: &[u8]) -> Result<T1, InterchangeError> {
    let file: Value = serde_json::from_slice(bytes).map_err(|e| syntax(path, &e))?;
    let fail = |place: &str, expected: &str, found: Option<&Value>| {
        content(path, format!("`{place}`"), expected, found.map_or("none".to_string(), shown))
    };
    let space = file.get("ConfigurationSpace");
    let list = space.and_then(|s| s.get("TuningParameters"));
    let place = "ConfigurationSpace.TuningParameters";
    let entries = list.and_then(Value::as_array).ok_or_else(|| fail(place, "a list", list))?;
    let mut columns: Vec<Column> = Vec::new();
    for (i, entry) in entries.iter().enumerate() {
        let place = |key: &str| format!("{place}[{i}].{key}");
        let name = entry.get("Name").and_then(Value::as_str);
        let name = name.filter(|n| !columns.iter().any(|c| c.name == *n));
        let name = name.ok_or_else(|| fail(&place("Name"), "a name, each once", entry.get("Name")))?;
        let expected = "a list of numbers, names, True and False, as `[16, 32]`";
        let values = entry.get("Values").and_then(Value::as_str).and_then(literal);
        let values = values.ok_or_else(|| fail(&place("Values"), expected, entry.get("Values")))?;
        columns.push(Column { name: name.to_string(), values });
    }
    let list = space.and_then(|s| s.get("Conditions"));
    let place = "ConfigurationSpace.Conditions";
    let mut conditions = Vec::new();
    for (i, entry) in list
        .map_or(Ok(&Vec::new()), |l| l.as_array().ok_or(()))
        .map_err(|()| fail(place, "a list", list))?
        .iter()
        .enumerate()
    {
        let expression = entry.get("Expression");
        let text = expression.and_then(Value::as_str);
        conditions
            .push(text.ok_or_else(|| fail(&format!("{place}[{i}].Expression"), "a text", expression))?.to_string());
    }
    let kernel = file.get("KernelSpecification").and_then(|k| k.get("KernelName")).and_then(Value::as_str);
    Ok(T1 { kernel: kernel.map_or_else(|| super::stem(path), str::to_string), columns, conditions })
}

/// A Python list of literals.
fn literal(text: &str) -> Option<Vec<Value>> {
    let inside = text.trim().strip_prefix('[')?.strip_suffix(']')?;
    let mut out = Vec::new();
    for part in inside.split(',').map(str::trim).filter(|p| !p.is_empty()) {
        let quoted = ['\'', '"'].iter().find_map(|q| part.strip_prefix(*q)?.strip_suffix(*q));
        out.push(match (part, quoted) {
            ("True", _) => Value::Bool(true),
            ("False", _) => Value::Bool(false),
            (_, Some(text)) => Value::from(text),
            (number, None) => serde_json::from_str::<serde_json::Number>(number).ok()?.into(),
        });
    }
    (!out.is_empty()).then_some(out)
}

impl T1 {
    /// The space as an entry of a manifest, to be completed by hand: whole numbers become
    /// parameters, conditions are kept beside them as comments where they are in Python.
    pub fn manifest(&self) -> Result<String, String> {
        let mut params = Vec::new();
        let mut default = Vec::new();
        for column in &self.columns {
            let whole: Option<Vec<i64>> =
                column.values.iter().map(|v| v.as_i64().or_else(|| v.as_bool().map(i64::from))).collect();
            let whole = whole.ok_or_else(|| format!("`{}` has values that are not whole numbers", column.name))?;
            default.push(format!("{} = {}", column.name, whole[0]));
            params.push(format!("{} = {whole:?}", column.name));
        }
        let name: String = self.kernel.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        let mut out = format!(
            "[[variant]]\nname    = \"{name}\"\nabout   = \"imported space\"\ntarget  = \"cuda\"\nsource  = \"{name}.cu\"\ndeterministic = true\nparams  = {{ {} }}\ndefault = {{ {} }}\n",
            params.join(", "),
            default.join(", ")
        );
        for condition in &self.conditions {
            out += &format!("# a condition in Python, to become one of `where`: {}\n", condition.replace('\n', " "));
        }
        Ok(out)
    }
}
