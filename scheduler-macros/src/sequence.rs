//! The option `sequence`: how it is written, and the function that makes the sequence of a run.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use scheduler_syntax::nearest;
use syn::ext::IdentExt;
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Meta, Token, Type};

use crate::errors::Errors;
use crate::keys::{Key, Part, key, place, word};
use crate::limits::{Args, Limit};

pub(crate) const SEQUENCE: &str = "sequence";

const PARTS: [&str; 3] = ["key", "on_dead", "across"];
const HOW_TO: &str = "write `sequence(key = \"…\")`";

/// The option, without its mistakes.
pub(crate) struct Sequence {
    span: Span,
    key: Key,
    halts: bool,
    across_jobs: bool,
}

impl Sequence {
    pub(crate) fn read(option: &Meta, errors: &mut Errors) -> Option<Self> {
        let parts: Vec<Part> = match option {
            Meta::Path(_) => Vec::new(),
            Meta::List(list) => {
                let parts = Punctuated::<Part, Token![,]>::parse_terminated.parse2(list.tokens.clone());
                let problem = |error: syn::Error| {
                    errors.push(syn::Error::new(error.span(), format!("{error}; {HOW_TO}")));
                };
                parts.map_err(problem).ok()?.into_iter().collect()
            }
            Meta::NameValue(pair) => {
                errors.at(&pair.value, format!("`sequence` takes its parts in parentheses; {HOW_TO}"));
                return None;
            }
        };
        let span = option.path().span();
        let mut sequence = Self { span, key: Key::Job, halts: false, across_jobs: false };
        let mut seen = Vec::new();
        for part in &parts {
            let name = part.name.unraw().to_string();
            if seen.contains(&name) {
                errors.at(&part.name, format!("`{name}` is given twice; keep one"));
            } else {
                sequence.take(&name, part, errors);
            }
            seen.push(name);
        }
        Some(sequence)
    }

    fn take(&mut self, name: &str, part: &Part, errors: &mut Errors) {
        match name {
            "key" => self.key = key(part, errors).unwrap_or(Key::Job),
            "on_dead" => self.halts = word(part, &["continue", "halt"], errors) == Some("halt"),
            "across" => self.across_jobs = word(part, &["job", "jobs"], errors) == Some("jobs"),
            _ => errors.at(&part.name, unknown(name)),
        }
    }

    /// Reports mistakes that only show beside the other options of the job.
    pub(crate) fn check(&self, limits: &[Limit], args: Option<&Type>, errors: &mut Errors) {
        if let (None, Some(span)) = (args, self.key.span()) {
            let problem = "the job has no argument that a key could be made of; leave `key` out for one sequence of all runs";
            errors.push(syn::Error::new(span, problem));
        }
        let is_superfluous = |limit: &&Limit| limit.is_own() && !limit.is_rate() && limit.key.is(&self.key);
        if limits.iter().any(|limit| is_superfluous(&limit)) {
            let problem = "of a sequence one run is under way at a time, so a `limit` with the same key limits nothing; keep one of them";
            errors.push(syn::Error::new(self.span, problem));
        }
    }

    /// The function that makes the sequence of a run of its argument.
    pub(crate) fn function(&self, args: &Args<'_>) -> TokenStream {
        let Args { krate, ty, parameter } = args;
        let sequence = match &self.key {
            Key::Job => quote!(#krate::run::Sequence::of(Self::NAME)),
            Key::Function(path) => quote_spanned!(path.span()=> #krate::run::Sequence::of(#path(args))),
            Key::Fields(fields) => {
                let mut parts = fields.iter().map(|field| place(field, *parameter));
                let first = parts.next();
                let others = parts.map(|part| quote_spanned!(part.span()=> .and(#part)));
                quote!(#krate::run::Sequence::of(#first) #(#others)*)
            }
        };
        let across = self.across_jobs.then(|| quote!(.across_jobs()));
        let halts = self.halts.then(|| quote!(.halt_when_dead()));
        let args = ty.map_or_else(|| quote!(#krate::JobData), |ty| quote!(#ty));
        quote! {
            #[allow(unused_variables)]
            fn __sequence(args: &#args) -> #krate::run::Sequence {
                #sequence #across #halts
            }
        }
    }
}

/// The call that gives runs their sequence; `owner` has the function.
pub(crate) fn sequencing(
    sequence: Option<&Sequence>,
    owner: &TokenStream,
    args: Option<&Type>,
) -> Option<TokenStream> {
    sequence.map(|_| match args {
        Some(args) => quote!(.sequence::<#args>(#owner::__sequence)),
        None => quote!(.sequence_by(#owner::__sequence)),
    })
}

fn unknown(part: &str) -> String {
    let hint = match part {
        "by" | "args" | "id" => "did you mean `key`?".to_owned(),
        "halt" | "halt_when_dead" | "on_failure" | "on_error" => {
            "write `on_dead = \"halt\"` if a dead run keeps the others waiting".to_owned()
        }
        _ => match nearest(part, PARTS.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("use some of {}", PARTS.join(", ")),
        },
    };
    format!("`sequence` has no part `{part}`; {hint}")
}
