use scheduler_core::prelude::*;

#[job(name)]
async fn tick() {}

fn main() {}
