use scheduler_core::prelude::*;

#[job(every = "1h", calendar = "", execution_group = "")]
async fn tick() {}

fn main() {}
