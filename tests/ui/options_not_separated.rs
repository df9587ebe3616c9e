use scheduler_core::prelude::*;

#[job(name = "a" group = "b")]
async fn tick() {}

fn main() {}
