use scheduler_core::prelude::*;

struct Pool;

#[job]
async fn query(State(_pool): State<Pool>) {}

fn main() {}
