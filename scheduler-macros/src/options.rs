//! The options in `#[job(…)]`: which exist, and that each is written in its shape and once.
//!
//! What they mean is looked at in [`check`](crate::check), so that a mistake in one does not hide a mistake in another.

use proc_macro2::{Span, TokenStream};
use quote::ToTokens;
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::{Expr, ExprLit, ExprPath, Lit, LitStr, Meta, Path, Token};

use crate::dead::{self, ON_DEAD};
use crate::errors::Errors;
use crate::fair::{FAIR, Fair};
use crate::foreign;
use crate::limits::{LIMITS, Limit};
use crate::output::Output;
use crate::retry;
use crate::sequence::{SEQUENCE, Sequence};
use crate::unique::Unique;

const TEXTS: [&str; 15] = [
    "name",
    "group",
    "description",
    "cron",
    "time_zone",
    "every",
    "calendar",
    "misfire",
    "overlap",
    QUEUE,
    "timeout",
    "boost",
    "expires",
    "keep",
    "delivery",
];
const FLAGS: [&str; 6] =
    ["durable", "disallow_concurrent", "persist_data", "requests_recovery", "log", "blocking"];

/// What makes runs unique.
const UNIQUE: [&str; 2] = ["unique", "debounce"];

const OUTPUT: &str = "output";

const QUEUE: &str = "queue";
/// What Quartz calls a queue.
const ALIAS: &str = "execution_group";

/// What was written, not yet looked at more closely.
pub(crate) struct Options {
    texts: [Option<LitStr>; TEXTS.len()],
    flags: [Option<Span>; FLAGS.len()],
    pub(crate) retry: Option<retry::Written>,
    pub(crate) unique: Option<Unique>,
    pub(crate) limits: Vec<Limit>,
    pub(crate) sequence: Option<Sequence>,
    pub(crate) fair: Option<Fair>,
    pub(crate) output: Option<Output>,
    pub(crate) on_dead: Option<ExprPath>,
    seen: Vec<String>,
    /// The options that those with a wrong name stand for.
    meant: Vec<&'static str>,
    /// Some options could not be read, so what seems to be missing may be among them.
    unreadable: bool,
    pub(crate) krate: Path,
}

impl Options {
    fn new() -> Self {
        Self {
            texts: Default::default(),
            flags: Default::default(),
            retry: None,
            unique: None,
            limits: Vec::new(),
            sequence: None,
            fair: None,
            output: None,
            on_dead: None,
            seen: Vec::new(),
            meant: Vec::new(),
            unreadable: false,
            krate: syn::parse_quote!(::scheduler_core),
        }
    }

    /// Reads the options between the parentheses.
    pub(crate) fn read(tokens: TokenStream, errors: &mut Errors) -> Self {
        let mut options = Self::new();
        match Punctuated::<Meta, Token![,]>::parse_terminated.parse2(tokens) {
            Ok(all) => all.into_iter().for_each(|option| options.take(option, errors)),
            Err(error) => {
                options.unreadable = true;
                errors.push(syn::Error::new(
                    error.span(),
                    format!("{error}; write options as `name = \"…\"`, separated by commas"),
                ));
            }
        }
        options
    }

    /// The text of an option, if it is given.
    pub(crate) fn text(&self, name: &str) -> Option<&LitStr> {
        self.texts[TEXTS.iter().position(|known| *known == name)?].as_ref()
    }

    /// Whether an option is given or may be meant, also with a mistake that is reported by itself.
    pub(crate) fn seems_given(&self, name: &str) -> bool {
        self.unreadable || self.seen.iter().any(|seen| seen == name) || self.meant.contains(&name)
    }

    /// Where a flag was set.
    pub(crate) fn flag(&self, name: &str) -> Option<Span> {
        self.flags[FLAGS.iter().position(|known| *known == name)?]
    }

