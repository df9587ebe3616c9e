use scheduler_core::prelude::*;

#[job(name = "a", name = "b")]
async fn tick() {}

fn main() {}
