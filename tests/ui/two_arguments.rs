use scheduler_core::prelude::*;

#[job]
async fn greet(name: String, times: u8) {
    println!("{name} {times}");
}

fn main() {}