    fn take(&mut self, option: Meta, errors: &mut Errors) {
        let Some(name) = option.path().get_ident().map(ToString::to_string) else {
            return errors.at(option.path(), "expected the name of an option");
        };
        if self.seen.contains(&name) && !LIMITS.contains(&&*name) {
            return errors.at(option.path(), format!("`{name}` is given twice; keep one"));
        }
        let meant = if name == ALIAS { QUEUE } else { &name };
        if meant == QUEUE && self.seen.iter().any(|seen| [QUEUE, ALIAS].contains(&&**seen)) {
            return errors.at(option.path(), format!("`{ALIAS}` is an alias of `{QUEUE}`; keep one"));
        }
        if let Some(index) = TEXTS.iter().position(|known| *known == meant) {
            self.texts[index] = text_of(&name, &option, errors);
        } else if let Some(index) = FLAGS.iter().position(|known| *known == name) {
            self.flags[index] =
                flag_of(&name, &option, errors).then(|| syn::spanned::Spanned::span(option.path()));
        } else if name == "retry" {
            self.retry = retry::Written::read(&option, errors);
        } else if UNIQUE.contains(&&*name) {
            if self.seen.iter().any(|seen| UNIQUE.contains(&&**seen)) {
                errors.at(option.path(), "`debounce` makes runs unique, too; keep `unique` or `debounce`");
            }
            self.unique = Unique::read(&name, &option, errors);
        } else if LIMITS.contains(&&*name) {
            self.limits.extend(Limit::read(&name, &option, errors));
        } else if name == SEQUENCE {
            self.sequence = Sequence::read(&option, errors);
        } else if name == FAIR {
            self.fair = Fair::read(&option, errors);
        } else if name == OUTPUT {
            self.output = Output::read(&option, errors);
        } else if name == ON_DEAD {
            self.on_dead = dead::read(&option, errors);
        } else if name == "crate" {
            self.take_crate(&option, errors);
        } else {
            let known = [
                &TEXTS[..],
                &["retry"],
                &UNIQUE,
                &LIMITS,
                &[SEQUENCE, FAIR, ON_DEAD],
                &FLAGS,
                &[OUTPUT, "crate"],
            ]
            .concat();
            self.meant.extend(foreign::meant(&name, &known));
            errors.at(option.path(), foreign::unknown(&name, &known));
        }
        self.seen.push(name);
    }

    fn take_crate(&mut self, option: &Meta, errors: &mut Errors) {
        match option {
            Meta::NameValue(pair) => match syn::parse2(pair.value.to_token_stream()) {
                Ok(path) => self.krate = path,
                Err(_) => errors.at(&pair.value, "expected a path, such as `crate = my_scheduler`"),
            },
            other => errors.at(other, "expected a path, such as `crate = my_scheduler`"),
        }
    }
}

fn text_of(name: &str, option: &Meta, errors: &mut Errors) -> Option<LitStr> {
    let example = match name {
        "cron" => "0 0 2 * * ?",
        "time_zone" => "Europe/Berlin",
        "every" | "timeout" | "boost" | "expires" | "keep" => "30s",
        "misfire" | "overlap" => "skip",
        "delivery" => "at_most_once",
        _ => "…",
    };
    match option {
        Meta::NameValue(pair) => match &pair.value {
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => return Some(text.clone()),
            Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) if example == "30s" => {
                errors
                    .at(number, format!("`{name}` needs a unit; write `{name} = \"{number}s\"` for seconds"));
            }
            other => errors.at(other, format!("`{name}` takes a text; write `{name} = \"{example}\"`")),
        },
        other => errors.at(other, format!("`{name}` takes a text; write `{name} = \"{example}\"`")),
    }
    None
}

fn flag_of(name: &str, option: &Meta, errors: &mut Errors) -> bool {
    match option {
        Meta::Path(_) => return true,
        Meta::NameValue(pair) => {
            if let Expr::Lit(ExprLit { lit: Lit::Bool(value), .. }) = &pair.value {
                return value.value;
            }
            errors.at(&pair.value, format!("`{name}` is a flag; write `{name}` or `{name} = false`"));
        }
        Meta::List(list) => {
            errors.at(list, format!("`{name}` is a flag; write `{name}` or `{name} = false`"));
        }
    }
    false
}
