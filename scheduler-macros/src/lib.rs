//! `#[job]` and `#[derive(Job)]`, re-exported by `scheduler-core`.
//!
//! Everything that these write can be written by hand with the public items of `scheduler-core`. Mistakes are
//! reported at compile time, all of them at once and each at its token, by the same parsers that read schedules at
//! run time.

mod check;
mod dead;
mod derive;
mod errors;
mod expand;
mod fair;
mod foreign;
mod function;
mod keys;
mod limits;
mod options;
mod output;
mod retry;
mod sequence;
mod unique;

use proc_macro::TokenStream;

/// Makes a job of an async function.
///
/// The function stays as it is: it can be called and unit-tested. Beside it comes a type of the same name with
///
/// * `NAME` and `key()`, the name of the job,
/// * `with(args)`, the job with its argument, to be scheduled or enqueued (`with()` if the function takes none),
/// * `definition()`, the function with its rules and its declared trigger, to be registered,
/// * `detail()`, the job as it is stored.
///
/// # Parameters of the function
///
/// At most one parameter is the job's argument: any type with `serde::Serialize` and `serde::Deserialize`. Every other one
/// comes from the run: `State<T>`, `JobContext`, `Resume<C>`, `CancellationToken`, `Scheduler`, `Client`, or a type of your own that implements
/// `FromContext`, marked `#[extract]`. An argument whose type has one of these names is marked `#[args]`. It returns `()` or `Result<(), E>` with any error.
///
/// # Options
///
/// | option | meaning | default |
/// |---|---|---|
/// | `name = "…"` | the name under which the job is stored; keep it when the function is renamed | the function's name |
/// | `group = "…"` | the group of the job | `DEFAULT` |
/// | `description = "…"` | a sentence for people | the first line of the doc comment |
/// | `cron = "…"` | a declared trigger by cron expression, Quartz's dialect | none |
/// | `time_zone = "…"` | the zone whose clock the cron expression reads | UTC |
/// | `every = "…"` | a declared trigger at a fixed interval, such as `"30s"` | none |
/// | `timeout = "…"` | how long one run may take, such as `"15m"` | for ever |
/// | `retry = 3`, `retry(max = 3, backoff = "exponential(15s, 1h)")` | how often a failed run is tried again, and when; see [Retries](#retries) | ten times if enqueued, otherwise never |
/// | `unique(key = "customer")`, `debounce(key = "customer", quiet = "5s")` | of enqueued runs with the same key only one is stored at a time; see [Unique runs](#unique-runs) | no |
/// | `limit(key = "tenant", max = 2)`, several times | of the enqueued runs of each key so many are under way at the same time, over all nodes; see [Limits](#limits) | no limit |
/// | `rate = "100/1m"`, `rate("100/1m", key = "tenant")`, several times | in any time of this length so many attempts of enqueued runs begin, over all nodes; see [Limits](#limits) | no limit |
/// | `sequence(key = "account")` | enqueued runs of the same key run one after the other, in the order in which they were enqueued; see [Sequences](#sequences) | no |
/// | `fair(key = "tenant")` | enqueued runs take turns with others of their queue: of each key one begins in each round; see [Turns](#turns) | no: by due time |
/// | `output` | what the function returns is stored with the run, for whoever waits for it: `T`, or the `T` of a `Result<T, E>`, which is known by a name that ends in `Result`; for functions | nothing is stored |
/// | `keep = "1h"` | how long an enqueued run is kept at least after its end, with its output | `1h` with `output`, otherwise a run that succeeds leaves nothing |
/// | `durable` | the job stays when its last trigger is gone | no |
/// | `calendar = "holidays"` | the calendar of the declared trigger | none |
/// | `misfire = "skip"` | what a firing does that comes too late: `smart`, `ignore`, `fire_now`, `skip` | that of the scheduler |
/// | `overlap = "skip"` | what a firing does while the previous run goes on: `allow_all`, `skip`, `buffer_one`, `cancel_previous` | `allow_all` |
/// | `boost = "2m"` | enqueued runs go before what became due up to so much earlier; at most `1d` | no boost |
/// | `expires = "10m"` | an enqueued run whose first attempt has not begun so long after its due time ends as expired | never |
/// | `queue = "reports"` | the queue whose limit the runs of the job count towards, whatever starts them; `execution_group` is an alias | none |
/// | `disallow_concurrent` | at most one run at a time | no |
/// | `persist_data` | keep the data that a run sets for the next one | no |
/// | `requests_recovery` | run again what a crash of its node has cut off | no |
/// | `delivery = "at_most_once"` | an enqueued run whose attempt was cut off, since its node has died or was shut down, does not begin again | `at_least_once` |
/// | `log` | keep the last lines that a run logs by `tracing`; with the feature `run-log` and its layer | no |
/// | `blocking` | the function is not async and may block its thread | no |
/// | `crate = path` | where `scheduler_core` is, if it was renamed | `::scheduler_core` |
///
/// A job with a declared trigger and an argument needs an argument type with `Default`, which its own runs get.
///
/// # Retries
///
/// A run whose attempt fails, panics or exceeds its timeout is stored and tried again after the backoff. When no retry is left,
/// the run is dead: it stays stored and can be replayed. Without the option an enqueued run is retried as the scheduler says, ten
/// times unless it says otherwise, and an occurrence of a trigger is not retried.
///
/// | part | meaning | default |
/// |---|---|---|
/// | `max = 3` | the largest number of retries; the first attempt does not count | 10 |
/// | `backoff = "fixed(30s)"` | the same delay each time | |
/// | `backoff = "linear(30s, 10m)"` | the delay grows by the step each time, up to the cap | |
/// | `backoff = "exponential(15s, 1h)"` | the delay doubles each time, from the base up to the cap; a third part is another factor than 2 | `exponential(15s, 6h)` |
/// | `backoff = "delays(1s, 10s, 1m)"` | one delay after the other; the last one repeats | |
/// | `backoff = "hangfire"`, `"sidekiq"` | the curves of these two | |
/// | `jitter = 0.3` | how much each delay varies, from 0 to 1 | 0.2 |
/// | `within = "3d"` | no retry begins later than this after the first attempt | no limit |
/// | `on = "failed, timed_out"` | the kinds of failure that are retried: `failed`, `panicked`, `timed_out`, `lost` | all |
/// | `progress = "resets"` | attempts count anew after one that has noted another checkpoint than the one from which it began | no |
/// | `when = SendError::is_transient` | a function from the error of the job to `bool`: an error for which it is false is not retried; not for `#[derive(Job)]` | all errors |
///
/// `retry = 3` is short for `retry(max = 3)`.
///
/// # Unique runs
///
/// A key is made of the argument when a run is enqueued. It is taken until the run is over, and a second run with the same key is not
/// stored: the call returns the id of the first one. Without `key`, the whole job has one key. Occurrences of triggers have no key.
///
/// | part | meaning | default |
/// |---|---|---|
/// | `key = "customer"` | a field of the argument, or the name of the parameter for the argument itself | the job |
/// | `key = ["customer", "month"]` | several fields | |
/// | `key = Order::number` | a function from a reference to the argument to anything that can be shown | |
/// | `while = "queued"` | the key is free when the first attempt begins | `"unfinished"`: until the run is over |
/// | `for = "1h"` | in addition, the key is taken for so long after the call, whatever becomes of the run | |
/// | `on_conflict = "replace"` | the run that waits gets the new argument; behind one that runs, one waits with the latest argument | `"skip"` |
/// | `on_conflict = "refuse"` | a second run is an error | |
/// | `merge = Order::merge` | a function of the argument that waits and the new one, which makes one of both | |
/// | `across = "jobs"` | all jobs have the key in common | `"job"` |
///
/// `debounce` makes one run of a burst of calls. The run begins when there was no call for the time `quiet`, and at the latest `at_most`
/// after the first call (by default ten times `quiet`). It has the argument of the latest call, or with `keep = "first"` of the first one.
///
/// # Limits
///
/// The limits of a run are made of its argument when it is enqueued, and those of an occurrence of a trigger when it is due. A run has at most four.
///
/// | part | meaning | default |
/// |---|---|---|
/// | `max = 2` | of `limit`: so many runs are under way at the same time | |
/// | `"100/1m"` | of `rate`: so many attempts begin in any time of this length | |
/// | `key = "tenant"` | each value has a limit of its own: a field, several fields or a function, as for [unique runs](#unique-runs) | one limit for all |
/// | `name = "github"` | the name of the limit; jobs whose limits have the same name and key share the limit | the name of the job |
/// | `weight = 3`, `weight = "size"`, `weight = Letter::size` | how many slots a run takes: a number, a field or a function. Of `rate` this part is called `cost` | 1 |
/// | `when_full = "skip"` | what becomes of a run that is due while the limit is full: `"wait"`, `"skip"` (it ends as superseded), `"keep_newest"`, `"keep_oldest"`, or `"cancel_running"`, which a rate does not have | `"wait"` |
/// | `hold = "run"` | a run keeps its slot between its attempts, to its end. Not for `rate` | `"attempt"` |
/// | `smooth` | of `rate`: attempts are spread evenly | attempts begin as soon as allowed |
/// | `burst = 5` | of `rate`: attempts are spread evenly, and so many may begin at once after a pause | 1 with `smooth` |
///
/// # Sequences
///
/// Of a sequence one run is under way at a time. A run keeps the later ones waiting until it is over, also while it waits for a retry.
///
/// | part | meaning | default |
/// |---|---|---|
/// | `key = "account"` | each value has a sequence of its own: a field, several fields or a function, as for [unique runs](#unique-runs) | all runs of the job are one sequence |
/// | `on_dead = "halt"` | a dead run keeps the others waiting until it is replayed with success, cancelled or deleted | `"continue"`: the next run begins |
/// | `across = "jobs"` | all jobs have the sequence in common | `"job"` |
///
/// # Turns
///
/// The runs of a queue that have keys take turns by them, so those of a key with a long backlog do not keep the others waiting. Jobs of
/// the same queue share the keys. Occurrences of triggers have no key.
///
/// | part | meaning |
/// |---|---|
/// | `key = "tenant"` | what has a turn in each round: a field, several fields or a function, as for [unique runs](#unique-runs) |
///
/// # Dead runs
///
/// `on_dead = page_somebody` names an `async fn page_somebody(dead: DeadRun)` that is called for each run of the job of which no retry is
/// left, at most once and on one node. `JobDefinition::on_dead` says more.
///
/// # Example
///
/// ```
/// use scheduler_core::prelude::*;
///
/// #[derive(Clone)]
/// struct Mailer;
///
/// impl Mailer {
///     async fn send(&self, reader: &str) -> std::io::Result<()> {
///         println!("to {reader}");
///         Ok(())
///     }
/// }
///
/// /// Tells everybody.
/// #[job(name = "news.send", cron = "0 0 8 ? * MON-FRI", time_zone = "Europe/Berlin", timeout = "5m")]
/// async fn send_news(State(mailer): State<Mailer>, stop: CancellationToken) -> JobResult {
///     for reader in ["ada", "grace"] {
///         if stop.is_cancelled() {
///             break;
///         }
///         mailer.send(reader).await?;
///     }
///     Ok(())
/// }
///
/// # async fn use_them(scheduler: Scheduler) -> JobResult {
/// // The function, as in any unit test:
/// send_news(State(Mailer), CancellationToken::new()).await?;
/// // The job:
/// scheduler.enqueue(send_news::with()).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// Wrong schedules, zones, durations, options and signatures do not compile. Each message stands at the guilty token
/// and says what to write instead; the function is emitted all the same, so that nothing else breaks.
#[proc_macro_attribute]
pub fn job(options: TokenStream, item: TokenStream) -> TokenStream {
    function::expand(options.into(), item.into()).into()
}

/// Makes a job of a struct with an `execute` method; the struct is the job's argument.
///
/// The struct implements `serde::Serialize` and `serde::Deserialize`; `execute` takes `self` and what [`macro@job`]
/// functions take beside their argument. Options stand in `#[job(…)]` on the struct, the same as those of
/// [`macro@job`]; the default name is that of the struct. A value of the struct can be enqueued and scheduled as it is.
///
/// ```
/// use scheduler_core::prelude::*;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, Job)]
/// #[job(name = "report", timeout = "10m")]
/// struct Report {
///     year: u16,
/// }
///
/// impl Report {
///     async fn execute(self, context: JobContext) -> JobResult {
///         println!("{} for {}", context.job_key(), self.year);
///         Ok(())
///     }
/// }
///
/// # async fn use_it(scheduler: Scheduler) -> JobResult {
/// scheduler.enqueue(Report { year: 2026 }).await?;
/// # Ok(())
/// # }
/// ```
#[proc_macro_derive(Job, attributes(job))]
pub fn derive_job(item: TokenStream) -> TokenStream {
    derive::expand(item.into()).into()
}
