//! Types that are known not to be plain, with what to do instead. All others are left to the
//! compiler, which asks for `Element`.

use syn::{Field, GenericArgument, PathArguments, Type};

/// Why `field`, called `name` in messages, cannot be in a record; `None` where that is not known.
pub fn refusal(name: &str, field: &Field) -> Option<syn::Error> {
    let reason = reason(&field.ty)?;
    Some(syn::Error::new_spanned(
        &field.ty,
        format!(
            "field `{name}`: {reason}; expected f32, f64, f16, bf16, i32, u8, an array of these, \
             or a struct that derives Element"
        ),
    ))
}

fn reason(ty: &Type) -> Option<String> {
    Some(match ty {
        Type::Array(array) => return reason(&array.elem),
        Type::Paren(inner) => return reason(&inner.elem),
        Type::Group(inner) => return reason(&inner.elem),
        Type::Path(path) => return path.path.segments.last().and_then(named),
        Type::Reference(_) => "a reference is not data; hold the value itself".into(),
        Type::Ptr(_) => "a pointer is not data; hold the value itself".into(),
        Type::Slice(_) => "a slice has no fixed size; use an array `[T; N]`".into(),
        Type::Tuple(_) => "the compiler may lay out a tuple in any order; use an array or a struct".into(),
        Type::FnPtr(_) => "a function is not data".into(),
        Type::TraitObject(_) | Type::ImplTrait(_) => "a trait object is not data of a fixed size".into(),
        Type::Never(_) => "`!` has no values".into(),
        _ => return None,
    })
}

fn named(segment: &syn::PathSegment) -> Option<String> {
    let name = segment.ident.to_string();
    let type_argument = match &segment.arguments {
        PathArguments::AngleBracketed(list) => list.args.iter().any(|a| matches!(a, GenericArgument::Type(_))),
        _ => false,
    };
    if type_argument {
        let fixed = "use an array `[T; N]`";
        return match name.as_str() {
            "Vec" | "VecDeque" | "HashMap" | "HashSet" | "BTreeMap" | "BTreeSet" => {
                Some(format!("a `{name}` holds its data elsewhere, not in the record; {fixed}"))
            }
            "Box" | "Rc" | "Arc" | "Cow" => Some(format!("a `{name}` holds its data elsewhere; hold the value itself")),
            "Option" | "Result" => Some(format!("not every byte is a valid `{name}`; use a value and a `u8` flag")),
            "Cell" | "RefCell" | "Mutex" | "RwLock" | "UnsafeCell" => {
                Some(format!("a `{name}` can change behind a reference; hold the value itself"))
            }
            _ => None,
        };
    }
    if !segment.arguments.is_empty() {
        return None;
    }
    match name.as_str() {
        "bool" => Some("not every byte is a valid `bool`; use `u8`, 0 or 1".into()),
        "char" => Some("not every number is a valid `char`; use `i32`".into()),
        "str" | "String" => Some("text has no fixed size; use an array of `u8`".into()),
        "i8" | "u16" | "i16" | "u32" => Some(format!("no dtype is a `{name}`; use `i32`")),
        "i64" | "u64" | "i128" | "u128" | "isize" | "usize" => {
            Some(format!("no dtype is a `{name}`; use `i32` where its range is enough"))
        }
        _ => None,
    }
}
