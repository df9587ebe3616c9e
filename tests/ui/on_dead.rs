use scheduler_core::prelude::*;
use scheduler_core::run::{DeadRun, RunId};

async fn takes_the_id(_: RunId) {}

fn is_not_async(_: DeadRun) {}

async fn answers(_: DeadRun) -> u32 {
    7
}

async fn page(_: DeadRun) {}

#[job(on_dead = takes_the_id)]
async fn another_argument() {}

#[job(on_dead = is_not_async)]
async fn blocks() {}

#[job(on_dead = answers)]
async fn with_an_answer() {}

#[job(on_dead = "page")]
async fn a_text() {}

#[job(on_dead)]
async fn a_flag() {}

#[job(on_dead(page))]
async fn a_list() {}

#[job(on_dead = page, on_dead = page)]
async fn twice() {}

#[job(retries_exhausted = page)]
async fn of_others() {}

fn main() {}
