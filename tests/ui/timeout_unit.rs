use scheduler_core::prelude::*;

#[job(timeout = "15 minutes")]
async fn tick() {}

fn main() {}
