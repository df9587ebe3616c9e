use scheduler_core::prelude::*;

#[job]
async fn greet(name: String) {
    println!("{name}");
}

fn use_it() {
    greet::with(5);
}

fn main() {}
