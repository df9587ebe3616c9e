use scheduler_core::prelude::*;

#[job(every = "1500us", timeout = "2500us")]
async fn tick() {}

fn main() {}
