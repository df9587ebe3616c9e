use scheduler_core::prelude::*;

#[derive(Job)]
enum Work {
    One,
}

fn main() {}
