use scheduler_core::prelude::*;

#[job]
async unsafe fn tick() {}

fn main() {}
