use scheduler_core::prelude::*;

#[job]
const X: u8 = 1;

fn main() {}
