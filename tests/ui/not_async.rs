use scheduler_core::prelude::*;

#[job]
fn tick() {}

fn main() {}
