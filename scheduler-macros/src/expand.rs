//! What is written beside a job: the type of its name, its definition and its registration, with the spans that put the
//! compiler's errors where they belong.

use proc_macro2::{Group, Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Ident, Path, Type, Visibility};

use crate::check::Rules;
use crate::dead::hearing;
use crate::fair::taking_turns;
use crate::function::{Parameters, innermost};
use crate::limits::{self, Args};
use crate::options::Options;
use crate::output::Returned;
use crate::sequence::sequencing;

/// A job, whatever it was made of.
pub(crate) struct Job<'a> {
    pub(crate) ident: &'a Ident,
    pub(crate) visibility: &'a Visibility,
    pub(crate) rules: &'a Rules,
    pub(crate) options: &'a Options,
    /// What its function returns, if that is stored.
    pub(crate) output: Option<&'a Returned>,
}

/// All that belongs to an annotated function.
pub(crate) fn function(
    job: &Job<'_>,
    parameters: &Parameters,
    output: Option<&Type>,
    blocking: bool,
) -> TokenStream {
    let (ident, visibility) = (job.ident, job.visibility);
    let doc =
        format!("The job `{}`: its name, its definition, and what it takes to schedule it.", job.rules.name);
    let definition = definition(job, parameters, output, blocking);
    let items = items(job, &definition, (parameters.args(), parameters.name.as_ref()));
    let with = with(job, parameters);
    quote! {
        #[doc = #doc]
        #[allow(non_camel_case_types)]
        #[derive(Debug, Clone, Copy)]
        #visibility struct #ident {}

        impl #ident { #with }
        #items
    }
}

