use scheduler_core::prelude::*;
use scheduler_core::testing::TestScheduler;

#[job]
async fn tick() {}

async fn mistakes(test: TestScheduler) {
    test.run_one(tick).await;
}

fn main() {}
