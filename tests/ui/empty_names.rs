use scheduler_core::prelude::*;

#[job(every = "1h", calendar = "", queue = "")]
async fn tick() {}

fn main() {}
