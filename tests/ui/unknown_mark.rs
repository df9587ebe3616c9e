use scheduler_core::prelude::*;

#[job]
async fn greet(#[arg] name: String) {
    println!("{name}");
}

fn main() {}
