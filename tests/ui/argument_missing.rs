use scheduler_core::prelude::*;

#[job]
async fn greet(name: String) {
    println!("{name}");
}

async fn mistakes(scheduler: Scheduler) -> scheduler_core::Result<()> {
    scheduler.enqueue(greet::with()).await?;
    Ok(())
}

fn main() {}
