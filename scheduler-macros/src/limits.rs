//! The options `limit` and `rate`: how they are written, and the functions that make the limits of a run.

use std::time::Duration;

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use scheduler_syntax::{nearest, parse_duration};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Expr, ExprLit, ExprPath, Ident, Lit, LitInt, LitStr, Meta, Path, Token, Type};

use crate::errors::Errors;
use crate::keys::{Key, Part, key, place, word};

/// The options that limit runs. Each may be given several times.
pub(crate) const LIMITS: [&str; 2] = ["limit", RATE];

const RATE: &str = "rate";
const PARTS_OF_LIMIT: [&str; 6] = ["key", "name", "max", "weight", "when_full", "hold"];
const PARTS_OF_RATE: [&str; 6] = ["key", "name", "cost", "smooth", "burst", "when_full"];

/// What becomes of a run that finds its limit full. The last one is none of a rate.
const WHEN_FULL: [(&str, &str); 5] = [
    ("wait", "Wait"),
    ("skip", "Skip"),
    ("keep_newest", "KeepNewest"),
    ("keep_oldest", "KeepOldest"),
    ("cancel_running", "CancelRunning"),
];

/// How long a run holds its limit.
const HOLD: [(&str, &str); 2] = [("attempt", "Attempt"), ("run", "Run")];

/// A run has at most so many limits.
const MOST: usize = 4;
const LONGEST_WINDOW: Duration = Duration::from_secs(24 * 86_400);

const HOW_TO_RATE: &str = "write how many attempts may begin in which time, such as `rate = \"100/1m\"`";
const HOW_TO_LIMIT: &str = "write `limit(key = \"…\", max = 2)`";

/// How many slots a run takes.
enum Weight {
    Number(u32, Span),
    Field(LitStr),
    Function(ExprPath),
}

/// One limit, without its mistakes.
pub(crate) struct Limit {
    span: Span,
    name: Option<LitStr>,
    pub(crate) key: Key,
    max: u32,
    weight: Option<Weight>,
    rate: Option<Rate>,
    when_full: Option<Ident>,
    hold: Option<Ident>,
}

struct Rate {
    window: Duration,
    burst: Option<(u32, Span)>,
}

/// The parts in the parentheses; those of `rate` begin with a text.
struct Parts {
    rate: Option<LitStr>,
    parts: Punctuated<Part, Token![,]>,
}

impl Parse for Parts {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let rate = if input.peek(LitStr) { Some(input.parse()?) } else { None };
        if rate.is_some() && !input.is_empty() {
            input.parse::<Token![,]>()?;
        }
        Ok(Self { rate, parts: Punctuated::parse_terminated(input)? })
    }
}

impl Limit {
    /// Whether the argument of a run says what its key or its weight is.
    fn reads_argument(&self) -> bool {
        self.key.span().is_some() || matches!(self.weight, Some(Weight::Field(_) | Weight::Function(_)))
    }

    pub(crate) fn read(of: &str, option: &Meta, errors: &mut Errors) -> Option<Self> {
        let Parts { rate, parts } = parts_of(of, option, errors)?;
        let span = option.path().span();
        let (name, weight, when_full, hold) = Default::default();
        let mut limit = Self { span, name, key: Key::Job, max: 0, weight, rate: None, when_full, hold };
        match rate {
            Some(text) if of == RATE => {
                let (max, window) = rate_of(&text, errors)?;
                (limit.max, limit.rate) = (max, Some(Rate { window, burst: None }));
            }
            Some(text) => {
                errors.at(&text, format!("`limit` counts the runs under way; {HOW_TO_LIMIT}, or use `rate` for so many attempts in a time"));
                return None;
            }
            None if of == RATE => {
                errors.at(option.path(), format!("`rate` needs a number and a time; {HOW_TO_RATE}"));
                return None;
            }
            None => {}
        }
        limit.take_all(of, &parts, errors);
        let has_max = parts.iter().any(|part| part.name == "max");
        if limit.rate.is_none() && !has_max {
            errors.at(
                option.path(),
                "`limit` needs the number of runs that may be under way at the same time; write `max = 2`",
            );
        }
        // Without a number the mistake is reported, and nothing can be compared with it.
        (limit.max > 0).then(|| {
            limit.check_numbers(errors);
            limit
        })
    }

