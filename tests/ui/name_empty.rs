use scheduler_core::prelude::*;

#[job(name = "", group = "a\0b")]
async fn tick() {}

fn main() {}
