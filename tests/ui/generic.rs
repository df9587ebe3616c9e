use scheduler_core::prelude::*;

#[job]
async fn tick<T: Send>(_value: T) {}

fn main() {}
