//! The meaning of the options: schedules, durations and names, checked with the parsers of the run time.
//!
//! Nothing in here stops at the first mistake: each is noted at its literal and a harmless value takes its place.

use std::time::Duration;

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use scheduler_syntax::cron::CronExpr;
use syn::{ExprPath, Ident, LitStr};

use crate::errors::Errors;
use crate::options::Options;
use crate::output;
use crate::retry::Policy;

/// Options that make sense.
pub(crate) struct Rules {
    pub(crate) name: String,
    pub(crate) group: String,
    pub(crate) description: Option<String>,
    pub(crate) durable: bool,
    pub(crate) disallow_concurrent: bool,
    pub(crate) persist_data: bool,
    pub(crate) requests_recovery: bool,
    pub(crate) log: bool,
    pub(crate) timeout: Option<u64>,
    pub(crate) retry: Option<Policy>,
    pub(crate) queue: Option<String>,
    pub(crate) boost: Option<u64>,
    pub(crate) expires: Option<u64>,
    pub(crate) keep: Option<u64>,
    pub(crate) delivery: Option<Ident>,
    pub(crate) trigger: Option<Declared>,
}

/// A declared trigger: the expression that builds it, and where it was written.
pub(crate) struct Declared {
    pub(crate) builder: TokenStream,
    pub(crate) span: Span,
}

impl Rules {
    pub(crate) fn new(
        options: &Options,
        default_name: &str,
        doc: Option<String>,
        errors: &mut Errors,
    ) -> Self {
        Self {
            name: name(options, "name", default_name, errors),
            group: name(options, "group", "DEFAULT", errors),
            description: options.text("description").map(LitStr::value).or(doc),
            durable: options.flag("durable").is_some(),
            disallow_concurrent: options.flag("disallow_concurrent").is_some(),
            persist_data: options.flag("persist_data").is_some(),
            requests_recovery: options.flag("requests_recovery").is_some(),
            log: options.flag("log").is_some(),
            timeout: options.text("timeout").and_then(|text| duration(text, "timeout", errors)),
            retry: options.retry.as_ref().map(|written| written.check(errors)),
            queue: options.text("queue").map(LitStr::value),
            boost: options.text("boost").and_then(|text| duration(text, "boost", errors)),
            expires: options.text("expires").and_then(|text| duration(text, "expires", errors)),
            keep: keep(options, errors),
            delivery: options.text("delivery").and_then(|text| delivery(text, errors)),
            trigger: trigger(options, errors),
        }
    }

    /// The function that says which errors are retried.
    pub(crate) fn when(&self) -> Option<&ExprPath> {
        self.retry.as_ref()?.when.as_ref()
    }
}

fn name(options: &Options, option: &str, default: &str, errors: &mut Errors) -> String {
    let Some(text) = options.text(option) else { return default.to_owned() };
    let value = text.value();
    if value.is_empty() {
        errors.at(text, format!("`{option}` is empty; give it at least one character or leave it out"));
    }
    if value.contains('\0') {
        errors.at(text, format!("`{option}` contains a NUL character; leave it out"));
    }
    value
}

/// For how long runs are kept; with an output that is an hour unless the job says otherwise.
fn keep(options: &Options, errors: &mut Errors) -> Option<u64> {
    match options.text("keep") {
        Some(text) => duration(text, "keep", errors),
        None => options.output.as_ref().map(|_| output::KEPT_MILLIS),
    }
}

/// Whole milliseconds.
fn duration(text: &LitStr, option: &str, errors: &mut Errors) -> Option<u64> {
    let duration =
        scheduler_syntax::parse_duration(&text.value()).map_err(|error| errors.at(text, error)).ok()?;
    let problem = if duration < Duration::from_millis(1) {
        Some(format!("`{option}` is shorter than a millisecond; use at least `1ms`"))
    } else if option == "every" {
        scheduler_syntax::interval_problem(duration)
    } else if let Some(problem) = scheduler_syntax::boost_problem(duration).filter(|_| option == "boost") {
        Some(problem)
    } else {
        (!duration.subsec_nanos().is_multiple_of(1_000_000))
            .then(|| format!("`{option}` has a fraction of a millisecond; use whole milliseconds"))
    };
    match problem {
        Some(problem) => {
            errors.at(text, problem);
            None
        }
        None => u64::try_from(duration.as_millis()).ok(),
    }
}

