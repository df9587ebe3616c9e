use scheduler_core::prelude::*;

use std::rc::Rc;

#[job]
async fn tick() {
    let value = Rc::new(1);
    std::future::ready(()).await;
    println!("{value}");
}

fn main() {}
