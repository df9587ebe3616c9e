//! What can be done at all: tasks of the runtime, and the least that scripts in Redis can do.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use redis::Script;
use scheduler_core::time::{Clock, SystemClock};
use serde_json::{Value, json};

use crate::measure::{Task, processor_time_of};

/// A task for each job, all awaited.
pub async fn spawn(task: &Task) -> Value {
    static DONE: AtomicUsize = AtomicUsize::new(0);
    let count = task.get("n", 100_000);
    let begin = SystemClock.monotonic();
    let tasks: Vec<_> =
        (0..count).map(|_| tokio::spawn(async { DONE.fetch_add(1, Ordering::Relaxed) })).collect();
    for task in tasks {
        task.await.expect("it ends");
    }
    let took = SystemClock.monotonic() - begin;
    json!({ "per_s": count as f64 / took.as_secs_f64(), "lost": count - DONE.load(Ordering::Relaxed), "twice": 0 })
}

/// Takes what is due, with its record, and notes that it was taken.
const TAKE: &str = "#!lua
local names = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])
if #names == 0 then return names end
redis.call('ZREM', KEYS[1], unpack(names))
local records, noted = redis.call('HMGET', KEYS[2], unpack(names)), {}
for n, name in ipairs(names) do
  noted[2 * n - 1], noted[2 * n] = name, ARGV[3]
end
redis.call('HSET', KEYS[3], unpack(noted))
return { names, records }";

/// Removes what was taken, if it is still there.
const END: &str = "#!lua
local noted, gone = redis.call('HMGET', KEYS[2], unpack(ARGV, 2)), {}
for n, who in ipairs(noted) do
  if who == ARGV[1] then gone[#gone + 1] = ARGV[n + 1] end
end
redis.call('HDEL', KEYS[2], unpack(gone))
redis.call('HDEL', KEYS[1], unpack(gone))
return #gone";

/// The bare minimum: a set of due names, a hash of records, a hash of what was taken; no states, no jobs, no order by priority,
/// nothing to find the work of a dead node by. Four loops in one process, a hundred each time.
pub async fn scripts(task: &Task) -> redis::RedisResult<Value> {
    const BATCH: usize = 100;
    const LOOPS: usize = 4;
    let count = task.get("n", 300_000);
    let server = tests::redis::Server::start();
    let client = redis::Client::open(server.url())?;
    let connection = client.get_multiplexed_async_connection().await?;
    let record = "r".repeat(224);
    let names: Vec<_> = (0..count).map(|number| format!("t{number}")).collect();
    for part in names.chunks(1000) {
        let mut pipe = redis::pipe();
        for name in part {
            pipe.zadd("due", name, 1).ignore().hset("records", name, &record).ignore();
        }
        pipe.query_async::<()>(&mut connection.clone()).await?;
    }
    let done = Arc::new(AtomicUsize::new(0));
    let before = processor_time_of(server.pid());
    let begin = SystemClock.monotonic();
    let loops = (0..LOOPS).map(|number| {
        let (mut connection, done) = (connection.clone(), done.clone());
        tokio::spawn(async move {
            let (take, end) = (Script::new(TAKE), Script::new(END));
            loop {
                let mut call = take.prepare_invoke();
                call.key("due").key("records").key("taken").arg(1).arg(BATCH).arg(number);
                let taken: Vec<Vec<String>> = call.invoke_async(&mut connection).await?;
                let Some(names) = taken.first() else { return redis::RedisResult::Ok(()) };
                let mut call = end.prepare_invoke();
                call.key("records").key("taken").arg(number);
                for name in names {
                    call.arg(name);
                }
                done.fetch_add(call.invoke_async::<usize>(&mut connection).await?, Ordering::Relaxed);
            }
        })
    });
    for running in loops.collect::<Vec<_>>() {
        running.await.expect("it ends")?;
    }
    let took = SystemClock.monotonic() - begin;
    let (done, used) = (done.load(Ordering::Relaxed), processor_time_of(server.pid()) - before);
    Ok(json!({
        "per_s": done as f64 / took.as_secs_f64(), "server_us": used.as_secs_f64() * 1e6 / count as f64,
        "lost": count - done, "twice": 0,
    }))
}
