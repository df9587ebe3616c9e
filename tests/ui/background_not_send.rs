use scheduler_core::host::background;
use scheduler_core::prelude::*;

use std::rc::Rc;

async fn poll(stop: CancellationToken) {
    let value = Rc::new(1);
    stop.cancelled().await;
    println!("{value}");
}

async fn count() -> u32 {
    1
}

fn main() {
    background("poll", poll);
    background("count", count);
    background("called", poll(CancellationToken::new()));
}
