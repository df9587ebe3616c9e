use scheduler_core::prelude::*;

struct Ticker;

impl Ticker {
    #[job]
    async fn tick(&self) {}
}

fn main() {}
