use scheduler_core::prelude::*;

#[job(cron = "0 0 25 * * ?", time_zone = "Mars/Base", timeout = "soon")]
async fn nightly(a: &str) {
    println!("{a}");
}

fn main() {}
