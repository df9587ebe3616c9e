//! The store in Redis passes what every store has to pass, on a real server.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use scheduler_redis::RedisJobStore;
use tests::redis::Server;

static SERVER: OnceLock<Server> = OnceLock::new();
static STORES: AtomicUsize = AtomicUsize::new(0);

/// A store of its own on the server of this process.
async fn open() -> RedisJobStore {
    let server = SERVER.get_or_init(Server::start);
    let name = format!("test-{}", STORES.fetch_add(1, Ordering::Relaxed));
    RedisJobStore::connect(&server.url(), &name).await.unwrap()
}

scheduler_core::store_conformance!(redis, open);
