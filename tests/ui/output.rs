use scheduler_core::prelude::*;

#[job(output)]
async fn nothing() {}

#[job(output = "1h")]
async fn with_value() -> u32 {
    0
}

#[job(output(keep = "1h"))]
async fn with_list() -> u32 {
    0
}

#[job(output, keep = "0s")]
async fn for_no_time() -> u32 {
    0
}

#[job(output, keep = 1)]
async fn without_unit() -> u32 {
    0
}

#[derive(serde::Serialize, serde::Deserialize, Job)]
#[job(output)]
struct OfStruct {}

impl OfStruct {
    async fn execute(self) {}
}

fn main() {}
