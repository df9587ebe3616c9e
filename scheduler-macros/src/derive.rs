//! `#[derive(Job)]` on a struct with an `execute` method.
//!
//! The method as a path, `Report::execute`, is a function whose first parameter is the struct itself; so the struct
//! is the job's argument, and everything else is the same as for a function.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{Data, DeriveInput, Ident, Meta, Type};

use crate::check::Rules;
use crate::errors::Errors;
use crate::expand::{self, Job};
use crate::function::{check_keys, first_doc_line};
use crate::options::Options;

pub(crate) fn expand(item: TokenStream) -> TokenStream {
    let input: DeriveInput = match syn::parse2(item) {
        Ok(input) => input,
        Err(error) => return error.to_compile_error(),
    };
    let mut errors = Errors::default();
    let options = Options::read(written_options(&input, &mut errors), &mut errors);
    if !matches!(input.data, Data::Struct(_)) {
        errors.at(&input.ident, "`#[derive(Job)]` is for structs; put the cases into a field");
    }
    if !input.generics.params.is_empty() {
        errors.at(&input.generics, "a job cannot be generic: it is stored and found again by one name");
    }
    let rules = Rules::new(&options, &input.ident.to_string(), first_doc_line(&input.attrs), &mut errors);
    if let Some(when) = rules.when() {
        errors.at(
            when,
            "`when` is for functions with `#[job]`; in `execute`, return `JobError::fatal(error)` for an error that is not retried",
        );
    }
    if let Some(output) = &options.output {
        errors.push(syn::Error::new(
            output.span,
            "`output` is for functions with `#[job]`; in `execute`, call `context.set_output(&value)`, and say by `keep` how long it is kept",
        ));
    }
    check_keys(&options, Some(&syn::parse_quote!(Self)), &mut errors);
    if !errors.is_empty() {
        return errors.to_compile_errors();
    }
    generate(&input, &options, &rules)
}

/// What stands in the `#[job(…)]` of the struct.
fn written_options(input: &DeriveInput, errors: &mut Errors) -> TokenStream {
    let mut tokens = TokenStream::new();
    for attribute in input.attrs.iter().filter(|attribute| attribute.path().is_ident("job")) {
        match &attribute.meta {
            Meta::List(list) if tokens.is_empty() => tokens = list.tokens.clone(),
            Meta::List(list) => errors.at(list, "the options are given twice; put them into one `#[job(…)]`"),
            other => errors.at(other, "write the options in parentheses, such as `#[job(name = \"…\")]`"),
        }
    }
    tokens
}

fn generate(input: &DeriveInput, options: &Options, rules: &Rules) -> TokenStream {
    let (ident, visibility, krate) = (&input.ident, &input.vis, &options.krate);
    let blocking = options.flag("blocking").is_some();
    let job = Job { ident, visibility, rules, options, output: None };
    let own: Type = syn::parse_quote!(#ident);
    let constructor = Ident::new(if blocking { "blocking" } else { "new" }, ident.span());
    let method = quote_spanned!(ident.span()=> #ident::execute);
    let definition = quote!(#krate::job::JobDefinition::#constructor((**Self::detail()).clone(), #method));
    let items = expand::items(&job, &definition, (Some(&own), None));
    let keyed = expand::keyed(options, &quote!(#ident), Some(&own));
    let argument = quote_spanned!(ident.span()=> #krate::__private::argument::<#ident>());
    quote! {
        #items

        impl #ident {
            /// The job with the output of another run in its place, to be enqueued. It waits until that run has succeeded.
            pub fn with_output(output: impl #krate::job::Outputs<Self>) -> #krate::job::Invocation {
                #krate::__private::with_outputs::<Self>(Self::detail().clone(), output) #keyed
            }
        }

        impl #krate::job::IntoInvocation for #ident {
            type Output = ();

            fn into_invocation(self) -> #krate::job::Invocation {
                let argument = #argument;
                argument.invocation(#ident::detail().clone(), &self) #keyed
            }
        }
    }
}
