//! Every mistake in `sequence` is explained at its place.

use scheduler_core::prelude::*;

#[derive(serde::Serialize, serde::Deserialize)]
struct Booking {
    account: u64,
    bank: u64,
}

#[job(sequence = "account")]
async fn without_parentheses(booking: Booking) {}

#[job(sequence(by = "account"))]
async fn unknown_part(booking: Booking) {}

#[job(sequence(key = "account", halt))]
async fn halts_without_a_word(booking: Booking) {}

#[job(sequence(key = "account", on_dead = "halts"))]
async fn unknown_word(booking: Booking) {}

#[job(sequence(key = "account", key = "bank"))]
async fn twice(booking: Booking) {}

#[job(sequence(key = "account"))]
async fn without_argument() {}

#[job(sequence(key = "account"), sequence(key = "bank"))]
async fn two_sequences(booking: Booking) {}

#[job(limit(key = "account", max = 2), sequence(key = "account"))]
async fn limited_by_both(booking: Booking) {}

// Each of these is meant: another key, and a limit that other jobs share.
#[job(limit(key = "bank", max = 2), limit(name = "ledger", key = "account", max = 2), sequence(key = "account"))]
async fn limited_by_something_else(booking: Booking) {}

fn main() {}
