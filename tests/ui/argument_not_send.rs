use scheduler_core::prelude::*;

use std::rc::Rc;

#[job]
async fn greet(name: Rc<String>) {
    println!("{name}");
}

fn main() {}
