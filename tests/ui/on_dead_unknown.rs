use scheduler_core::prelude::*;

#[job(on_dead = nowhere::page)]
async fn unknown() {}

fn main() {}
