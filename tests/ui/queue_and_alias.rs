use scheduler_core::prelude::*;

#[job(queue = "mail", execution_group = "reports")]
async fn alias_second() {}

#[job(execution_group = "mail", queue = "mail")]
async fn alias_first() {}

#[job(execution_group = "mail", execution_group = "mail")]
async fn alias_twice() {}

#[job(execution_group = "mail")]
async fn alias_alone() {}

#[job(execution_group = 3)]
async fn alias_with_number() {}

fn main() {}
