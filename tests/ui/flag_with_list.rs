use scheduler_core::prelude::*;

#[job(durable(true))]
async fn tick() {}

fn main() {}
