//! The output of a step only fits a job that takes its type.

use scheduler_core::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Page;

#[job(output)]
async fn fetch(url: String) -> Page {
    Page
}

#[job]
async fn silent(url: String) {}

#[job]
async fn count(words: usize) {}

#[job]
async fn compare(pages: (Page, usize)) {}

#[job]
async fn all(pages: Vec<Page>) {}

#[job]
async fn nothing() {}

fn flow(scheduler: &Scheduler) {
    let flow = scheduler.workflow("words");
    let page = flow.add(fetch::with(String::new()));
    let quiet = flow.add(silent::with(String::new()));
    flow.add(count::with_output(page));
    flow.add(count::with_output(quiet));
    flow.add(count::with_output(3));
    flow.add(compare::with_output((page, page)));
    flow.add(compare::with_output((page, 3)));
    flow.add(all::with_output([quiet, quiet]));
    flow.add(all::with_output(page));
    flow.add(nothing::with_output(page));
}

fn main() {}
