use scheduler_core::prelude::*;

#[derive(serde::Serialize, serde::Deserialize)]
struct Greeting {
    name: String,
}

#[job(every = "10s")]
async fn greet(greeting: Greeting) {
    println!("{}", greeting.name);
}

fn main() {}
