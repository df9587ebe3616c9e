use scheduler_core::prelude::*;

struct Tenant;

#[job]
async fn greet(#[extract] _tenant: Tenant) {}

fn main() {}
