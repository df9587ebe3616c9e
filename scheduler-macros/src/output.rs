//! `output`: what a function returns is stored with its run.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::spanned::Spanned;
use syn::{ExprPath, Meta, Path, ReturnType, Signature, Type};

use crate::errors::Errors;
use crate::expand::at;

/// How long a run with an output is kept unless it is said: one hour.
pub(crate) const KEPT_MILLIS: u64 = 3_600_000;

/// Where `output` was written.
pub(crate) struct Output {
    pub(crate) span: Span,
}

/// What a function with `output` returns.
pub(crate) struct Returned {
    ty: Type,
    is_result: bool,
}

impl Output {
    pub(crate) fn read(option: &Meta, errors: &mut Errors) -> Option<Self> {
        match option {
            Meta::Path(path) => return Some(Self { span: path.span() }),
            other => errors.at(
                other,
                "`output` takes no value; write `output`, and `keep = \"1h\"` for how long it is kept",
            ),
        }
        None
    }

    /// What the function returns.
    pub(crate) fn of(&self, signature: &Signature, errors: &mut Errors) -> Option<Returned> {
        let ReturnType::Type(_, ty) = &signature.output else {
            errors.push(syn::Error::new(
                self.span,
                "the function returns nothing that could be stored; leave `output` out, since a handle tells that a run has succeeded",
            ));
            return None;
        };
        Some(Returned { ty: (**ty).clone(), is_result: is_result(ty) })
    }
}

/// A result is known by its name, also that of an alias, such as `JobResult`.
fn is_result(ty: &Type) -> bool {
    let Type::Path(path) = ty else { return false };
    path.path.segments.last().is_some_and(|last| last.ident.to_string().ends_with("Result"))
}

impl Returned {
    /// The type of the value that is stored.
    pub(crate) fn value(&self, krate: &Path) -> TokenStream {
        let ty = &self.ty;
        match self.is_result {
            true => at(ty.span(), quote!(<#ty as #krate::__private::HasOutput>::Output)),
            false => quote!(#ty),
        }
    }

    /// The expression that makes the outcome of what the function has returned, and notes the value.
    pub(crate) fn outcome(&self, krate: &Path, when: Option<&ExprPath>) -> TokenStream {
        let ty = &self.ty;
        let asked = match self.is_result {
            true => quote!(#krate::__private::produced::<#ty>(value, &noted)),
            false => quote!(#krate::__private::produced_alone::<#ty>(value, &noted)),
        };
        let asked = at(ty.span(), asked);
        let when = when.map_or_else(|| quote!(|_| true), |when| quote!(#when));
        // The names have the span of their uses.
        let names = at(ty.span(), quote!(value noted));
        let mut names = names.into_iter();
        let (value, noted) = (names.next(), names.next());
        quote! {{
            let #noted = ::core::clone::Clone::clone(&context);
            move |#value: #ty| #asked.retried_if(#when)
        }}
    }
}
