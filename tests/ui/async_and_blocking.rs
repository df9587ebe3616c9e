use scheduler_core::prelude::*;

#[job(blocking)]
async fn tick() {}

fn main() {}
