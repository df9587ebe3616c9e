use scheduler_core::prelude::*;

#[job(tiemout = "15m", tz = "UTC", colour = "red")]
async fn tick() {}

fn main() {}