    fn take_all(&mut self, of: &str, parts: &Punctuated<Part, Token![,]>, errors: &mut Errors) {
        let known: &[&str] = if of == RATE { &PARTS_OF_RATE } else { &PARTS_OF_LIMIT };
        let mut seen = Vec::new();
        for part in parts {
            let name = part.name.unraw().to_string();
            if seen.contains(&name) {
                errors.at(&part.name, format!("`{name}` is given twice; keep one"));
            } else if known.contains(&&*name) {
                self.take(&name, part, errors);
            } else {
                errors.at(&part.name, unknown(of, &name, known));
            }
            seen.push(name);
        }
    }

    fn take(&mut self, name: &str, part: &Part, errors: &mut Errors) {
        match name {
            "key" => self.key = key(part, errors).unwrap_or(Key::Job),
            "name" => self.name = name_of(part, errors),
            "max" => self.max = number(part, errors).map_or(0, |(number, _)| number),
            "smooth" if part.value.is_some() => {
                errors.at(&part.value, "`smooth` has no value; write `smooth`, or `burst = 5`");
            }
            "smooth" => self.spread((1, part.name.span())),
            "when_full" => {
                let known = if self.is_rate() { &WHEN_FULL[..WHEN_FULL.len() - 1] } else { &WHEN_FULL[..] };
                self.when_full = case(part, known, errors);
            }
            "hold" => self.hold = case(part, &HOLD, errors),
            "burst" => number(part, errors).into_iter().for_each(|burst| self.spread(burst)),
            _ => self.weight = weight(part, errors),
        }
    }

    /// The attempts of a rate are spread. `smooth` beside `burst` changes nothing.
    fn spread(&mut self, new: (u32, Span)) {
        if let Some(Rate { burst, .. }) = &mut self.rate {
            *burst = Some(burst.map_or(new, |known| if known.0 > new.0 { known } else { new }));
        }
    }

    fn check_numbers(&self, errors: &mut Errors) {
        let burst = self.rate.as_ref().and_then(|rate| rate.burst);
        if let Some((burst, span)) = burst.filter(|(burst, _)| *burst > self.max) {
            let max = self.max;
            let problem =
                format!("a burst of {burst} is more than the rate of {max} allows; use at most {max}");
            errors.push(syn::Error::new(span, problem));
        }
        let most = burst.map_or(self.max, |(burst, _)| burst.min(self.max));
        if let Some(Weight::Number(weight, span)) = self.weight
            && weight > most
        {
            let problem = format!(
                "a run that counts as {weight} could never begin where {most} are allowed at once; use at most {most}"
            );
            errors.push(syn::Error::new(span, problem));
        }
    }

    /// Only runs of this job have the limit.
    pub(crate) fn is_own(&self) -> bool {
        self.name.is_none()
    }

    pub(crate) fn is_rate(&self) -> bool {
        self.rate.is_some()
    }

