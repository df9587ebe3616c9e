use scheduler_core::prelude::*;

#[job]
async fn greet(name: String) {
    println!("{name}");
}

#[job]
async fn tick() {}

async fn use_it(scheduler: Scheduler) {
    let _ = greet::with("ada");
    let _ = greet::with();
    let _ = tick::with(5);
    let _ = scheduler.enqueue(tick::key()).await;
    let _ = scheduler.enqueue("tick").await;
    let _ = scheduler.enqueue(tick).await;
    let _ = scheduler.enqueue(tick()).await;
    let _ = scheduler.enqueue(tick::definition()).await;
    let _ = scheduler.schedule(tick::with(), "5s").await;
    let _ = scheduler.schedule(tick::with(), std::time::Duration::ZERO).await;
}

fn main() {}
