//! The option `retry`: how it is written, what it means, and the expression that builds the policy.

mod values;

use std::time::Duration;

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote};
use scheduler_syntax::{jitter_percent, parse_backoff, parse_duration, parse_failures};
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::{Expr, ExprLit, ExprPath, Lit, LitInt, LitStr, Meta, MetaList, Path, Token};

use crate::errors::Errors;

const FORMS: &str = "write `retry = 3` or `retry(max = 3, backoff = \"exponential(15s, 1h)\")`";

/// The option in its shape, not yet looked at more closely.
#[derive(Default)]
pub(crate) struct Written {
    max: Option<LitInt>,
    backoff: Option<LitStr>,
    jitter: Option<Lit>,
    within: Option<LitStr>,
    on: Option<LitStr>,
    when: Option<ExprPath>,
    progress: bool,
}

/// What the option means. What is missing has the default of the run time.
pub(crate) struct Policy {
    max: Option<u32>,
    backoff: Option<String>,
    jitter: Option<f64>,
    within: Option<Duration>,
    on: Option<Vec<&'static str>>,
    is_reset_by_progress: bool,
    /// The function that says which errors are retried.
    pub(crate) when: Option<ExprPath>,
}

impl Written {
    pub(crate) fn read(option: &Meta, errors: &mut Errors) -> Option<Self> {
        match option {
            Meta::List(list) => return Self::of_list(list, errors),
            Meta::NameValue(pair) => match &pair.value {
                Expr::Lit(ExprLit { lit: Lit::Int(max), .. }) => {
                    return Some(Self { max: Some(max.clone()), ..Self::default() });
                }
                Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => {
                    errors.at(text, values::of_text(&text.value(), FORMS));
                }
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
            "max" => self.max = values::number(key, errors),
            "backoff" => self.backoff = values::text(key, "backoff", "exponential(15s, 1h)", errors),
            "jitter" => self.jitter = values::fraction(key, errors),
            "within" => self.within = values::text(key, "within", "3d", errors),
            "on" => self.on = values::text(key, "on", "failed, timed_out", errors),
            "when" => self.when = values::function(key, errors),
            "progress" => self.progress = values::progress(key, errors),
            _ => errors.at(key.path(), values::unknown(&name)),
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
        if let Some(written) = self.max.as_ref().filter(|_| max == Some(0)) {
            self.check_alone(written, errors);
        }
        let jitter = self.jitter.as_ref().and_then(|jitter| share(jitter, errors));
        let within = self.within.as_ref().and_then(|text| duration(text, errors));
        let mut backoff = |text: &LitStr| {
            let backoff = parse_backoff(&text.value()).map_err(|error| errors.at(text, error));
            backoff.ok().map(|backoff| backoff.to_string())
        };
        let backoff = self.backoff.as_ref().and_then(&mut backoff);
        let mut kinds =
            |text: &LitStr| parse_failures(&text.value()).map_err(|problem| errors.at(text, problem)).ok();
        let on = self.on.as_ref().and_then(&mut kinds);
        let (is_reset_by_progress, when) = (self.progress, self.when.clone());
        Policy { max, backoff, jitter, within, on, is_reset_by_progress, when }
    }

    /// With `max = 0`, nothing else has an effect.
    fn check_alone(&self, max: &LitInt, errors: &mut Errors) {
        let given = [
            ("backoff", self.backoff.is_some()),
            ("jitter", self.jitter.is_some()),
            ("within", self.within.is_some()),
            ("on", self.on.is_some()),
            ("when", self.when.is_some()),
            ("progress", self.progress),
        ];
        let given: Vec<_> =
            given.iter().filter(|(_, given)| *given).map(|(name, _)| format!("`{name}`")).collect();
        let names = match &given[..] {
            [] => return,
            [one] => format!("{one} has no effect; use at least 1 or leave {one} out"),
            [others @ .., last] => {
                let others = others.join(", ");
                format!("{others} and {last} have no effect; use at least 1 or leave them out")
            }
        };
        errors.at(max, format!("with `max = 0` no run is tried again, so {names}"));
    }
}

/// The number of a jitter.
fn share(jitter: &Lit, errors: &mut Errors) -> Option<f64> {
    let number = match jitter {
        Lit::Float(number) => number.base10_parse::<f64>(),
        Lit::Int(number) => number.base10_parse::<f64>(),
        _ => return None,
    };
    let number = number.map_err(|error| errors.push(error)).ok()?;
    jitter_percent(number).map_err(|problem| errors.at(jitter, problem)).ok().map(|_| number)
}

/// The time of `within`.
fn duration(text: &LitStr, errors: &mut Errors) -> Option<Duration> {
    let duration = parse_duration(&text.value()).map_err(|error| errors.at(text, error)).ok()?;
    if duration < Duration::from_millis(1) {
        errors.at(text, "`within` is shorter than a millisecond; write `max = 0` for no retries");
        return None;
    }
    Some(duration)
}

impl Policy {
    /// The expression that builds the policy.
    pub(crate) fn expression(&self, krate: &Path) -> TokenStream {
        let checked = |result: TokenStream| quote!(#krate::__private::checked(#result));
        let max =
            self.max.map_or_else(|| quote!(#krate::run::RetryPolicy::default().max()), |max| quote!(#max));
        let backoff = match &self.backoff {
            Some(text) => checked(quote!(#text.parse::<#krate::run::Backoff>())),
            None => quote!(#krate::run::Backoff::default()),
        };
        let mut policy = quote!(#krate::run::RetryPolicy::new(#max, #backoff));
        if let Some(jitter) = self.jitter {
            policy = checked(quote!(#policy.jitter(#jitter)));
        }
        if let Some(within) = self.within {
            let (seconds, nanos) = (within.as_secs(), within.subsec_nanos());
            policy = quote!(#policy.within(::core::time::Duration::new(#seconds, #nanos)));
        }
        if let Some(kinds) = &self.on {
            let kinds = kinds.iter().map(|kind| variant(kind));
            policy = quote!(#policy.on([#(#krate::run::FailureKind::#kinds),*]));
        }
        if self.is_reset_by_progress {
            policy = quote!(#policy.reset_by_progress());
        }
        policy
    }
}

/// The variant of a kind of failure: `TimedOut` for `timed_out`.
fn variant(kind: &str) -> Ident {
    let capital = |part: &str| {
        let (first, rest) = part.split_at(1);
        first.to_uppercase() + rest
    };
    Ident::new(&kind.split('_').map(capital).collect::<String>(), Span::call_site())
}
