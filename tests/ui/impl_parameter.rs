use scheduler_core::prelude::*;

#[job]
async fn greet(name: impl ToString) {
    println!("{}", name.to_string());
}

fn main() {}
