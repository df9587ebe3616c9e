use scheduler_core::prelude::*;

#[derive(Clone)]
struct Pool;

#[job]
async fn query(name: String, pool: Pool) {
    let _ = (name, pool);
}

fn main() {}
