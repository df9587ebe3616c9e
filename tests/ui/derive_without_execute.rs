use scheduler_core::prelude::*;

#[derive(serde::Serialize, serde::Deserialize, Job)]
struct Work;

fn main() {}
