//! The options `unique` and `debounce`: how they are written, what they mean, and the function that makes the key of a run.

use std::time::Duration;

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use scheduler_syntax::{nearest, parse_duration};
use syn::ext::IdentExt;
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Expr, ExprLit, ExprPath, Ident, Lit, Meta, Path, Token, Type};

use crate::errors::Errors;
use crate::keys::{Key, Part, key, place, word};

const UNIQUE: [&str; 6] = ["key", "while", "for", "on_conflict", "merge", "across"];
const DEBOUNCE: [&str; 5] = ["key", "quiet", "at_most", "keep", "across"];

/// The option, without its mistakes.
pub(crate) struct Unique {
    pub(crate) span: Span,
    pub(crate) key: Key,
    across_jobs: bool,
    until_started: bool,
    for_at_least: Option<Duration>,
    conflict: Option<Ident>,
    merge: Option<ExprPath>,
    debounce: Option<(Duration, Option<Duration>, bool)>,
}

impl Unique {
    pub(crate) fn read(name: &str, option: &Meta, errors: &mut Errors) -> Option<Self> {
        let debounces = name == "debounce";
        let parts = match option {
            Meta::Path(_) => Vec::new(),
            Meta::List(list) => {
                let parts = Punctuated::<Part, Token![,]>::parse_terminated.parse2(list.tokens.clone());
                let problem = |error: syn::Error| {
                    errors
                        .push(syn::Error::new(error.span(), format!("{error}; write `{name}(key = \"…\")`")));
                };
                parts.map_err(problem).ok()?.into_iter().collect()
            }
            Meta::NameValue(pair) => {
                errors.at(
                    &pair.value,
                    format!("`{name}` takes its parts in parentheses; write `{name}(key = \"…\")`"),
                );
                return None;
            }
        };
        let mut unique = Self {
            span: option.path().span(),
            key: Key::Job,
            across_jobs: false,
            until_started: false,
            for_at_least: None,
            conflict: None,
            merge: None,
            debounce: None,
        };
        let (mut seen, mut quiet, mut at_most, mut keeps_first) = (Vec::new(), None, None, false);
        for part in &parts {
            let of = part.name.unraw().to_string();
            let known: &[&str] = if debounces { &DEBOUNCE } else { &UNIQUE };
            if seen.contains(&of) {
                errors.at(&part.name, format!("`{of}` is given twice; keep one"));
            } else if !known.contains(&&*of) {
                errors.at(&part.name, unknown(name, &of, known));
            } else {
                match &*of {
                    "quiet" => quiet = time(part, errors).map(|time| (time, part.name.span())),
                    "at_most" => at_most = time(part, errors).map(|time| (time, part.name.span())),
                    "keep" => keeps_first = word(part, &["latest", "first"], errors) == Some("first"),
                    _ => unique.take(&of, part, errors),
                }
            }
            seen.push(of);
        }
        if debounces {
            unique.debounce = match quiet {
                // It has a mistake of its own.
                None if seen.iter().any(|part| part == "quiet") => None,
                quiet => debounce(option, quiet, at_most, keeps_first, errors),
            };
        }
        Some(unique)
    }

    fn take(&mut self, of: &str, part: &Part, errors: &mut Errors) {
        match of {
            "key" => self.key = key(part, errors).unwrap_or(Key::Job),
            "while" => self.until_started = word(part, &["queued", "unfinished"], errors) == Some("queued"),
            "for" => self.for_at_least = time(part, errors),
            "across" => self.across_jobs = word(part, &["job", "jobs"], errors) == Some("jobs"),
            "merge" => match &part.value {
                Some(Expr::Path(path)) => self.merge = Some(path.clone()),
                _ => errors.at(&part.name, "`merge` takes a function of two arguments, the one that waits and the new one; write its path, such as `merge = Order::merge`"),
            },
            _ => {
                let words = ["skip", "replace", "refuse"];
                let of = word(part, &words, errors);
                let variant = of.map(|word| match word {
                    "skip" => "Skip",
                    "replace" => "Replace",
                    _ => "Refuse",
                });
                self.conflict = variant.map(|variant| Ident::new(variant, part.name.span()));
            }
        }
        if let (Some(conflict), Some(merge)) = (&self.conflict, &self.merge) {
            let span = if of == "merge" { merge.span() } else { conflict.span() };
            errors.push(syn::Error::new(
                span,
                "`merge` says what becomes of a second run, and so does `on_conflict`; keep one",
            ));
        }
    }

