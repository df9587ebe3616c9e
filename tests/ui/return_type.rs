use scheduler_core::prelude::*;

#[job]
async fn count() -> u32 {
    7
}

fn main() {}
