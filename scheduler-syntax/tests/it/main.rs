//! What the crate reads, from outside.

mod cron_search;
mod cron_text;
