use scheduler_core::prelude::*;

#[job(every = "10")]
async fn tick() {}

fn main() {}
