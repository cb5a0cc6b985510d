//! `#[derive(Element)]` for plain structs: a buffer of structs is a tensor, and each field an O(1)
//! strided view of it. The trait and the layout of a record are in `kernelsmith_core::element`.
//!
//! ```
//! use kernelsmith_core::element::{self, Element};
//! use kernelsmith_derive::Element;
//!
//! #[derive(Clone, Copy, Element)]
//! #[element(crate = "kernelsmith_core")] // users of the crate `kernelsmith` leave this out
//! #[repr(C)]
//! struct Vec3 {
//!     x: f32,
//!     y: f32,
//!     z: f32,
//! }
//!
//! #[derive(Clone, Copy, Element)]
//! #[element(crate = "kernelsmith_core")]
//! #[repr(C)]
//! struct Particle {
//!     position: Vec3,
//!     mass: f32,
//!     spin: [f32; 2],
//! }
//!
//! let names: Vec<&str> = Particle::FIELDS.iter().map(|f| f.name).collect();
//! assert_eq!(names, ["position.x", "position.y", "position.z", "mass", "spin"]);
//!
//! let y = element::field::<Particle>("position.y").unwrap().layout(100, Particle::SIZE).unwrap();
//! assert_eq!((y.shape(), y.strides(), y.offset()), (&[100][..], &[6][..], 1));
//! ```
//!
//! # What a field may be
//! `f32`, `f64`, `half::f16`, `half::bf16`, `i32`, `u8`, another struct that derives `Element`, and
//! arrays of these, also of arrays. All else is a compile error that names the field. The struct has
//! at least one field and no parameters; it also derives `Clone` and `Copy`.
//!
//! # What it costs
//! With `#[repr(C)]` (or `#[repr(transparent)]`) nothing: records are the bytes they lie in, so
//! `Element::bytes_of` borrows them and every conversion is one `memcpy`. The struct must then have no
//! gaps, and its nested structs have the attribute too; a compile error says where that fails. The
//! derive also implements [`bytemuck::Pod`] for it, by the same rules as that crate's own derive.
//!
//! Without the attribute the compiler may reorder fields, and gaps are allowed. Records are then
//! converted field by field, which is slower than a `memcpy` whoever writes the loop: beyond the cache
//! a `memcpy` writes past it, and stores of single numbers do not. `cargo bench -p kernelsmith-derive`
//! shows all of them side by side. That difference is why the attribute is worth a rule of its own.
//!
//! # Unsafe
//! The expansion for `#[repr(C)]` holds two `unsafe impl`s, of `Zeroable` and `Pod`. They are sound
//! by what the same expansion checks at compile time: the layout is C's, each field's type is `Pod`,
//! and their sizes add up to the struct's, so there is no gap. It compiles in crates that
//! `#![forbid(unsafe_code)]`, since the lint does not look into other crates' macros.
//!
//! [`bytemuck::Pod`]: https://docs.rs/bytemuck/1/bytemuck/trait.Pod.html
#![forbid(unsafe_code)]

mod attributes;
mod expand;
mod plain;

use proc_macro::TokenStream;

/// Implements `kernelsmith::Element`; see the [crate's documentation](crate).
///
/// `#[element(crate = "path")]` names the crate that has the module `element`, where that is not
/// `::kernelsmith`.
///
/// What is not plain does not compile:
///
/// ```compile_fail
/// # use kernelsmith_derive::Element;
/// #[derive(Clone, Copy, Element)]
/// #[element(crate = "kernelsmith_core")]
/// struct Flagged {
///     flag: bool, // error: field `flag`: not every byte is a valid `bool`; use `u8`, 0 or 1
/// }
/// ```
///
/// ```compile_fail,E0277
/// # use kernelsmith_derive::Element;
/// #[derive(Clone, Copy)]
/// struct Opaque(f32);
///
/// #[derive(Clone, Copy, Element)]
/// #[element(crate = "kernelsmith_core")]
/// struct Outer {
///     inner: Opaque, // error: `Opaque` is not plain data that a tensor can hold
/// }
/// ```
///
/// ```compile_fail,E0080
/// # use kernelsmith_derive::Element;
/// #[derive(Clone, Copy, Element)]
/// #[element(crate = "kernelsmith_core")]
/// #[repr(C)]
/// struct Gap {
///     tag: u8,
///     value: f32, // error: `Gap` is #[repr(C)] and has a gap between fields or after the last …
/// }
/// ```
#[proc_macro_derive(Element, attributes(element))]
pub fn derive_element(input: TokenStream) -> TokenStream {
    let input = syn::parse_macro_input!(input as syn::DeriveInput);
    expand::expand(&input).unwrap_or_else(|error| error.into_compile_error()).into()
}
