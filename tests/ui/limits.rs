//! Every mistake in `limit` and `rate` is explained at its place.

use scheduler_core::prelude::*;

#[derive(serde::Serialize, serde::Deserialize)]
struct Letter {
    tenant: u64,
    size: u32,
}

#[job(limit = 2)]
async fn without_parentheses(letter: Letter) {}

#[job(limit(key = "tenant"))]
async fn without_max(letter: Letter) {}

#[job(limit(key = "tenant", max = 0))]
async fn none_at_all(letter: Letter) {}

#[job(limit(key = "tenant", max = "2"))]
async fn max_in_quotes(letter: Letter) {}

#[job(limit(by = "tenant", max = 2))]
async fn unknown_part(letter: Letter) {}

#[job(limit(key = "tenant", max = 2, max = 3))]
async fn twice(letter: Letter) {}

#[job(limit(max = 2, weight = 3))]
async fn too_heavy(letter: Letter) {}

#[job(limit(key = "tenant", max = 2, when_full = "drop"))]
async fn unknown_when_full(letter: Letter) {}

#[job(limit(key = "tenant", max = 2, when_full = skip))]
async fn when_full_without_quotes(letter: Letter) {}

#[job(limit(key = "tenant", max = 2, hold = "runs"))]
async fn unknown_hold(letter: Letter) {}

#[job(rate("100/1m", when_full = "cancel_running"))]
async fn rate_that_cancels(letter: Letter) {}

#[job(rate("100/1m", hold = "run"))]
async fn rate_that_is_held(letter: Letter) {}

#[job(limit(key = "tenant", max = 2))]
async fn without_argument() {}

#[job(limit(max = 1), limit(key = "tenant", max = 2))]
async fn two_of_one_name(letter: Letter) {}

#[job(
    limit(max = 1),
    limit(name = "a", max = 1),
    limit(name = "b", max = 1),
    limit(name = "c", max = 1),
    limit(name = "d", max = 1)
)]
async fn too_many(letter: Letter) {}

#[job(rate = 100)]
async fn rate_in_numbers(letter: Letter) {}

#[job(rate = "100")]
async fn rate_without_time(letter: Letter) {}

#[job(rate = "0/1m")]
async fn rate_of_nothing(letter: Letter) {}

#[job(rate = "many/1m")]
async fn rate_of_many(letter: Letter) {}

#[job(rate(key = "tenant"))]
async fn rate_of_a_key(letter: Letter) {}

#[job(rate("100/1m", weight = "size"))]
async fn weight_of_a_rate(letter: Letter) {}

#[job(rate("10/1m", burst = 11))]
async fn burst_beyond_the_rate(letter: Letter) {}

#[job(limit(name = "", max = 1))]
async fn empty_name(letter: Letter) {}

#[job(rate("10/1m", cost = 3, burst = 2))]
async fn cost_beyond_the_burst(letter: Letter) {}

#[job(rate("10/1m", smooth = 3))]
async fn smooth_with_a_number(letter: Letter) {}

#[job(rate = "10/30d")]
async fn rate_of_a_month(letter: Letter) {}

#[job(rate = "10/1 fortnight")]
async fn rate_of_an_unknown_time(letter: Letter) {}

#[job(limit("100/1m"))]
async fn limit_with_a_rate(letter: Letter) {}

#[job(limit(max = 10, weight = "size"))]
async fn weight_without_argument() {}

#[job(limit(max = 5_000_000_000))]
async fn too_large(letter: Letter) {}

#[job(limit)]
async fn nothing_but_the_name(letter: Letter) {}

fn main() {}
