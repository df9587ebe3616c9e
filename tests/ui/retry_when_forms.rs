use scheduler_core::job::JobError;
use scheduler_core::prelude::*;

#[job(retry(when = "is_transient"))]
async fn text() -> JobResult {
    Ok(())
}

#[job(retry(when = |_| true))]
async fn closure() -> JobResult {
    Ok(())
}

#[job(retry(when))]
async fn alone() -> JobResult {
    Ok(())
}

#[job(retry(when = is_transient))]
async fn no_error() {}

#[derive(serde::Serialize, serde::Deserialize, Job)]
#[job(retry(when = is_transient))]
struct Derived;

impl Derived {
    async fn execute(self) -> JobResult {
        Ok(())
    }
}

fn is_transient(_: &JobError) -> bool {
    true
}

fn main() {}
