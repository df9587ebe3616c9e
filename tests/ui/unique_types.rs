//! A key is made of what is there and can be shown.

use scheduler_core::prelude::*;

#[derive(serde::Serialize, serde::Deserialize)]
struct Customer {
    number: u64,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Letter {
    customer: Customer,
}

#[job(unique(key = "custommer"))]
async fn no_such_field(letter: Letter) {}

#[job(unique(key = "customer"))]
async fn no_text(letter: Letter) {}

#[job(unique(key = "customer.number", merge = merge))]
async fn merges_something_else(letter: Letter) {}

fn merge(old: u64, _: u64) -> u64 {
    old
}

fn main() {}
