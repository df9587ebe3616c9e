//! What the crate reads, from outside.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

mod backoff;
mod cron_civil;
mod cron_crate;
mod cron_describe;
mod cron_hash;
mod cron_laws;
mod cron_text;
mod cron_unix;
mod cron_zoned;
mod duration;
mod hints;
mod nearest;
mod retrying;
mod rrule;
mod rrule_blocks;
mod rrule_real_time;
mod strategies;
mod zone;
