//! What is written beside a job: the type of its name, its definition, its registration, and the assertions that put
//! the compiler's errors where they belong.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Ident, Path, Type, Visibility};

use crate::check::Rules;
use crate::function::Parameters;

/// A job, whatever it was made of.
pub(crate) struct Job<'a> {
    pub(crate) ident: &'a Ident,
    pub(crate) visibility: &'a Visibility,
    pub(crate) rules: &'a Rules,
    pub(crate) krate: &'a Path,
    pub(crate) blocking: bool,
}

/// All that belongs to an annotated function.
pub(crate) fn function(job: &Job<'_>, parameters: &Parameters, output: Option<&Type>) -> TokenStream {
    let (ident, visibility, krate) = (job.ident, job.visibility, job.krate);
    let doc =
        format!("The job `{}`: its name, its definition, and what it takes to schedule it.", job.rules.name);
    let own = quote_spanned!(ident.span()=> #ident);
    let items = items(job, &own, parameters.args(), true);
    let with = with(krate, parameters);
    let assertions = assertions(job, parameters, output);
    quote! {
        #[doc = #doc]
        #[allow(non_camel_case_types)]
        #[derive(Debug, Clone, Copy)]
        #visibility struct #ident {}

        impl #ident { #with }
        #items
        #assertions
    }
}

/// The inherent items, `JobFn` and the registration; `function` is the path of the function to call.
pub(crate) fn items(
    job: &Job<'_>,
    function: &TokenStream,
    args: Option<&Type>,
    data_for_trigger: bool,
) -> TokenStream {
    let (ident, krate) = (job.ident, job.krate);
    let name = &job.rules.name;
    let detail = detail(job, args.filter(|_| data_for_trigger));
    let constructor = Ident::new(if job.blocking { "blocking" } else { "new" }, ident.span());
    let trigger = job.rules.trigger.as_ref().map(|declared| {
        let builder = &declared.builder;
        quote!(.with_trigger(#builder))
    });
    quote! {
        impl #ident {
            /// The name under which the job is stored.
            pub const NAME: &'static ::core::primitive::str = #name;

            /// The key of the job.
            pub fn key() -> #krate::JobKey {
                Self::detail().key().clone()
            }

            /// The job as it is stored.
            pub fn detail() -> &'static ::std::sync::Arc<#krate::job::JobDetail> {
                static DETAIL: ::std::sync::LazyLock<::std::sync::Arc<#krate::job::JobDetail>> =
                    ::std::sync::LazyLock::new(|| ::std::sync::Arc::new(#detail));
                &DETAIL
            }

            /// The function with its rules and its declared trigger.
            pub fn definition() -> #krate::job::JobDefinition {
                #krate::job::JobDefinition::#constructor((**Self::detail()).clone(), #function) #trigger
            }
        }

        impl #krate::job::JobFn for #ident {
            fn definition() -> #krate::job::JobDefinition {
                Self::definition()
            }
        }

        #krate::__private::inventory::submit! { #krate::job::Discovered(#ident::definition) }
    }
}

/// The expression that builds the detail. Runs of a declared trigger get the default argument.
fn detail(job: &Job<'_>, args: Option<&Type>) -> TokenStream {
    let (krate, rules) = (job.krate, job.rules);
    let (group, name, durable, exclusive) =
        (&rules.group, &rules.name, rules.durable, rules.disallow_concurrent);
    let (persist, recovery) = (rules.persist_data, rules.requests_recovery);
    let description = rules.description.iter().map(|text| quote!(.description(#text)));
    let timeout =
        rules.timeout.iter().map(|millis| quote!(.timeout(::core::time::Duration::from_millis(#millis))));
    let data = args.zip(rules.trigger.as_ref()).map(
        |(args, declared)| quote_spanned!(declared.span=> .data(#krate::__private::default_args::<#args>())),
    );
    quote! {
        #krate::job::JobDetail::builder(#krate::__private::job_key(#group, #name), #name)
            #(#description)* #(#timeout)* #data
            .durable(#durable)
            .disallow_concurrent(#exclusive)
            .persist_data(#persist)
            .requests_recovery(#recovery)
            .build()
    }
}

fn with(krate: &Path, parameters: &Parameters) -> TokenStream {
    match parameters.args() {
        Some(args) => {
            let call = quote_spanned!(args.span()=> #krate::job::Invocation::with_args(Self::detail().clone(), &args));
            quote! {
                /// The job with this argument, to be scheduled or enqueued.
                pub fn with(args: #args) -> #krate::job::Invocation {
                    #call
                }
            }
        }
        None => quote! {
            /// The job, to be scheduled or enqueued.
            pub fn with() -> #krate::job::Invocation {
                #krate::job::Invocation::new(Self::detail().clone())
            }
        },
    }
}

/// Bounds that hold for a correct job; where one does not, the error points at the parameter or the return type.
fn assertions(job: &Job<'_>, parameters: &Parameters, output: Option<&Type>) -> TokenStream {
    let (krate, ident, types) = (job.krate, job.ident, &parameters.types);
    let each = parameters.types.iter().enumerate().map(|(index, ty)| {
        let at = crate::function::innermost(ty).span();
        if parameters.args == Some(index) {
            quote_spanned!(at=> #krate::__private::is_args::<#ty>();)
        } else {
            quote_spanned!(at=> #krate::__private::is_extractor::<#ty>();)
        }
    });
    let output = output.map(|ty| quote_spanned!(ty.span()=> #krate::__private::is_output::<#ty>();));
    let names: Vec<_> = (0..types.len()).map(|index| quote::format_ident!("parameter_{index}")).collect();
    let send = (!job.blocking)
        .then(|| quote_spanned!(ident.span()=> #krate::__private::is_send(#ident(#(#names),*));));
    let send = send.map(|call| quote!(#[allow(dead_code)] fn is_send(#(#names: #types),*) { #call }));
    quote!(const _: () = { #[allow(dead_code)] fn parameters_fit() { #(#each)* #output } #send };)
}

/// The type of a job that has mistakes, so that its uses do not become errors as well.
pub(crate) fn stand_in(
    ident: &Ident,
    visibility: &Visibility,
    parameters: &Parameters,
    krate: &Path,
) -> TokenStream {
    let args = parameters.args().map(|ty| quote!(_: #ty));
    quote! {
        #[allow(non_camel_case_types, missing_docs)]
        #visibility struct #ident {}

        #[allow(missing_docs, dead_code)]
        impl #ident {
            pub fn with(#args) -> #krate::job::Invocation { ::core::unreachable!() }
            pub fn key() -> #krate::JobKey { ::core::unreachable!() }
            pub fn definition() -> #krate::job::JobDefinition { ::core::unreachable!() }
        }
    }
}
