//! How options name what a key is made of: fields of the argument, or a function of it.

use proc_macro2::{Span, TokenStream};
use quote::quote_spanned;
use scheduler_syntax::nearest;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned;
use syn::{Expr, ExprLit, ExprPath, Ident, Lit, LitStr, Token};

use crate::errors::Errors;

const KEYS: &str = "name a field of the argument, such as `key = \"customer\"`, several in brackets, or a function of the argument, such as `key = Order::number`";

/// One part in the parentheses. Its name may be a keyword.
pub(crate) struct Part {
    pub(crate) name: Ident,
    pub(crate) value: Option<Expr>,
}

impl Parse for Part {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let name = Ident::parse_any(input)?;
        let value = if input.parse::<Option<Token![=]>>()?.is_some() { Some(input.parse()?) } else { None };
        Ok(Self { name, value })
    }
}

/// What a key is made of.
pub(crate) enum Key {
    /// The job: it has one key.
    Job,
    /// Fields of the argument.
    Fields(Vec<LitStr>),
    /// A function of the argument.
    Function(ExprPath),
}

impl Key {
    /// Where it is written; nothing for the job.
    pub(crate) fn span(&self) -> Option<Span> {
        match self {
            Self::Job => None,
            Self::Fields(fields) => fields.first().map(LitStr::span),
            Self::Function(path) => Some(path.span()),
        }
    }

    /// Whether both are made of the same.
    pub(crate) fn is(&self, other: &Self) -> bool {
        let texts = |fields: &[LitStr]| fields.iter().map(LitStr::value).collect::<Vec<_>>();
        match (self, other) {
            (Self::Job, Self::Job) => true,
            (Self::Fields(own), Self::Fields(others)) => texts(own) == texts(others),
            (Self::Function(own), Self::Function(other)) => own == other,
            _ => false,
        }
    }
}

/// The place of a field in the argument; the name of the parameter is the argument itself.
pub(crate) fn place(field: &LitStr, parameter: Option<&Ident>) -> TokenStream {
    let text = field.value();
    if parameter.is_some_and(|parameter| *parameter == text) {
        return quote_spanned!(field.span()=> args);
    }
    let members = text.split('.').map(|member| match member.parse::<u32>() {
        Ok(index) => syn::Member::Unnamed(syn::Index { index, span: field.span() }),
        Err(_) => syn::Member::Named(Ident::new(member, field.span())),
    });
    quote_spanned!(field.span()=> &args #(.#members)*)
}

/// The key that is written there.
pub(crate) fn key(part: &Part, errors: &mut Errors) -> Option<Key> {
    let field = |text: &LitStr, errors: &mut Errors| {
        let value = text.value();
        let is_name = |part: &str| syn::parse_str::<Ident>(part).is_ok() || part.parse::<u32>().is_ok();
        if value.is_empty() || !value.split('.').all(is_name) {
            errors.at(text, format!("`{value}` is no field; {KEYS}"));
            return None;
        }
        Some(text.clone())
    };
    match &part.value {
        Some(Expr::Lit(ExprLit { lit: Lit::Str(text), .. })) => Some(Key::Fields(vec![field(text, errors)?])),
        Some(Expr::Path(path)) => Some(Key::Function(path.clone())),
        Some(Expr::Array(array)) if !array.elems.is_empty() => {
            let mut fields = Vec::new();
            for element in &array.elems {
                match element {
                    Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => fields.extend(field(text, errors)),
                    other => errors.at(other, format!("this is no name of a field; {KEYS}")),
                }
            }
            (!fields.is_empty()).then_some(Key::Fields(fields))
        }
        Some(other) => {
            errors.at(other, format!("this is no key; {KEYS}"));
            None
        }
        None => {
            errors.at(&part.name, format!("`key` has no value; {KEYS}"));
            None
        }
    }
}

/// Which of these words it is.
pub(crate) fn word(part: &Part, words: &[&'static str], errors: &mut Errors) -> Option<&'static str> {
    let name = part.name.unraw();
    let all = words.iter().map(|word| format!("`\"{word}\"`")).collect::<Vec<_>>().join(", ");
    let Some(Expr::Lit(ExprLit { lit: Lit::Str(text), .. })) = &part.value else {
        errors.at(&part.name, format!("`{name}` takes one of {all}"));
        return None;
    };
    let value = text.value();
    if let Some(word) = words.iter().find(|word| **word == value) {
        return Some(word);
    }
    let hint = match &*value {
        "keep_last" => {
            "`\"replace\"` also lets one run wait behind the one that runs, with the latest data".to_owned()
        }
        "merge" => "name the function: `merge = Order::merge`".to_owned(),
        "started" | "waiting" => "use `\"queued\"` for until the first attempt begins".to_owned(),
        "finished" | "running" => "use `\"unfinished\"`, the default, for until the run is over".to_owned(),
        _ => match nearest(&value, words.iter().copied()) {
            Some(near) => format!("did you mean `\"{near}\"`?"),
            None => format!("use one of {all}"),
        },
    };
    errors.at(text, format!("there is no `{value}` here; {hint}"));
    None
}
