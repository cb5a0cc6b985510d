//! What a struct's attributes say.

use syn::{DeriveInput, Error, LitStr, Path, Result};

/// `#[element(…)]` and `#[repr(…)]`.
pub struct Attributes {
    /// The crate with the module `element`.
    pub krate: Path,
    /// The compiler's layout is the record's: `#[repr(C)]` or `#[repr(transparent)]`.
    pub c_layout: bool,
}

pub fn read(input: &DeriveInput) -> Result<Attributes> {
    let mut attributes = Attributes { krate: syn::parse_str("::kernelsmith")?, c_layout: false };
    for attribute in &input.attrs {
        if attribute.path().is_ident("element") {
            attribute.parse_nested_meta(|meta| {
                if !meta.path.is_ident("crate") {
                    return Err(meta.error("unknown option, expected `crate = \"path\"`"));
                }
                attributes.krate = meta.value()?.parse::<LitStr>()?.parse_with(Path::parse_mod_style)?;
                Ok(())
            })?;
        } else if attribute.path().is_ident("repr") {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("C") || meta.path.is_ident("transparent") {
                    attributes.c_layout = true;
                    return Ok(());
                }
                let text = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
                Err(Error::new_spanned(
                    &meta.path,
                    format!(
                        "`{}`: a record's fields lie at multiples of their size without further alignment; \
                         expected #[repr(C)], #[repr(transparent)] or no repr, found `{text}`",
                        input.ident
                    ),
                ))
            })?;
        }
    }
    Ok(attributes)
}