fn trigger(options: &Options, errors: &mut Errors) -> Option<Declared> {
    let krate = &options.krate;
    let zone = options.text("time_zone");
    if let Some(zone) = zone {
        check_zone(zone, options, errors);
    }
    let declared = options.seems_given("cron") || options.seems_given("every");
    let more = of_trigger(options, declared, errors);
    match (options.text("cron"), options.text("every")) {
        (Some(_), Some(every)) => {
            errors.at(
                every,
                "a job declares one trigger, by `cron` or by `every`; schedule the other one in code",
            );
            None
        }
        (Some(cron), None) => {
            check_cron(cron, errors);
            let zone = zone.map(|zone| quote!(.time_zone(#zone)));
            Some(Declared {
                builder: quote!(#krate::trigger::Trigger::cron(#cron) #zone #more),
                span: cron.span(),
            })
        }
        (None, Some(every)) => {
            let millis = duration(every, "every", errors)?;
            let builder = quote_spanned!(every.span()=> #krate::trigger::Trigger::every(::core::time::Duration::from_millis(#millis)) #more);
            Some(Declared { builder, span: every.span() })
        }
        (None, None) => None,
    }
}

/// What else the declared trigger has.
fn of_trigger(options: &Options, declared: bool, errors: &mut Errors) -> TokenStream {
    const MISFIRE: [(&str, &str); 4] =
        [("smart", "Smart"), ("ignore", "Ignore"), ("fire_now", "FireNow"), ("skip", "Skip")];
    const OVERLAP: [(&str, &str); 4] = [
        ("allow_all", "AllowAll"),
        ("skip", "Skip"),
        ("buffer_one", "BufferOne"),
        ("cancel_previous", "CancelPrevious"),
    ];
    let krate = &options.krate;
    for option in ["calendar", "misfire", "overlap"] {
        if let Some(text) = options.text(option).filter(|_| !declared) {
            errors.at(text, format!("`{option}` belongs to a trigger; declare one by `cron` or `every`"));
        }
    }
    for option in ["calendar", "queue"] {
        if let Some(text) = options.text(option).filter(|text| text.value().is_empty()) {
            errors.at(text, format!("`{option}` is empty; name one or leave it out"));
        }
    }
    let calendar = options.text("calendar").map(|name| quote!(.calendar(#name)));
    let misfire = options.text("misfire").and_then(|text| word(text, "misfire", &MISFIRE, errors));
    let misfire = misfire.map(|variant| quote!(.misfire(#krate::trigger::Misfire::#variant)));
    let overlap = options.text("overlap").and_then(|text| word(text, "overlap", &OVERLAP, errors));
    let overlap = overlap.map(|variant| quote!(.overlap(#krate::trigger::OverlapPolicy::#variant)));
    quote!(#calendar #misfire #overlap)
}

fn delivery(text: &LitStr, errors: &mut Errors) -> Option<Ident> {
    const DELIVERIES: [(&str, &str); 2] = [("at_least_once", "AtLeastOnce"), ("at_most_once", "AtMostOnce")];
    word(text, "delivery", &DELIVERIES, errors)
}

/// The variant that a word stands for.
fn word(text: &LitStr, option: &str, words: &[(&str, &str)], errors: &mut Errors) -> Option<Ident> {
    let value = text.value();
    if let Some((_, variant)) = words.iter().find(|(word, _)| *word == value) {
        return Some(Ident::new(variant, text.span()));
    }
    let known = || words.iter().map(|(word, _)| *word);
    let hint = match scheduler_syntax::nearest(&value, known()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("use one of {}", known().collect::<Vec<_>>().join(", ")),
    };
    errors.at(text, format!("there is no {option} policy `{value}`; {hint}"));
    None
}

fn check_zone(zone: &LitStr, options: &Options, errors: &mut Errors) {
    if !options.seems_given("cron") {
        errors.at(zone, "`time_zone` is for `cron`; an interval is the same in every zone");
    }
    if let Err(error) = scheduler_syntax::parse_zone(&zone.value()) {
        errors.at(zone, error);
    }
}

fn check_cron(cron: &LitStr, errors: &mut Errors) {
    // Whatever the name of the trigger will be: only the shape matters here.
    match CronExpr::parse_hashed(&cron.value(), "") {
        Ok(expression) if expression.never_fires() => {
            errors.at(cron, "this expression never fires: no year has such a date");
        }
        Ok(_) => {}
        Err(error) => errors.at(cron, error),
    }
}