/// The inherent items, `JobFn` and the registration; `definition` is the expression of the definition without triggers.
pub(crate) fn items(
    job: &Job<'_>,
    definition: &TokenStream,
    (args, parameter): (Option<&Type>, Option<&Ident>),
) -> TokenStream {
    let (ident, krate) = (job.ident, &job.options.krate);
    let name = &job.rules.name;
    let detail = detail(job, args);
    let trigger = job.rules.trigger.as_ref().map(|declared| {
        let builder = &declared.builder;
        quote!(.with_trigger(#builder))
    });
    let keyed = keyed(job.options, &quote!(Self), args);
    let on_dead = hearing(job.options.on_dead.as_ref());
    let made = Args { krate, ty: args, parameter };
    let unique = job.options.unique.iter().map(|unique| unique.function(krate, args, parameter));
    let limits = limits::functions(&job.options.limits, &made);
    let sequence = job.options.sequence.iter().map(|sequence| sequence.function(&made));
    let fair = job.options.fair.iter().map(|fair| fair.function(&made));
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
                #definition #trigger #keyed #on_dead
            }

            #(#unique)*
            #limits
            #(#sequence)*
            #(#fair)*
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
    let (krate, rules) = (&job.options.krate, job.rules);
    let (group, name, durable, exclusive) =
        (&rules.group, &rules.name, rules.durable, rules.disallow_concurrent);
    let (persist, recovery) = (rules.persist_data, rules.requests_recovery);
    let description = rules.description.iter().map(|text| quote!(.description(#text)));
    let millis = |millis: &u64| quote!(::core::time::Duration::from_millis(#millis));
    let timeout = rules.timeout.iter().map(millis);
    let (boost, expires) = (rules.boost.iter().map(millis), rules.expires.iter().map(millis));
    let keep = rules.keep.iter().map(millis);
    let retry = rules.retry.iter().map(|policy| policy.expression(krate));
    let queue = rules.queue.iter().map(|name| quote!(.queue(#name)));
    let delivery = rules.delivery.iter().map(|variant| quote!(.delivery(#krate::run::Delivery::#variant)));
    let delivery = quote!(#(#delivery)*);
    let log = rules.log.then(|| quote!(.log(true)));
    let data = args.zip(rules.trigger.as_ref()).map(
        |(args, declared)| quote_spanned!(declared.span=> .data(#krate::__private::default_args::<#args>())),
    );
    quote! {
        #krate::job::JobDetail::builder(#krate::__private::job_key(#group, #name), #name)
            #(#description)* #(.timeout(#timeout))* #(.retry(#retry))* #(#queue)* #data
            #(.boost(#boost))* #(.expires(#expires))* #(.keep(#keep))* #log #delivery
            .durable(#durable)
            .disallow_concurrent(#exclusive)
            .persist_data(#persist)
            .requests_recovery(#recovery)
            .build()
    }
}

/// The calls that give runs their keys, limits and sequences; `owner` has the functions that make these.
pub(crate) fn keyed(options: &Options, owner: &TokenStream, args: Option<&Type>) -> TokenStream {
    let unique = options.unique.iter().map(|_| match args {
        Some(args) => quote!(.unique::<#args>(#owner::__unique)),
        None => quote!(.unique_by(#owner::__unique)),
    });
    let limits = limits::limiting(&options.limits, owner, args);
    let sequence = sequencing(options.sequence.as_ref(), owner, args);
    let fair = taking_turns(options.fair.as_ref(), owner, args);
    quote!(#(#unique)* #limits #sequence #fair)
}

fn with(job: &Job<'_>, parameters: &Parameters) -> TokenStream {
    let krate = &job.options.krate;
    let keyed = keyed(job.options, &quote!(Self), parameters.args());
    let output = job.output.map(|returned| returned.value(krate));
    let of: Vec<_> = output.iter().map(|ty| quote!(<#ty>)).collect();
    let returns: Vec<_> = output.iter().map(|ty| quote!(.returns::<#ty>())).collect();
    match parameters.args() {
        Some(args) => {
            let argument = argument(krate, args);
            quote! {
                /// The job with this argument, to be scheduled or enqueued.
                pub fn with(args: #args) -> #krate::job::Invocation #(#of)* {
                    let argument = #argument;
                    argument.invocation(Self::detail().clone(), &args) #keyed #(#returns)*
                }

                /// The job with the outputs of other runs as its argument, to be enqueued. It waits until they have succeeded.
                pub fn with_output(outputs: impl #krate::job::Outputs<#args>) -> #krate::job::Invocation #(#of)* {
                    #krate::__private::with_outputs::<#args>(Self::detail().clone(), outputs) #keyed #(#returns)*
                }
            }
        }
        None => quote! {
            /// The job, to be scheduled or enqueued.
            pub fn with() -> #krate::job::Invocation #(#of)* {
                #krate::job::Invocation::new(Self::detail().clone()) #keyed #(#returns)*
            }
        },
    }
}

/// How the argument is written and read; an error about it points at its type.
fn argument(krate: &Path, args: &Type) -> TokenStream {
    quote_spanned!(innermost(args).span()=> #krate::__private::argument::<#args>())
}

/// The tokens as if all of them stood at `span`. The compiler reports a mistake once only if every expression that has it is
/// at the same place.
pub(crate) fn at(span: Span, tokens: TokenStream) -> TokenStream {
    let moved = tokens.into_iter().map(|token| match token {
        TokenTree::Group(group) => {
            let mut moved = Group::new(group.delimiter(), at(span, group.stream()));
            moved.set_span(span);
            TokenTree::Group(moved)
        }
        mut token => {
            token.set_span(span);
            token
        }
    });
    moved.collect()
}

/// The expression of the definition. Each bound of a correct job is asked for at the parameter, the return type or the name of
/// the function, so that whatever is wrong is one error there.
fn definition(job: &Job<'_>, parameters: &Parameters, output: Option<&Type>, blocking: bool) -> TokenStream {
    let (krate, ident) = (&job.options.krate, job.ident);
    let parameter = |ty: &Type, rest: TokenStream| {
        at(innermost(ty).span(), quote!(#krate::__private::parameter::<#ty>() #rest))
    };
    let names: Vec<_> = (0..parameters.types.len()).map(|index| format_ident!("parameter_{index}")).collect();
    let values = parameters.types.iter().enumerate().map(|(index, ty)| {
        if parameters.args == Some(index) {
            let argument = argument(krate, ty);
            quote!(#argument.read(&context)?)
        } else {
            parameter(ty, quote!(.make(&context).await?))
        }
    });
    let others = parameters.types.iter().enumerate().filter(|(index, _)| parameters.args != Some(*index));
    let needs = others.map(|(_, ty)| parameter(ty, quote!(.needs())));
    let accepts = match parameters.args() {
        Some(args) => {
            let argument = argument(krate, args);
            quote!(|data| #argument.accepts(data))
        }
        None => quote!(|_| ::core::result::Result::Ok(())),
    };
    let output = output.map_or_else(|| quote!(()), ToTokens::to_token_stream);
    let outcome = match (job.output, job.rules.when()) {
        (Some(returned), when) => returned.outcome(krate, when),
        (None, Some(when)) => {
            let asked =
                at(output.span(), quote!(|value: #output| #krate::__private::asked::<#output>(value)));
            quote_spanned!(output.span()=> #asked.retried_if(#when))
        }
        (None, None) => quote_spanned!(output.span()=> #krate::__private::outcome_of::<#output>),
    };
    let run = match (blocking, job.output) {
        (false, None) => "run",
        (true, None) => "run_blocking",
        (false, Some(_)) => "run_noting",
        (true, Some(_)) => "run_blocking_noting",
    };
    let run = Ident::new(run, ident.span());
    let run = quote_spanned!(ident.span()=> #krate::__private::#run(parameters, |(#(#names,)*)| #ident(#(#names),*), outcome));
    quote! {
        #krate::__private::definition(
            (**Self::detail()).clone(),
            #blocking,
            || {
                use #krate::__private::Parameter as _;
                let needs: ::std::vec::Vec<::std::vec::Vec<#krate::job::Need>> = ::std::vec![#(#needs),*];
                needs.concat()
            },
            #accepts,
            |context| {
                let outcome = #outcome;
                let parameters = async move {
                    use #krate::__private::Parameter as _;
                    let _ = &context;
                    #(let #names = #values;)*
                    ::core::result::Result::Ok((#(#names,)*))
                };
                #run
            },
        )
    }
}

/// The type of a job that has mistakes, so that its uses do not become errors as well.
pub(crate) fn stand_in(
    ident: &Ident,
    visibility: &Visibility,
    parameters: &Parameters,
    krate: &Path,
    output: Option<&Returned>,
) -> TokenStream {
    let args = parameters.args().map(|ty| quote!(_: #ty));
    let of = output.map(|returned| returned.value(krate)).map(|ty| quote!(<#ty>));
    quote! {
        #[allow(non_camel_case_types, missing_docs)]
        #visibility struct #ident {}

        #[allow(missing_docs, dead_code)]
        impl #ident {
            pub fn with(#args) -> #krate::job::Invocation #of { ::core::unreachable!() }
            pub fn with_output<O>(_: O) -> #krate::job::Invocation #of { ::core::unreachable!() }
            pub fn key() -> #krate::JobKey { ::core::unreachable!() }
            pub fn definition() -> #krate::job::JobDefinition { ::core::unreachable!() }
        }
    }
}
