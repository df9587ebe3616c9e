use scheduler_core::prelude::*;

#[derive(Clone)]
struct Transaction;

#[derive(Clone)]
struct Cache;

fn main() {
    Scheduler::builder()
        .provide_scoped(async || Ok::<_, std::fmt::Error>(Transaction))
        .provide_with(|_: Scoped<Transaction>| Cache);
}
