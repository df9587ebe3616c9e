//! `#[job]` on a function: what the function must look like, and which parameter is the argument.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::{FnArg, GenericArgument, ItemFn, PatType, PathArguments, ReturnType, Safety, Type};

use crate::check::Rules;
use crate::errors::Errors;
use crate::expand::{self, Job};
use crate::keys::Key;
use crate::limits;
use crate::options::Options;

/// Types that come from the run, by the last segment of their path.
const EXTRACTORS: [&str; 9] = [
    "State",
    "Provided",
    "Scoped",
    "JobContext",
    "CancellationToken",
    "Scheduler",
    "Client",
    "ThisBatch",
    "Resume",
];
const MOST_PARAMETERS: usize = 8;

pub(crate) fn expand(options: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let mut function: ItemFn = match syn::parse2(item.clone()) {
        Ok(function) => function,
        Err(_) => return not_a_function(&item),
    };
    let options = Options::read(options, &mut errors);
    check_signature(&function, &options, &mut errors);
    let parameters = parameters(&mut function, &mut errors);
    let name = function.sig.ident.to_string();
    let rules = Rules::new(&options, name.trim_start_matches("r#"), first_line(&function), &mut errors);
    if let (Some(when), ReturnType::Default) = (rules.when(), &function.sig.output) {
        errors.at(when, "the function returns no error that `when` could be asked about; return `Result<(), E>`, or leave `when` out");
    }
    check_keys(&options, parameters.args(), &mut errors);
    let returned = options.output.as_ref().and_then(|output| output.of(&function.sig, &mut errors));
    let (ident, visibility) = (&function.sig.ident, &function.vis);
    if !errors.is_empty() {
        let errors = errors.to_compile_errors();
        // A method stands where no type can.
        let is_method = function.sig.receiver().is_some();
        let stand_in = (!is_method)
            .then(|| expand::stand_in(ident, visibility, &parameters, &options.krate, returned.as_ref()));
        return quote!(#function #stand_in #errors);
    }
    let output = match &function.sig.output {
        ReturnType::Default => None,
        ReturnType::Type(_, output) => Some((**output).clone()),
    };
    let blocking = options.flag("blocking").is_some();
    let generated = expand::function(
        &Job { ident, visibility, rules: &rules, options: &options, output: returned.as_ref() },
        &parameters,
        output.as_ref(),
        blocking,
    );
    quote!(#function #generated)
}

/// Keys are made of an argument.
pub(crate) fn check_keys(options: &Options, args: Option<&Type>, errors: &mut Errors) {
    limits::check(&options.limits, args, errors);
    if let Some(sequence) = &options.sequence {
        sequence.check(&options.limits, args, errors);
    }
    if let Some(fair) = &options.fair {
        fair.check(args, errors);
    }
    let Some(unique) = &options.unique else { return };
    if args.is_none() && !matches!(unique.key, Key::Job) {
        let problem = "the job has no argument that a key could be made of; leave `key` out for one run of the job at a time";
        errors.push(syn::Error::new(unique.span, problem));
    }
}

fn not_a_function(item: &TokenStream) -> TokenStream {
    let is_struct = syn::parse2::<syn::ItemStruct>(item.clone()).is_ok();
    let hint = if is_struct { "on a struct write `#[derive(Job)]`" } else { "put it on an `async fn`" };
    let error =
        syn::Error::new_spanned(item, format!("`#[job]` is for functions; {hint}")).to_compile_error();
    quote!(#item #error)
}

/// The parameters of a job, in order.
pub(crate) struct Parameters {
    /// All types.
    pub(crate) types: Vec<Type>,
    /// Which of them is the argument.
    pub(crate) args: Option<usize>,
    /// What the argument is called.
    pub(crate) name: Option<syn::Ident>,
}

impl Parameters {
    pub(crate) fn args(&self) -> Option<&Type> {
        self.args.map(|index| &self.types[index])
    }
}

fn check_signature(function: &ItemFn, options: &Options, errors: &mut Errors) {
    let signature = &function.sig;
    let blocking = options.flag("blocking").is_some();
    // A `blocking` with a mistake is reported by itself.
    let unclear = !blocking && options.seems_given("blocking");
    match (signature.asyncness.is_some(), blocking) {
        (false, false) if !unclear => errors.at(
            signature.fn_token,
            "a job is an `async fn`; if it blocks its thread, add the option `blocking`",
        ),
        (true, true) => {
            errors.at(signature.asyncness, "a `blocking` job is not async; remove one of the two");
        }
        _ => {}
    }
    // The lifetime of a borrowed parameter is gone with the borrow, which is reported by itself.
    let borrows = signature.generics.type_params().next().is_none()
        && signature.generics.const_params().next().is_none()
        && signature.inputs.iter().any(is_borrowed);
    if !signature.generics.params.is_empty() && !borrows {
        errors.at(&signature.generics, "a job cannot be generic: it is stored and found again by one name");
    }
    if let Some(token) = &signature.constness {
        errors.at(token, "a job cannot be `const`");
    }
    if let Safety::Unsafe(token) = &signature.safety {
        errors.at(token, "a job cannot be `unsafe`: the scheduler calls it without knowing what to promise");
    }
    if let Some(token) = &signature.abi {
        errors.at(token, "a job cannot be `extern`");
    }
    if let Some(extra) = signature.inputs.iter().nth(MOST_PARAMETERS) {
        errors.at(
            extra,
            format!("a job takes at most {MOST_PARAMETERS} parameters; bundle some of them in one `State`"),
        );
    }
}

fn is_borrowed(input: &FnArg) -> bool {
    let FnArg::Typed(parameter) = input else { return false };
    let mut errors = Errors::default();
    own(&mut (*parameter.ty).clone(), &mut errors);
    !errors.is_empty()
}

/// The parameters, whose marks are taken off the function.
pub(crate) fn parameters(function: &mut ItemFn, errors: &mut Errors) -> Parameters {
    let mut found = Parameters { types: Vec::new(), args: None, name: None };
    for input in &mut function.sig.inputs {
        match input {
            FnArg::Receiver(receiver) => {
                errors.at(receiver, "a job function takes no `self`; for a struct use `#[derive(Job)]`");
            }
            FnArg::Typed(parameter) => parameter_of(parameter, &mut found, errors),
        }
    }
    found
}

fn parameter_of(parameter: &mut PatType, found: &mut Parameters, errors: &mut Errors) {
    let mark = take_mark(parameter, errors);
    // What errors further on are about, so that a borrow is one error.
    let mut ty = (*parameter.ty).clone();
    match ty {
        Type::ImplTrait(_) => errors.at(&ty, "a parameter of a job has one type; name it instead of `impl`"),
        _ if is_extractor(&ty) => {}
        _ => own(&mut ty, errors),
    }
    let ty = &ty;
    let is_args = match mark {
        Some(Mark::Args) => true,
        Some(Mark::Extract) => false,
        None => !is_extractor(ty),
    };
    if is_args && found.args.replace(found.types.len()).is_some() {
        let name = ty.to_token_stream();
        errors.at(
            &*parameter,
            format!("a job takes at most one argument from its data, and this is the second; write `State<{name}>` for a value that the program provides, put both arguments into one struct, or mark the parameter `#[extract]` if `{name}` implements `FromContext`"),
        );
    }
    if let (true, syn::Pat::Ident(name)) = (is_args, &*parameter.pat) {
        found.name = Some(name.ident.clone());
    }
    found.types.push(ty.clone());
}

/// Reports each reference in a type, and puts what owns the value in its place.
fn own(ty: &mut Type, errors: &mut Errors) {
    match ty {
        Type::Reference(reference) => {
            let owned = owner_of(&reference.elem);
            let shown = owned.to_token_stream().to_string().replace(" < ", "<").replace(" >", ">");
            errors
                .at(&*ty, format!("a job owns its parameters, since it outlives the call; write `{shown}`"));
            *ty = owned;
        }
        Type::Path(path) => {
            for segment in &mut path.path.segments {
                let PathArguments::AngleBracketed(list) = &mut segment.arguments else { continue };
                for argument in &mut list.args {
                    if let GenericArgument::Type(inner) = argument {
                        own(inner, errors);
                    }
                }
            }
        }
        Type::Tuple(tuple) => tuple.elems.iter_mut().for_each(|inner| own(inner, errors)),
        Type::Array(array) => own(&mut array.elem, errors),
        Type::Paren(inner) => own(&mut inner.elem, errors),
        _ => {}
    }
}

/// The type that owns what a reference of this type borrows.
fn owner_of(borrowed: &Type) -> Type {
    let is = |name: &str| matches!(borrowed, Type::Path(path) if path.path.is_ident(name));
    match borrowed {
        Type::Slice(slice) => {
            let inner = &slice.elem;
            syn::parse_quote!(Vec<#inner>)
        }
        _ if is("str") => syn::parse_quote!(String),
        _ if is("Path") => syn::parse_quote!(PathBuf),
        _ if is("OsStr") => syn::parse_quote!(OsString),
        _ => borrowed.clone(),
    }
}

enum Mark {
    Args,
    Extract,
}

fn take_mark(parameter: &mut PatType, errors: &mut Errors) -> Option<Mark> {
    let mut mark = None;
    parameter.attrs.retain(|attribute| {
        let path = attribute.path();
        if path.is_ident("args") {
            mark = Some(Mark::Args);
        } else if path.is_ident("extract") {
            mark = Some(Mark::Extract);
        } else if !path.is_ident("allow") && !path.is_ident("expect") && !path.is_ident("cfg") {
            errors.at(attribute, "a parameter of a job can be marked `#[args]` or `#[extract]`");
            return false;
        } else {
            return true;
        }
        false
    });
    mark
}

/// Whether a type is one of ours that come from the run.
fn is_extractor(ty: &Type) -> bool {
    let Type::Path(path) = ty else { return false };
    path.path.segments.last().is_some_and(|last| EXTRACTORS.iter().any(|known| last.ident == known))
}

/// The first line of the doc comment.
pub(crate) fn first_doc_line(attributes: &[syn::Attribute]) -> Option<String> {
    attributes.iter().find_map(|attribute| {
        let syn::Meta::NameValue(pair) = &attribute.meta else { return None };
        let syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) = &pair.value else { return None };
        let line = text.value().trim().to_owned();
        (pair.path.is_ident("doc") && !line.is_empty()).then_some(line)
    })
}

fn first_line(function: &ItemFn) -> Option<String> {
    first_doc_line(&function.attrs)
}

/// The type inside `State<…>` and its like, where an error about it belongs.
pub(crate) fn innermost(ty: &Type) -> &Type {
    let Type::Path(path) = ty else { return ty };
    match path.path.segments.last().map(|last| &last.arguments) {
        Some(PathArguments::AngleBracketed(list)) if is_extractor(ty) => match list.args.first() {
            Some(GenericArgument::Type(inner)) => inner,
            _ => ty,
        },
        _ => ty,
    }
}
