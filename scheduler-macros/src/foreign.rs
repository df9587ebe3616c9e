//! Options that other schedulers have: what they are called here, or how the same is done.

use scheduler_syntax::nearest;

/// What to say of an option that does not exist.
pub(crate) fn unknown(name: &str, known: &[&'static str]) -> String {
    if let Some(way) = way_here(name) {
        return format!("there is no option `{name}`; {way}");
    }
    match meant(name, known) {
        Some(near) => format!("there is no option `{name}`; did you mean `{near}`?"),
        None => format!("there is no option `{name}`; use one of {}", known.join(", ")),
    }
}

/// The option that somebody who writes this name has in mind.
pub(crate) fn meant(name: &str, known: &[&'static str]) -> Option<&'static str> {
    if way_here(name).is_some() {
        return None;
    }
    renamed(name).or_else(|| nearest(name, known.iter().copied()))
}

/// The option here that does what an option of this name does elsewhere.
fn renamed(name: &str) -> Option<&'static str> {
    Some(match name {
        "tz" | "zone" | "timezone" => "time_zone",
        "interval" | "period" | "every_seconds" | "repeat_every" | "fixed_rate" => "every",
        "schedule" | "cron_expression" | "crontab" => "cron",
        "id" | "key" | "identity" | "job_name" | "task" => "name",
        "misfire_policy" | "misfire_instruction" | "on_misfire" | "coalesce" => "misfire",
        "no_overlap" | "exclusive" | "singleton" | "disallow_concurrent_execution" => "disallow_concurrent",
        "persist_job_data" | "persist_job_data_after_execution" | "stateful" => "persist_data",
        "recoverable" | "request_recovery" | "requests_recover" => "requests_recovery",
        "store_durably" | "durability" => "durable",
        "time_limit" | "max_duration" | "deadline" | "timeout_seconds" => "timeout",
        "sync" | "spawn_blocking" => "blocking",
        "doc" | "title" => "description",
        "retries" | "max_retries" | "retry_policy" => "retry",
        "retries_exhausted" | "on_retries_exhausted" | "on_exhausted" | "on_death" => "on_dead",
        "ttl" | "time_to_live" | "expiry" | "expire" | "expires_in" | "expires_after" => "expires",
        _ => return None,
    })
}

/// How the same is done here, where no option does it.
fn way_here(name: &str) -> Option<&'static str> {
    Some(match name {
        "max_attempts" | "attempts" => {
            "`retry = 3` allows three retries after the first attempt, so four attempts in all"
        }
        "backoff" | "retry_backoff" | "retry_delay" => {
            "the backoff is part of `retry`: `retry(max = 3, backoff = \"exponential(15s, 1h)\")`"
        }
        "autoretry_for" | "retry_on" => "`retry = 3` tries a run again after any error, panic or timeout",
        "unique_for" => "the time is part of `unique`: `unique(for = \"1h\")`",
        "unique_key" | "dedup" | "dedupe" | "idempotent" => "make runs unique by `unique(key = \"…\")`",
        "throttle" => "of several calls in a time one makes a run: `unique(key = \"…\", for = \"1h\")`",
        "pool" | "max_concurrent" | "concurrency" | "max_concurrency" | "workers" | "parallelism" => {
            "limit the enqueued runs of the job by `limit(max = 4)`, or all work of a queue with `queue = \"…\"` and \
             `Scheduler::builder().limit_queue(\"…\", most)`; `disallow_concurrent` allows one run of the job at a time"
        }
        "limits" | "limits_concurrency" | "semaphore" | "mutex" | "max_concurrent_per_key" => {
            "limit the enqueued runs of each key by `limit(key = \"…\", max = 1)`"
        }
        "ordered" | "in_order" | "fifo" | "ordering_key" | "message_group" => {
            "runs of one key run one after the other by `sequence(key = \"…\")`"
        }
        "fairness" | "fair_key" | "round_robin" | "fair_queue" | "partition_by" => {
            "runs take turns by `fair(key = \"…\")`"
        }
        "concurrent" | "allow_concurrent" | "max_instances" => {
            "runs of a job may overlap by default; `disallow_concurrent` allows one run at a time"
        }
        "fixed_delay" => {
            "`every = \"…\"` counts from one start to the next; with `disallow_concurrent` a run that is due while another \
             one is under way waits"
        }
        "rate_limit" | "rate_limited" | "throttled" => {
            "limit how many attempts begin in a time by `rate = \"100/1m\"`"
        }
        "priority" => {
            "the priority belongs to a trigger: `scheduler.schedule(job::with(…), Trigger::now().priority(7))`; \
             enqueued runs of the job overtake others with `boost = \"2m\"`"
        }
        "delay" | "countdown" | "run_in" | "initial_delay" => {
            "a delay belongs to a trigger: `scheduler.schedule(job::with(…), Trigger::after(delay))`"
        }
        "start" | "start_at" | "end" | "end_at" | "repeat" | "repeat_count" | "eta" | "run_at" | "at" => {
            "start, end and count belong to a trigger in code: `Trigger::every(…).start_at(…).end_at(…).repeat(…)`, \
             scheduled with `scheduler.schedule(job::with(…), trigger)`"
        }
        "enabled" | "disabled" | "paused" => {
            "leave the job unregistered, or pause it while the scheduler runs: `scheduler.pause(Selection::Job(job::key()))`"
        }
        "args" | "data" | "params" => {
            "arguments are given with the call: `scheduler.enqueue(job::with(argument))`; runs of a declared trigger get \
             the `Default` of the argument's type"
        }
        "on_startup" | "run_on_start" | "run_at_startup" | "startup" => {
            "run it before everything else with `Scheduler::builder().before_start(job::with(…))`"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_other_schedulers_are_explained() {
        let known = ["name", "time_zone", "timeout"];
        let said = |name| unknown(name, &known);
        assert_eq!(said("tz"), "there is no option `tz`; did you mean `time_zone`?");
        assert_eq!(said("tiemout"), "there is no option `tiemout`; did you mean `timeout`?");
        assert_eq!(said("colour"), "there is no option `colour`; use one of name, time_zone, timeout");
        assert_eq!(said("retries"), "there is no option `retries`; did you mean `retry`?");
        assert!(said("attempts").contains("four attempts in all"));
        assert!(said("backoff").contains("`retry(max = 3, backoff ="));
        assert!(said("concurrency").contains("limit_queue"));
        for opposite in ["concurrent", "allow_concurrent", "max_instances"] {
            assert!(!said(opposite).contains("did you mean"), "{}", said(opposite));
            assert!(said(opposite).contains("may overlap by default"), "{}", said(opposite));
        }
        assert!(said("fixed_delay").contains("from one start to the next"));
    }
}
