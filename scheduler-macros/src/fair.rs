//! The option `fair`: how it is written, and the function that makes the key by which a run takes turns.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::ext::IdentExt;
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Meta, Token, Type};

use crate::errors::Errors;
use crate::keys::{Key, Part, key, place};
use crate::limits::Args;

pub(crate) const FAIR: &str = "fair";

const HOW_TO: &str = "write `fair(key = \"…\")`";

/// The option, without its mistakes.
pub(crate) struct Fair {
    span: Span,
    key: Key,
}

impl Fair {
    pub(crate) fn read(option: &Meta, errors: &mut Errors) -> Option<Self> {
        let Meta::List(list) = option else {
            errors.at(option, format!("`fair` needs the key by which runs take turns; {HOW_TO}"));
            return None;
        };
        let parts = Punctuated::<Part, Token![,]>::parse_terminated.parse2(list.tokens.clone());
        let problem =
            |error: syn::Error| errors.push(syn::Error::new(error.span(), format!("{error}; {HOW_TO}")));
        let parts = parts.map_err(problem).ok()?;
        let mut found = None;
        for part in &parts {
            let name = part.name.unraw().to_string();
            if name != "key" {
                errors.at(&part.name, format!("`fair` has no part `{name}`; {HOW_TO}"));
            } else if found.is_some() {
                errors.at(&part.name, "`key` is given twice; keep one, or name several fields in brackets");
            } else {
                found = Some(key(part, errors));
            }
        }
        if parts.is_empty() {
            errors.at(option, format!("`fair` needs the key by which runs take turns; {HOW_TO}"));
        }
        Some(Self { span: option.path().span(), key: found.flatten()? })
    }

    /// Reports mistakes that only show beside the argument of the job.
    pub(crate) fn check(&self, args: Option<&Type>, errors: &mut Errors) {
        if args.is_none() {
            let problem = "the job has no argument that a key could be made of; give each call a key by `enqueue(…).fair(key)`";
            errors.push(syn::Error::new(self.key.span().unwrap_or(self.span), problem));
        }
    }

    /// The function that makes the key of a run of its argument.
    pub(crate) fn function(&self, args: &Args<'_>) -> TokenStream {
        let Args { krate, ty, parameter } = args;
        let key = match &self.key {
            Key::Job => quote!(#krate::run::FairKey::of(Self::NAME)),
            Key::Function(path) => quote_spanned!(path.span()=> #krate::run::FairKey::of(#path(args))),
            Key::Fields(fields) => {
                let mut parts = fields.iter().map(|field| place(field, *parameter));
                let first = parts.next();
                let others = parts.map(|part| quote_spanned!(part.span()=> .and(#part)));
                quote!(#krate::run::FairKey::of(#first) #(#others)*)
            }
        };
        let args = ty.map_or_else(|| quote!(#krate::JobData), |ty| quote!(#ty));
        quote! {
            #[allow(unused_variables)]
            fn __fair(args: &#args) -> #krate::run::FairKey {
                #key
            }
        }
    }
}

/// The call that gives runs their fair key; `owner` has the function.
pub(crate) fn taking_turns(
    fair: Option<&Fair>,
    owner: &TokenStream,
    args: Option<&Type>,
) -> Option<TokenStream> {
    let args = fair.and(args)?;
    Some(quote!(.fair::<#args, _>(#owner::__fair)))
}
