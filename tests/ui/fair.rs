//! Every mistake in `fair` is explained at its place.

use scheduler_core::prelude::*;

#[derive(serde::Serialize, serde::Deserialize)]
struct Import {
    tenant: u64,
    parts: Vec<u64>,
}

#[job(fair)]
async fn without_a_key(import: Import) {}

#[job(fair = "tenant")]
async fn without_parentheses(import: Import) {}

#[job(fair())]
async fn without_parts(import: Import) {}

#[job(fair(by = "tenant"))]
async fn unknown_part(import: Import) {}

#[job(fair(key = "tenant", key = "parts"))]
async fn twice(import: Import) {}

#[job(fair(key = "tenant"))]
async fn without_argument() {}

#[job(fair(key = "tenant"), fair(key = "tenant"))]
async fn two_keys(import: Import) {}

#[job(round_robin = "tenant")]
async fn under_another_name(import: Import) {}

fn main() {}
