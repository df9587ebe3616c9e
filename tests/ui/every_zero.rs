use scheduler_core::prelude::*;

#[job(every = "0s")]
async fn tick() {}

fn main() {}
