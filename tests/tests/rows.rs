//! The store in Redis as a driver of rows passes what every store has to pass, on a real server.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

use std::sync::atomic::{AtomicUsize, Ordering};

use scheduler_redis::RedisJobStore;
use scheduler_redis::rows::RowsJobStore;
use tests::redis::Server;

thread_local! {
    /// Of one test: it ends with its thread, and takes its folder with it.
    static SERVER: Server = Server::start();
}

static STORES: AtomicUsize = AtomicUsize::new(0);

/// A store of its own.
async fn open() -> RowsJobStore {
    let url = SERVER.with(Server::url);
    let name = format!("test-{}", STORES.fetch_add(1, Ordering::Relaxed));
    RowsJobStore::connect(RedisJobStore::builder(&url).name(name).keep_history(1000)).await.unwrap()
}

scheduler_conformance::store_conformance!(rows, open);
