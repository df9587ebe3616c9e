//! `on_dead`: who hears of the dead runs of a job.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote_spanned};
use syn::spanned::Spanned;
use syn::{ExprPath, Meta};

use crate::errors::Errors;

pub(crate) const ON_DEAD: &str = "on_dead";

/// The path of the function.
pub(crate) fn read(option: &Meta, errors: &mut Errors) -> Option<ExprPath> {
    let way_out = "`on_dead` takes the name of a function; write `on_dead = page_somebody` for an `async fn page_somebody(dead: DeadRun)`";
    match option {
        Meta::NameValue(pair) => match syn::parse2(pair.value.to_token_stream()) {
            Ok(path) => return Some(path),
            Err(_) => errors.at(&pair.value, way_out),
        },
        other => errors.at(other, way_out),
    }
    None
}

/// The call that gives the definition its hook. Whatever is wrong with the function is an error at its name.
pub(crate) fn hearing(hook: Option<&ExprPath>) -> Option<TokenStream> {
    hook.map(|hook| quote_spanned!(hook.span()=> .on_dead(#hook)))
}
