//! From a struct to its implementation of `Element`.

use crate::{attributes, plain};
use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Error, Fields, Index, Member, Result, Type};

/// A field of the struct: how the code reaches it, what it is called in paths, its type.
struct Slot<'a> {
    member: Member,
    name: String,
    ty: &'a Type,
}

pub fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let attributes = attributes::read(input)?;
    let slots = slots(input)?;
    let krate = &attributes.krate;
    let element = quote!(#krate::element);
    let parts = parts(&element, &slots);
    let conversions = if attributes.c_layout { whole(&element) } else { by_field(&element, &slots) };
    let proof = if attributes.c_layout { plain_old_data(&element, input, &slots) } else { TokenStream::new() };
    let ident = &input.ident;
    Ok(quote! {
        #[automatically_derived]
        const _: () = {
            const PARTS: &[#element::expansion::Part] = &[#(#parts),*];
            const SIZE: usize = #element::expansion::record_size(PARTS);
            const NAMES: [u8; #element::expansion::names_len(PARTS)] = #element::expansion::join_names(PARTS);
            const FIELDS: [#element::Field; #element::expansion::field_count(PARTS)] =
                #element::expansion::flatten(PARTS, &NAMES);
            #proof
            impl #element::Element for #ident {
                const FIELDS: &'static [#element::Field] = &FIELDS;
                const SIZE: usize = SIZE;
                #conversions
            }
        };
    })
}

/// The struct's fields, or everything that is wrong with it.
fn slots(input: &DeriveInput) -> Result<Vec<Slot<'_>>> {
    let ident = &input.ident;
    let refuse = |what: &str| {
        Error::new_spanned(ident, format!("`{ident}` is {what}; Element is for structs whose every byte is data"))
    };
    let fields = match &input.data {
        Data::Struct(data) => &data.fields,
        Data::Enum(_) => return Err(refuse("an enum")),
        Data::Union(_) => return Err(refuse("a union")),
    };
    if !input.generics.params.is_empty() {
        return Err(Error::new_spanned(
            &input.generics,
            format!("`{ident}` has parameters, but a record's layout is fixed; write the struct for one type"),
        ));
    }
    if let Fields::Unit = fields {
        return Err(refuse("a struct without fields"));
    }
    let slots: Vec<Slot<'_>> = fields
        .iter()
        .enumerate()
        .map(|(i, field)| {
            let member = match &field.ident {
                Some(name) => Member::Named(name.clone()),
                None => Member::Unnamed(Index::from(i)),
            };
            let name = match &member {
                Member::Named(name) => name.to_string().trim_start_matches("r#").to_string(),
                Member::Unnamed(_) => i.to_string(),
            };
            Slot { member, name, ty: &field.ty }
        })
        .collect();
    if slots.is_empty() {
        return Err(refuse("a struct without fields"));
    }
    let refusals = fields.iter().zip(&slots).filter_map(|(field, slot)| plain::refusal(&slot.name, field));
    match refusals.reduce(|mut all, one| {
        all.combine(one);
        all
    }) {
        Some(error) => Err(error),
        None => Ok(slots),
    }
}

fn parts(element: &TokenStream, slots: &[Slot<'_>]) -> Vec<TokenStream> {
    slots
        .iter()
        .map(|Slot { name, ty, .. }| {
            quote_spanned! {ty.span()=>
                #element::expansion::Part {
                    name: #name,
                    fields: <#ty as #element::Slot>::FIELDS,
                    dims: <#ty as #element::Slot>::DIMS,
                    size: <#ty as #element::Slot>::ENTRY,
                }
            }
        })
        .collect()
}

/// Conversions of a struct that is `Pod`: its bytes as they are.
fn whole(element: &TokenStream) -> TokenStream {
    let bytemuck = quote!(#element::expansion::bytemuck);
    quote! {
        #[inline]
        fn write(&self, out: &mut [u8]) {
            out.copy_from_slice(#bytemuck::bytes_of(self));
        }

        #[inline]
        fn read(bytes: &[u8]) -> Self {
            #bytemuck::pod_read_unaligned(bytes)
        }

        #[inline]
        fn bytes_of(records: &[Self]) -> ::core::option::Option<&[u8]> {
            ::core::option::Option::Some(#bytemuck::cast_slice(records))
        }

        #[inline]
        fn bytes_of_mut(records: &mut [Self]) -> ::core::option::Option<&mut [u8]> {
            ::core::option::Option::Some(#bytemuck::cast_slice_mut(records))
        }

        fn read_vec(bytes: &[u8]) -> ::std::vec::Vec<Self> {
            #element::expansion::copied(bytes)
        }
    }
}

/// Conversions field by field, for any layout that the compiler chose.
fn by_field(element: &TokenStream, slots: &[Slot<'_>]) -> TokenStream {
    let range = |i: usize, ty: &Type| {
        quote_spanned! {ty.span()=> const {
            let start = #element::expansion::parts_end(PARTS, #i);
            start..start + <#ty as #element::Slot>::BYTES
        } }
    };
    let put = slots.iter().enumerate().map(|(i, Slot { member, ty, .. })| {
        let range = range(i, ty);
        quote_spanned!(ty.span()=> #element::Slot::put(&self.#member, &mut out[#range]);)
    });
    let take = slots.iter().enumerate().map(|(i, Slot { member, ty, .. })| {
        let range = range(i, ty);
        quote_spanned!(ty.span()=> #member: <#ty as #element::Slot>::take(&bytes[#range]))
    });
    let bytes = slots.iter().map(|Slot { ty, .. }| quote_spanned!(ty.span()=> <#ty as #element::Slot>::BYTES));
    quote! {
        #[inline]
        fn write(&self, out: &mut [u8]) {
            ::core::assert_eq!(out.len(), SIZE, "bytes of a record");
            if const { SIZE != 0 #(+ #bytes)* } {
                out.fill(0);
            }
            #(#put)*
        }

        #[inline]
        fn read(bytes: &[u8]) -> Self {
            ::core::assert_eq!(bytes.len(), SIZE, "bytes of a record");
            Self { #(#take),* }
        }
    }
}

/// `Pod` for a struct with C's layout, with the proof that it may be.
fn plain_old_data(element: &TokenStream, input: &DeriveInput, slots: &[Slot<'_>]) -> TokenStream {
    let ident = &input.ident;
    let bytemuck = quote!(#element::expansion::bytemuck);
    let message = format!(
        "`{ident}` is #[repr(C)] and has a gap between fields or after the last one: order the fields by \
         size, fill the gap with an array of u8, or leave out #[repr(C)]"
    );
    let fields = slots.iter().map(|Slot { ty, .. }| quote_spanned!(ty.span()=> c_layout::<#ty>();));
    let sizes = slots.iter().map(|Slot { ty, .. }| quote!(::core::mem::size_of::<#ty>()));
    quote! {
        const _: () = {
            const fn c_layout<T: #element::CLayout>() {}
            #(#fields)*
            let size = ::core::mem::size_of::<#ident>();
            ::core::assert!(size == 0 #(+ #sizes)* && size == SIZE, #message);
        };
        // Sound by what is checked above: C's layout, every field `Pod`, no byte between or after them.
        unsafe impl #bytemuck::Zeroable for #ident {}
        unsafe impl #bytemuck::Pod for #ident {}
    }
}

#[cfg(test)]
#[path = "expand_tests.rs"]
mod tests;