    fn function(&self, number: usize, args: &Args<'_>) -> TokenStream {
        let Args { krate, ty, parameter } = args;
        let name = self.name.as_ref().map_or_else(|| quote!(Self::NAME), |name| quote!(#name));
        let max = self.max;
        let limit = match &self.rate {
            Some(Rate { window, burst }) => {
                let (seconds, nanos) = (window.as_secs(), window.subsec_nanos());
                let burst = burst.iter().map(|(burst, _)| quote!(.burst(#burst)));
                quote!(rate(#name, #max, ::core::time::Duration::new(#seconds, #nanos)) #(#burst)*)
            }
            None => quote!(new(#name, #max)),
        };
        let keys = match &self.key {
            Key::Job => Vec::new(),
            Key::Function(path) => vec![quote_spanned!(path.span()=> .key(#path(args)))],
            Key::Fields(fields) => {
                let part = |field: &LitStr| {
                    let part = place(field, *parameter);
                    quote_spanned!(field.span()=> .key(#part))
                };
                fields.iter().map(part).collect()
            }
        };
        let weight = self.weight.iter().map(|weight| match weight {
            Weight::Number(number, _) => quote!(.weight(#number)),
            Weight::Function(path) => {
                quote_spanned!(path.span()=> .weight(#krate::__private::weight(#path(args))))
            }
            Weight::Field(field) => {
                let value = place(field, *parameter);
                quote_spanned!(field.span()=> .weight(#krate::__private::weight_of(#value)))
            }
        });
        let when_full = self.when_full.iter().map(|case| quote!(.when_full(#krate::run::WhenFull::#case)));
        let hold = self.hold.iter().map(|case| quote!(.hold(#krate::run::Hold::#case)));
        let function = format_ident!("__limit_{number}");
        let args = ty.filter(|_| self.reads_argument());
        let args = args.map_or_else(|| quote!(#krate::JobData), |ty| quote!(#ty));
        quote! {
            #[allow(unused_variables)]
            fn #function(args: &#args) -> #krate::run::Limit {
                #krate::run::Limit::#limit #(#keys)* #(#weight)* #(#when_full)* #(#hold)*
            }
        }
    }
}

/// What the functions are made of: the argument of the job and its name.
pub(crate) struct Args<'a> {
    pub(crate) krate: &'a Path,
    pub(crate) ty: Option<&'a Type>,
    pub(crate) parameter: Option<&'a Ident>,
}

/// The functions that make the limits of a run of its argument.
pub(crate) fn functions(limits: &[Limit], args: &Args<'_>) -> TokenStream {
    limits.iter().enumerate().map(|(number, limit)| limit.function(number, args)).collect()
}

/// The calls that give runs their limits; `owner` has the functions.
pub(crate) fn limiting(limits: &[Limit], owner: &TokenStream, args: Option<&Type>) -> TokenStream {
    let call = |(number, limit): (usize, &Limit)| {
        let function = format_ident!("__limit_{number}");
        let name = limit.name.as_ref().map_or_else(|| quote!(#owner::NAME), |name| quote!(#name));
        let max = limit.max;
        let millis = limit.rate.as_ref().map_or(0, |rate| rate.window.as_millis() as u64);
        let made = match args.filter(|_| limit.reads_argument()) {
            Some(args) => quote!(.limit::<#args>(#owner::#function)),
            None => quote!(.limit_by(#owner::#function)),
        };
        quote!(#made.limit_declared(#name, #max, #millis))
    };
    limits.iter().enumerate().map(call).collect()
}

/// Reports mistakes that only show when all limits of a job are read together.
pub(crate) fn check(limits: &[Limit], args: Option<&Type>, errors: &mut Errors) {
    let name = |limit: &Limit| limit.name.as_ref().map(LitStr::value);
    for (place, limit) in limits.iter().enumerate() {
        if args.is_none() {
            let of_weight = match &limit.weight {
                Some(Weight::Field(field)) => Some(field.span()),
                Some(Weight::Function(path)) => Some(path.span()),
                _ => None,
            };
            for span in limit.key.span().into_iter().chain(of_weight) {
                let problem = "the job has no argument that this could be made of; leave it out";
                errors.push(syn::Error::new(span, problem));
            }
        }
        if place == MOST {
            errors.push(syn::Error::new(
                limit.span,
                format!("a run has at most {MOST} limits; leave some out"),
            ));
        }
        if limits[..place].iter().any(|other| name(limit) == name(other)) {
            let span = limit.name.as_ref().map_or(limit.span, Spanned::span);
            let problem = "two limits of a job have the same name; give one of them another one, such as `name = \"github\"`";
            errors.push(syn::Error::new(span, problem));
        }
    }
}

fn parts_of(of: &str, option: &Meta, errors: &mut Errors) -> Option<Parts> {
    let is_rate = of == RATE;
    let hint = if is_rate { HOW_TO_RATE } else { HOW_TO_LIMIT };
    match option {
        Meta::List(list) => {
            let parts = Parser::parse2(Parts::parse, list.tokens.clone());
            parts.map_err(|error| errors.push(syn::Error::new(error.span(), format!("{error}; {hint}")))).ok()
        }
        Meta::NameValue(pair) if is_rate => {
            if let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = &pair.value {
                return Some(Parts { rate: Some(text.clone()), parts: Punctuated::new() });
            }
            errors.at(&pair.value, format!("`rate` takes a text; {hint}"));
            None
        }
        Meta::NameValue(pair) => {
            errors.at(&pair.value, format!("`limit` takes its parts in parentheses; {hint}"));
            None
        }
        Meta::Path(path) if is_rate => {
            errors.at(path, format!("`rate` needs a number and a time; {hint}"));
            None
        }
        Meta::Path(path) => {
            errors.at(path, format!("`limit` takes its parts in parentheses; {hint}"));
            None
        }
    }
}

fn rate_of(text: &LitStr, errors: &mut Errors) -> Option<(u32, Duration)> {
    let value = text.value();
    let Some((max, window)) = value.split_once('/') else {
        errors.at(text, format!("`{value}` is not a rate; {HOW_TO_RATE}"));
        return None;
    };
    let (max, window) = (max.trim(), window.trim());
    let window = match parse_duration(window) {
        Ok(time) if time >= Duration::from_millis(1) && time <= LONGEST_WINDOW => time,
        Ok(_) => {
            errors.at(text, format!("the time of the rate is `{window}`; use a time from `1ms` to `24d`"));
            return None;
        }
        Err(error) => {
            errors.at(text, format!("the time of the rate cannot be read: {error}; {HOW_TO_RATE}"));
            return None;
        }
    };
    match max.parse() {
        Ok(0) => errors.at(text, "with a rate of 0 no attempt could ever begin; use at least 1"),
        Ok(max) => return Some((max, window)),
        Err(_) => errors.at(text, format!("`{max}` is not a number of attempts; {HOW_TO_RATE}")),
    }
    None
}

/// The case of an enum that a word stands for.
fn case(part: &Part, known: &[(&'static str, &str)], errors: &mut Errors) -> Option<Ident> {
    let words: Vec<_> = known.iter().map(|(word, _)| *word).collect();
    let found = word(part, &words, errors)?;
    known.iter().find(|(word, _)| *word == found).map(|(_, case)| format_ident!("{case}"))
}

fn name_of(part: &Part, errors: &mut Errors) -> Option<LitStr> {
    if let Some(Expr::Lit(ExprLit { lit: Lit::Str(text), .. })) = &part.value {
        let name = text.value();
        if name.is_empty() || name.contains(char::is_control) {
            errors.at(text, "the name of a limit is empty or has control characters; use letters");
        }
        return Some(text.clone());
    }
    errors.at(&part.name, "`name` takes a text; write `name = \"github\"`");
    None
}

/// A number from 1 on.
fn number(part: &Part, errors: &mut Errors) -> Option<(u32, Span)> {
    let name = part.name.unraw();
    let value = |number: &LitInt, errors: &mut Errors| match number.base10_parse::<u32>() {
        Ok(0) => {
            errors.at(number, format!("with `{name} = 0` no run could ever begin; use at least 1"));
            None
        }
        Ok(value) => Some((value, number.span())),
        Err(_) => {
            errors.at(number, format!("`{name}` is at most {}; use a smaller number", u32::MAX));
            None
        }
    };
    let hint = format!("`{name}` takes a number; write `{name} = 2`");
    match &part.value {
        Some(Expr::Lit(ExprLit { lit: Lit::Int(number), .. })) => return value(number, errors),
        Some(other) => errors.at(other, hint),
        None => errors.at(&part.name, hint),
    }
    None
}

fn weight(part: &Part, errors: &mut Errors) -> Option<Weight> {
    match &part.value {
        Some(Expr::Lit(ExprLit { lit: Lit::Str(_), .. })) => match key(part, errors)? {
            Key::Fields(mut fields) => fields.pop().map(Weight::Field),
            _ => None,
        },
        Some(Expr::Path(path)) => Some(Weight::Function(path.clone())),
        _ => number(part, errors).map(|(number, span)| Weight::Number(number, span)),
    }
}

fn unknown(option: &str, part: &str, known: &[&'static str]) -> String {
    let hint = match part {
        "limit" | "slots" | "count" | "concurrency" if option != RATE => "did you mean `max`?".to_owned(),
        "by" | "args" | "partition" | "group" => "did you mean `key`?".to_owned(),
        "weight" if option == RATE => "did you mean `cost`?".to_owned(),
        "cost" => "did you mean `weight`?".to_owned(),
        "per" | "period" | "window" if option != RATE => {
            "for so many attempts in a time use `rate = \"100/1m\"`".to_owned()
        }
        "max" | "per" | "period" | "window" => {
            "the number and the time stand first: `rate(\"100/1m\", key = \"…\")`".to_owned()
        }
        _ => match nearest(part, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("use some of {}", known.join(", ")),
        },
    };
    format!("`{option}` has no part `{part}`; {hint}")
}
