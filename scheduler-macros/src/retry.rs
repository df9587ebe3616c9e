//! The option `retry`: how it is written, what it means, and the expression that builds the policy.

use std::time::Duration;

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use scheduler_syntax::{BackoffExpr, nearest, parse_backoff};
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::{Expr, ExprLit, Lit, LitInt, LitStr, Meta, MetaList, Path, Token};

use crate::errors::Errors;

const FORMS: &str = "write `retry = 3` or `retry(max = 3, backoff = \"exponential(15s, 1h)\")`";
const KEYS: [&str; 2] = ["max", "backoff"];

/// The option in its shape, not yet looked at more closely.
#[derive(Default)]
pub(crate) struct Written {
    max: Option<LitInt>,
    backoff: Option<LitStr>,
}

/// What the option means. What is missing has the default of the run time.
pub(crate) struct Policy {
    max: Option<u32>,
    backoff: Option<BackoffExpr>,
}

impl Written {
    pub(crate) fn read(option: &Meta, errors: &mut Errors) -> Option<Self> {
        match option {
            Meta::List(list) => return Self::of_list(list, errors),
            Meta::NameValue(pair) => match &pair.value {
                Expr::Lit(ExprLit { lit: Lit::Int(max), .. }) => {
                    return Some(Self { max: Some(max.clone()), backoff: None });
                }
                Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => errors.at(text, of_text(&text.value())),
                other => errors.at(other, format!("`retry` takes the number of retries; {FORMS}")),
            },
            Meta::Path(path) => errors.at(path, format!("`retry` takes the number of retries; {FORMS}")),
        }
        None
    }

    fn of_list(list: &MetaList, errors: &mut Errors) -> Option<Self> {
        if list.tokens.is_empty() {
            errors.at(list, format!("`retry` has nothing in its parentheses; {FORMS}"));
            return None;
        }
        let keys = Punctuated::<Meta, Token![,]>::parse_terminated.parse2(list.tokens.clone());
        let keys = keys.map_err(|error| {
            errors.push(syn::Error::new(error.span(), format!("{error}; {FORMS}")));
        });
        let (mut written, mut seen) = (Self::default(), Vec::new());
        for key in keys.ok()? {
            written.take(&key, &mut seen, errors);
        }
        Some(written)
    }

    fn take(&mut self, key: &Meta, seen: &mut Vec<String>, errors: &mut Errors) {
        let name = key.path().to_token_stream().to_string();
        match name.as_str() {
            _ if seen.contains(&name) => {
                errors.at(key.path(), format!("`{name}` is given twice; keep one"));
            }
            "max" => self.max = number_of(key, errors),
            "backoff" => self.backoff = text_of(key, errors),
            _ => errors.at(key.path(), unknown(&name)),
        }
        seen.push(name);
    }

    /// A mistake is noted, and the default takes its place.
    pub(crate) fn check(&self, errors: &mut Errors) -> Policy {
        let max = self.max.as_ref().and_then(|max| {
            let problem =
                |_| errors.at(max, format!("the number of retries is {max}; use 0 to {}", u32::MAX));
            max.base10_parse().map_err(problem).ok()
        });
        if let Some(max) = self.max.as_ref().filter(|_| max == Some(0) && self.backoff.is_some()) {
            errors.at(
                max,
                "with `max = 0` no run is tried again, so the backoff has no effect; use at least 1 or leave `backoff` out",
            );
        }
        let read = |text: &LitStr| parse_backoff(&text.value()).map_err(|error| errors.at(text, error)).ok();
        Policy { max, backoff: self.backoff.as_ref().and_then(read) }
    }
}

impl Policy {
    /// The expression that builds the policy.
    pub(crate) fn expression(&self, krate: &Path) -> TokenStream {
        let max =
            self.max.map_or_else(|| quote!(#krate::run::RetryPolicy::default().max()), |max| quote!(#max));
        let duration = |duration: Duration| {
            let (seconds, nanos) = (duration.as_secs(), duration.subsec_nanos());
            quote!(::core::time::Duration::new(#seconds, #nanos))
        };
        let backoff = match self.backoff {
            Some(BackoffExpr::Fixed(delay)) => {
                let delay = duration(delay);
                quote!(#krate::run::Backoff::Fixed(#delay))
            }
            Some(BackoffExpr::Exponential { base, cap }) => {
                let (base, cap) = (duration(base), duration(cap));
                quote!(#krate::run::Backoff::Exponential { base: #base, cap: #cap })
            }
            None => quote!(#krate::run::Backoff::default()),
        };
        quote!(#krate::run::RetryPolicy::new(#max, #backoff))
    }
}

/// What to say of `retry = "…"`.
fn of_text(text: &str) -> String {
    if text.parse::<u32>().is_ok() {
        return format!("`retry` takes a number; write `retry = {text}`");
    }
    if parse_backoff(text).is_ok() {
        return format!("`retry` takes the backoff in parentheses; write `retry(backoff = \"{text}\")`");
    }
    format!("`retry` takes the number of retries; {FORMS}")
}

fn number_of(key: &Meta, errors: &mut Errors) -> Option<LitInt> {
    let hint = "`max` takes the number of retries; write `max = 3`";
    match value_of(key) {
        Some(Expr::Lit(ExprLit { lit: Lit::Int(number), .. })) => return Some(number.clone()),
        Some(other) => errors.at(other, hint),
        None => errors.at(key, hint),
    }
    None
}

fn text_of(key: &Meta, errors: &mut Errors) -> Option<LitStr> {
    let hint = "`backoff` takes a text; write `backoff = \"exponential(15s, 1h)\"`";
    match value_of(key) {
        Some(Expr::Lit(ExprLit { lit: Lit::Str(text), .. })) => return Some(text.clone()),
        Some(other) => {
            // Without quotes, the text is also an expression of Rust.
            let meant = parse_backoff(&other.to_token_stream().to_string());
            let meant =
                meant.map(|backoff| format!("`backoff` takes a text; write `backoff = \"{backoff}\"`"));
            errors.at(other, meant.unwrap_or_else(|_| hint.to_owned()));
        }
        None => errors.at(key, hint),
    }
    None
}

fn value_of(key: &Meta) -> Option<&Expr> {
    match key {
        Meta::NameValue(pair) => Some(&pair.value),
        Meta::Path(_) | Meta::List(_) => None,
    }
}

/// What to say of a key that does not exist.
fn unknown(name: &str) -> String {
    let way = match name {
        "attempts" | "max_attempts" => {
            "`max` counts the retries after the first attempt: `max = 3` allows four attempts"
        }
        "delay" | "fixed" | "interval" => "write `backoff = \"fixed(30s)\"`",
        "base" | "cap" | "max_delay" | "exponential" | "factor" => {
            "write `backoff = \"exponential(15s, 1h)\"`"
        }
        "jitter" => "delays are always spread by a fifth of their length; leave `jitter` out",
        "times" | "count" | "limit" | "retries" | "max_retries" => "did you mean `max`?",
        _ => match nearest(name, KEYS) {
            Some("max") => "did you mean `max`?",
            Some(_) => "did you mean `backoff`?",
            None => "use `max` and `backoff`",
        },
    };
    format!("`retry` has no `{name}`; {way}")
}
