use scheduler_core::prelude::*;

struct Greeting;

#[job]
async fn greet(_greeting: Greeting) {}

fn main() {}
