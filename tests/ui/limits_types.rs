//! Keys and weights of limits and sequences are made of what is there.

use scheduler_core::prelude::*;

#[derive(serde::Serialize, serde::Deserialize)]
struct Tenant {
    number: u64,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Letter {
    tenant: Tenant,
    size: f64,
}

#[job(limit(key = "nobody", max = 1))]
async fn unknown_field(letter: Letter) {}

#[job(limit(key = "tenant", max = 1))]
async fn no_text(letter: Letter) {}

#[job(limit(key = "tenant.number", max = 10, weight = "size"))]
async fn no_whole_number(letter: Letter) {}

#[job(rate("10/1m", cost = weight))]
async fn made_of_something_else(letter: Letter) {}

#[job(sequence(key = "tenant"))]
async fn no_text_in_a_sequence(letter: Letter) {}

fn weight(number: u64) -> u32 {
    number as u32
}

fn main() {}