    /// The function that makes the key of a run of its argument.
    pub(crate) fn function(
        &self,
        krate: &Path,
        args: Option<&Type>,
        parameter: Option<&Ident>,
    ) -> TokenStream {
        let key = match &self.key {
            Key::Job => quote!(#krate::run::Unique::key(Self::NAME)),
            Key::Function(path) => quote_spanned!(path.span()=> #krate::run::Unique::key(#path(args))),
            Key::Fields(fields) => {
                let mut parts = fields.iter().map(|field| place(field, parameter));
                let first = parts.next();
                let others = parts.map(|part| quote_spanned!(part.span()=> .and(#part)));
                quote!(#krate::run::Unique::key(#first) #(#others)*)
            }
        };
        let time = |time: &Duration| {
            let (seconds, nanos) = (time.as_secs(), time.subsec_nanos());
            quote!(::core::time::Duration::new(#seconds, #nanos))
        };
        let across = self.across_jobs.then(|| quote!(.across_jobs()));
        let started = self.until_started.then(|| quote!(.until_started()));
        let least = self.for_at_least.iter().map(|least| {
            let least = time(least);
            quote!(.for_at_least(#least))
        });
        let conflict = self.conflict.iter().map(|word| quote!(.on_conflict(#krate::run::OnConflict::#word)));
        let merge = self.merge.iter().zip(args).map(|(path, args)| {
            quote_spanned!(path.span()=> .on_conflict(#krate::__private::merge::<#args>(#path)))
        });
        let debounce = self.debounce.iter().map(|(quiet, at_most, keeps_first)| {
            let quiet = time(quiet);
            let at_most = at_most.iter().map(|at_most| {
                let at_most = time(at_most);
                quote!(.at_most(#at_most))
            });
            let first = keeps_first.then(|| quote!(.keep_first()));
            quote!(.debounced(#quiet) #(#at_most)* #first)
        });
        let args = args.map_or_else(|| quote!(#krate::JobData), |args| quote!(#args));
        quote! {
            #[allow(unused_variables)]
            fn __unique(args: &#args) -> #krate::run::Unique {
                #key #across #started #(#least)* #(#conflict)* #(#merge)* #(#debounce)*
            }
        }
    }
}

fn debounce(
    option: &Meta,
    quiet: Option<(Duration, Span)>,
    at_most: Option<(Duration, Span)>,
    keeps_first: bool,
    errors: &mut Errors,
) -> Option<(Duration, Option<Duration>, bool)> {
    let Some((quiet, _)) = quiet else {
        errors.at(option.path(), "`debounce` needs the time without a call after which the run begins; write `debounce(key = \"…\", quiet = \"5s\")`");
        return None;
    };
    if let Some((_, span)) = at_most.filter(|(at_most, _)| *at_most <= quiet) {
        errors.push(syn::Error::new(
            span,
            "`at_most` is not longer than `quiet`, so no call could put the run off; use a longer time",
        ));
    }
    Some((quiet, at_most.map(|(at_most, _)| at_most), keeps_first))
}

fn time(part: &Part, errors: &mut Errors) -> Option<Duration> {
    let name = part.name.unraw();
    let hint = format!("`{name}` takes a time; write `{name} = \"30s\"`");
    let Some(Expr::Lit(ExprLit { lit: Lit::Str(text), .. })) = &part.value else {
        match &part.value {
            Some(Expr::Lit(ExprLit { lit: Lit::Int(number), .. })) => {
                errors
                    .at(number, format!("`{name}` needs a unit; write `{name} = \"{number}s\"` for seconds"));
            }
            Some(other) => errors.at(other, hint),
            None => errors.at(&part.name, hint),
        }
        return None;
    };
    let time = parse_duration(&text.value()).map_err(|error| errors.at(text, error)).ok()?;
    if time < Duration::from_millis(1) {
        errors.at(text, format!("`{name}` is shorter than a millisecond; use at least `1ms`"));
        return None;
    }
    Some(time)
}

fn unknown(option: &str, part: &str, known: &[&'static str]) -> String {
    let hint = match part {
        "args" | "by" | "fields" | "id" => "did you mean `key`?".to_owned(),
        "period" | "ttl" | "expires" | "lasts" if option == "unique" => "did you mean `for`?".to_owned(),
        "delay" | "wait" if option == "debounce" => "did you mean `quiet`?".to_owned(),
        "max_delay" | "timeout" if option == "debounce" => "did you mean `at_most`?".to_owned(),
        "scope" | "states" | "until" if option == "unique" => {
            "write `while = \"queued\"` for until the first attempt begins; the default is until the run is over".to_owned()
        }
        _ => match nearest(part, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("use some of {}", known.join(", ")),
        },
    };
    format!("`{option}` has no part `{part}`; {hint}")
}
