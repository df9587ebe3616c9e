use scheduler_core::prelude::*;

#[derive(Clone)]
struct Pool;

#[job]
async fn query(pool: Pool) {
    let _ = pool;
}

fn main() {}
