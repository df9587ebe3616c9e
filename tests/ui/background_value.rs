use scheduler_core::host::{ServiceContext, background, start_up};
use scheduler_core::prelude::*;

#[derive(Clone)]
struct Pool;

async fn poll(context: ServiceContext, pool: Pool) {
    let _ = (context, pool);
}

struct NotClone;

async fn migrate(State(value): State<NotClone>) -> JobResult {
    let _ = value;
    Ok(())
}

fn main() {
    background("poll", poll);
    start_up("migrate", migrate);
}
