use scheduler_core::prelude::*;
use std::path::{Path, PathBuf};

#[job]
const fn constant() {}

#[job]
extern "C" fn foreign() {}

#[job]
async extern "C" fn foreign_async() {}

#[job]
async fn lifetime<'a>(_name: &'a str) {}

#[job]
async fn constants<const N: usize>() {}

#[job]
async fn borrowed_inside(_names: Vec<&str>) {}

#[job]
async fn borrowed_exclusively(_name: &mut String) {}

#[job]
async fn borrowed_path(_path: (u32, &Path)) {}

#[job]
async fn slice(_names: &[u8]) {}

#[job]
async fn borrowed_context(_context: &JobContext) {}

#[job]
fn returns_future() -> impl Future<Output = ()> { async {} }

fn main() {
    let _ = PathBuf::new();
}
