use scheduler_core::prelude::*;
use std::time::Instant;

#[derive(serde::Serialize)]
struct Written;

#[derive(serde::Deserialize)]
struct Read;

#[job]
async fn written(_value: Written) {}

#[job]
async fn read(_value: Read) {}

#[job]
async fn instant(_value: Vec<Instant>) {}

#[job]
async fn state_between(_a: u32, State(_b): State<u32>, _c: u32) {}

fn main() {}
