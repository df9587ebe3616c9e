use scheduler_core::host::JobQueue;
use scheduler_core::prelude::*;

#[job]
async fn greet(name: String) {
    println!("{name}");
}

#[job]
async fn tick() {}

async fn mistakes(scheduler: Scheduler, queue: JobQueue) -> scheduler_core::Result<()> {
    scheduler.enqueue(greet).await?;
    scheduler.enqueue(greet("Ada".to_owned())).await?;
    scheduler.enqueue(tick).await?;
    scheduler.enqueue(tick()).await?;
    scheduler.schedule(greet, Trigger::now()).await?;
    queue.enqueue(tick()).await?;
    Scheduler::builder().before_start(tick);
    Ok(())
}

fn main() {}
