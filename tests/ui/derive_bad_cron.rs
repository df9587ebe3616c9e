use scheduler_core::prelude::*;

#[derive(Default, serde::Serialize, serde::Deserialize, Job)]
#[job(cron = "0 0 0 32 * ?")]
struct Work;

impl Work {
    async fn execute(self) {}
}

fn main() {}
