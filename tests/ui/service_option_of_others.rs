use scheduler_core::host::{Service, background, hosted, start_up};
use std::time::Duration;

struct Cache;

impl Service for Cache {}

fn main() {
    hosted("cache", Cache).may_end();
    hosted("cache", Cache).attempts(3);
    background("poll", async || {}).once_per_cluster(1);
    start_up("migrate", async || {}).waits_until_ready();
    start_up("migrate", async || {}).stop_within(Duration::ZERO);
}
