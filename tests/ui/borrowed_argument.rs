use scheduler_core::prelude::*;

#[job]
async fn greet(name: &str) {
    println!("{name}");
}

fn main() {}
