use scheduler_core::prelude::*;

#[job]
struct Greeting;

fn main() {}
