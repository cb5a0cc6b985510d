//! Messages of structs that are refused.

use super::expand;

fn messages(source: &str) -> Vec<String> {
    let input = syn::parse_str(source).expect("the test's struct parses");
    match expand(&input) {
        Ok(_) => Vec::new(),
        Err(error) => error.into_iter().map(|e| e.to_string()).collect(),
    }
}

#[track_caller]
fn refused(source: &str, expected: &[&str]) {
    let found = messages(source);
    assert_eq!(found.len(), 1, "{source}: {found:?}");
    for part in expected {
        assert!(found[0].contains(part), "{source}: {:?} lacks {part:?}", found[0]);
    }
}

#[test]
fn plain_structs_expand() {
    for source in [
        "struct S { x: f32 }",
        "struct S(f32, [u8; 4], half::bf16);",
        "#[repr(C)] pub struct S { inner: other::Inner, m: [[f64; 3]; 3] }",
        "#[element(crate = \"some::path\")] struct S { r#type: i32 }",
    ] {
        assert_eq!(messages(source), Vec::<String>::new(), "{source}");
    }
}

#[test]
fn a_field_that_is_not_plain_is_named_with_what_is_expected() {
    let expected = "expected f32, f64, f16, bf16, i32, u8, an array of these, or a struct that derives Element";
    for (ty, reason) in [
        ("bool", "not every byte is a valid `bool`; use `u8`"),
        ("char", "not every number is a valid `char`"),
        ("String", "text has no fixed size"),
        ("std::string::String", "text has no fixed size"),
        ("&'static str", "a reference is not data"),
        ("&'static [f32]", "a reference is not data"),
        ("*const f32", "a pointer is not data"),
        ("Vec<f32>", "a `Vec` holds its data elsewhere"),
        ("std::vec::Vec<f32>", "a `Vec` holds its data elsewhere"),
        ("Option<f32>", "not every byte is a valid `Option`"),
        ("Box<f32>", "a `Box` holds its data elsewhere"),
        ("std::cell::Cell<f32>", "a `Cell` can change behind a reference"),
        ("(f32, f32)", "the compiler may lay out a tuple in any order"),
        ("fn() -> f32", "a function is not data"),
        ("[bool; 4]", "not every byte is a valid `bool`"),
        ("[[usize; 2]; 2]", "no dtype is a `usize`"),
        ("u32", "no dtype is a `u32`; use `i32`"),
        ("[f32]", "a slice has no fixed size"),
    ] {
        refused(&format!("struct S {{ first: f32, odd: {ty} }}"), &["field `odd`", reason, expected]);
    }
    refused("struct S(f32, bool);", &["field `1`"]);
}

#[test]
fn all_fields_that_are_not_plain_are_reported_at_once() {
    let found = messages("struct S { a: bool, b: f32, c: String }");
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].contains("`a`") && found[1].contains("`c`"), "{found:?}");
}

#[test]
fn other_things_than_structs_are_refused() {
    refused("enum E { A, B }", &["`E` is an enum", "structs"]);
    refused("union U { a: f32, b: i32 }", &["`U` is a union", "structs"]);
    refused("struct Unit;", &["`Unit` is a struct without fields"]);
    refused("struct Empty {}", &["`Empty` is a struct without fields"]);
}

#[test]
fn parameters_are_refused() {
    refused("struct S<T> { x: T }", &["`S` has parameters", "for one type"]);
    refused("struct S<'a> { x: &'a f32 }", &["`S` has parameters"]);
    refused("struct S<const N: usize> { x: [f32; N] }", &["`S` has parameters"]);
}

#[test]
fn attributes_that_change_alignment_are_refused() {
    refused("#[repr(C, packed)] struct S { x: f32 }", &["`S`", "#[repr(C)]", "found `packed`"]);
    refused("#[repr(packed(2))] struct S { x: f32 }", &["found `packed`"]);
    refused("#[repr(C, align(16))] struct S { x: f32 }", &["found `align`"]);
    refused("#[element(krate = \"x\")] struct S { x: f32 }", &["expected `crate = \"path\"`"]);
}
