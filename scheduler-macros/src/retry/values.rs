//! The values of the parts of `retry`, each in its shape, and what to say of another shape.

use quote::ToTokens;
use scheduler_syntax::{nearest, parse_backoff};
use syn::{Expr, ExprLit, ExprPath, Lit, LitInt, LitStr, Meta};

use crate::errors::Errors;

const KEYS: [&str; 7] = ["max", "backoff", "jitter", "within", "on", "when", "progress"];

/// What to say of another value of `progress`.
const PROGRESS: &str = "`progress` has one value, which counts attempts anew after one that has noted another checkpoint; write `progress = \"resets\"`, or leave it out";

/// What to say of `retry = "…"`.
pub(super) fn of_text(text: &str, forms: &str) -> String {
    if text.parse::<u32>().is_ok() {
        return format!("`retry` takes a number; write `retry = {text}`");
    }
    if parse_backoff(text).is_ok() {
        return format!("`retry` takes the backoff in parentheses; write `retry(backoff = \"{text}\")`");
    }
    format!("`retry` takes the number of retries; {forms}")
}

pub(super) fn number(key: &Meta, errors: &mut Errors) -> Option<LitInt> {
    let hint = "`max` takes the number of retries; write `max = 3`";
    match value_of(key) {
        Some(Expr::Lit(ExprLit { lit: Lit::Int(number), .. })) => return Some(number.clone()),
        Some(other) => errors.at(other, hint),
        None => errors.at(key, hint),
    }
    None
}

/// A number with or without decimals.
pub(super) fn fraction(key: &Meta, errors: &mut Errors) -> Option<Lit> {
    let hint = "`jitter` takes a number from 0 to 1; write `jitter = 0.2`";
    match value_of(key) {
        Some(Expr::Lit(ExprLit { lit: lit @ (Lit::Float(_) | Lit::Int(_)), .. })) => {
            return Some(lit.clone());
        }
        Some(other) => errors.at(other, hint),
        None => errors.at(key, hint),
    }
    None
}

pub(super) fn text(key: &Meta, name: &str, example: &str, errors: &mut Errors) -> Option<LitStr> {
    let hint = format!("`{name}` takes a text; write `{name} = \"{example}\"`");
    match value_of(key) {
        Some(Expr::Lit(ExprLit { lit: Lit::Str(text), .. })) => return Some(text.clone()),
        Some(Expr::Lit(ExprLit { lit: Lit::Int(number), .. })) if name == "within" => {
            errors.at(number, format!("`within` needs a unit; write `within = \"{number}s\"` for seconds"));
        }
        // Without quotes, the text of a backoff is also an expression of Rust.
        Some(other) if name == "backoff" => {
            let meant = parse_backoff(&other.to_token_stream().to_string());
            let meant =
                meant.map(|backoff| format!("`backoff` takes a text; write `backoff = \"{backoff}\"`"));
            errors.at(other, meant.unwrap_or(hint));
        }
        Some(other) => errors.at(other, hint),
        None => errors.at(key, hint),
    }
    None
}

/// Whether progress resets the count of attempts.
pub(super) fn progress(key: &Meta, errors: &mut Errors) -> bool {
    match value_of(key) {
        Some(Expr::Lit(ExprLit { lit: Lit::Str(text), .. })) if text.value() == "resets" => return true,
        Some(other) => errors.at(other, PROGRESS),
        None => errors.at(key, PROGRESS),
    }
    false
}

/// The path of a function.
pub(super) fn function(key: &Meta, errors: &mut Errors) -> Option<ExprPath> {
    let hint = "`when` takes a function from the error to `bool`; write its path, such as `when = SendError::is_transient`";
    match value_of(key) {
        Some(Expr::Path(path)) => return Some(path.clone()),
        Some(Expr::Lit(ExprLit { lit: Lit::Str(text), .. }))
            if syn::parse_str::<ExprPath>(&text.value()).is_ok() =>
        {
            errors.at(text, format!("`when` takes the path of a function; write `when = {}`", text.value()));
        }
        Some(other) => errors.at(other, hint),
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
pub(super) fn unknown(name: &str) -> String {
    let way = match name {
        "attempts" | "max_attempts" => {
            "`max` counts the retries after the first attempt: `max = 3` allows four attempts"
        }
        "delay" | "fixed" | "interval" => "write `backoff = \"fixed(30s)\"`",
        "delays" | "intervals" => "write `backoff = \"delays(1s, 10s, 1m)\"`",
        "base" | "cap" | "max_delay" | "exponential" => "write `backoff = \"exponential(15s, 1h)\"`",
        "factor" | "multiplier" => "write `backoff = \"exponential(15s, 1h, 1.5)\"`",
        "times" | "count" | "limit" | "retries" | "max_retries" => "did you mean `max`?",
        "deadline" | "max_age" | "retry_for" | "timeout" | "max_elapsed" => "did you mean `within`?",
        "kinds" | "errors" | "failures" => "did you mean `on`?",
        "retry_if" | "only_if" | "filter" | "predicate" => "did you mean `when`?",
        _ => match nearest(name, KEYS) {
            Some(near) => return format!("`retry` has no `{name}`; did you mean `{near}`?"),
            None => "use `max`, `backoff`, `jitter`, `within`, `on`, `when` and `progress`",
        },
    };
    format!("`retry` has no `{name}`; {way}")
}
