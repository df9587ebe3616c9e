//! Every mistake in `unique` and `debounce` is told at its place.

use scheduler_core::prelude::*;

#[derive(serde::Serialize, serde::Deserialize)]
struct Letter {
    customer: u64,
    number: f64,
}

#[job(unique(by = "customer"))]
async fn unknown_part(letter: Letter) {}

#[job(unique(key = "customer", while = "running"))]
async fn unknown_scope(letter: Letter) {}

#[job(unique(key = "customer", on_conflict = "keep_last"))]
async fn unknown_conflict(letter: Letter) {}

#[job(unique(key = "customer", for = 60))]
async fn without_unit(letter: Letter) {}

#[job(unique(key = "the customer"))]
async fn no_name(letter: Letter) {}

#[job(unique(key = 7))]
async fn no_key(letter: Letter) {}

#[job(unique(key = "customer"))]
async fn without_argument() {}

#[job(unique = "customer")]
async fn without_parentheses(letter: Letter) {}

#[job(unique(key = "customer", key = "number"))]
async fn twice(letter: Letter) {}

#[job(unique(key = "customer", on_conflict = "skip", merge = both))]
async fn two_ways(letter: Letter) {}

#[job(debounce(key = "customer"))]
async fn without_quiet(letter: Letter) {}

#[job(debounce(key = "customer", quiet = "5s", at_most = "5s"))]
async fn no_longer(letter: Letter) {}

#[job(debounce(key = "customer", quiet = "0s"))]
async fn no_time(letter: Letter) {}

#[job(unique(key = "customer"), debounce(key = "customer", quiet = "5s"))]
async fn both_options(letter: Letter) {}

fn both(_: Letter, new: Letter) -> Letter {
    new
}

fn main() {}
