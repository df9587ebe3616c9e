use scheduler_core::prelude::*;

#[job(durable = "yes")]
async fn tick() {}

fn main() {}
