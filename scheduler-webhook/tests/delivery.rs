//! Requests to a server on the loopback interface.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use scheduler_core::job::{JobDefinition, JobDetail, JobError};
use scheduler_core::run::{RetryPolicy, RunId};
use scheduler_core::{JobKey, Scheduler};
use scheduler_webhook::DeadRunWebhook;
use sha2::Sha256;
use tokio::sync::mpsc;

const SECRET: &str = "not so secret as it should be";

/// A request as the server has got it.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    headers: HashMap<String, String>,
    body: String,
}

impl Seen {
    fn header(&self, name: &str) -> &str {
        &self.headers[name]
    }

    fn run(&self) -> String {
        let body: serde_json::Value = serde_json::from_str(&self.body).unwrap();
        body["run"].as_str().unwrap().to_owned()
    }
}

/// Answers with these statuses, one after the other, and then with 204.
fn serve(statuses: &'static [u16]) -> (String, mpsc::UnboundedReceiver<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/dead", listener.local_addr().unwrap());
    let (seen, requests) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        let mut statuses = statuses.iter().copied();
        for stream in listener.incoming() {
            if seen.send(answer(stream.unwrap(), statuses.next().unwrap_or(204))).is_err() {
                return;
            }
        }
    });
    (url, requests)
}

fn answer(stream: TcpStream, status: u16) -> Seen {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    assert!(line.starts_with("POST /dead HTTP/1.1"), "{line}");
    let mut headers = HashMap::new();
    loop {
        line.clear();
        reader.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_lowercase(), value.to_owned());
    }
    let mut body = vec![0; headers["content-length"].parse().unwrap()];
    reader.read_exact(&mut body).unwrap();
    let text = format!("HTTP/1.1 {status} As told\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    reader.into_inner().write_all(text.as_bytes()).unwrap();
    Seen { headers, body: String::from_utf8(body).unwrap() }
}

async fn next(requests: &mut mpsc::UnboundedReceiver<Seen>) -> Seen {
    tokio::time::timeout(Duration::from_secs(60), requests.recv()).await.unwrap().unwrap()
}

fn letters() -> JobDetail {
    let job = JobDetail::builder(JobKey::new("send").unwrap(), "send");
    job.retry(RetryPolicy::never()).build()
}

async fn started(webhook: DeadRunWebhook) -> Scheduler {
    let job = JobDefinition::new(letters(), || async { Err::<(), _>(JobError::new("refused")) });
    let scheduler = Scheduler::builder().register(job).plugin(webhook).build().unwrap();
    scheduler.start().await.unwrap();
    scheduler
}

fn webhook(url: &str) -> DeadRunWebhook {
    DeadRunWebhook::new(url, SECRET).unwrap().pause(Duration::from_millis(1))
}

async fn die(scheduler: &Scheduler) -> RunId {
    scheduler.enqueue(letters()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_run_is_a_signed_request() {
    let (url, mut requests) = serve(&[]);
    let scheduler = started(webhook(&url)).await;
    let run = die(&scheduler).await;
    let seen = next(&mut requests).await;
    let body: serde_json::Value = serde_json::from_str(&seen.body).unwrap();
    let expected = serde_json::json!({
        "event": "dead", "run": run.to_string(), "job": ["DEFAULT", "send"], "attempts": 1, "error": "refused"
    });
    assert_eq!(body, expected);
    assert_eq!(seen.header("content-type"), "application/json");
    assert!(seen.header("webhook-id").starts_with(&run.to_string()), "{seen:?}");
    check(&seen, SECRET.as_bytes());
    scheduler.shutdown(Duration::from_secs(5)).await;
}

/// As a receiver checks it.
fn check(seen: &Seen, secret: &[u8]) {
    let (id, timestamp) = (seen.header("webhook-id"), seen.header("webhook-timestamp"));
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
    mac.update(format!("{id}.{timestamp}.{}", seen.body).as_bytes());
    let signature = seen.header("webhook-signature").strip_prefix("v1,").unwrap();
    mac.verify_slice(&BASE64_STANDARD.decode(signature).unwrap()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_of_standard_webhooks_is_decoded() {
    let secret = [7; 24];
    let (url, mut requests) = serve(&[]);
    let written = format!("whsec_{}", BASE64_STANDARD.encode(secret));
    let scheduler = started(DeadRunWebhook::new(&url, written).unwrap()).await;
    die(&scheduler).await;
    check(&next(&mut requests).await, &secret);
    scheduler.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_fails_is_sent_again() {
    let (url, mut requests) = serve(&[503, 429]);
    let scheduler = started(webhook(&url)).await;
    die(&scheduler).await;
    let first = next(&mut requests).await;
    for _ in 0..2 {
        let again = next(&mut requests).await;
        assert_eq!(again.body, first.body);
        assert_eq!(again.header("webhook-id"), first.header("webhook-id"), "it is the same request");
        check(&again, SECRET.as_bytes());
    }
    let another = die(&scheduler).await;
    assert_eq!(next(&mut requests).await.run(), another.to_string(), "the third one was answered");
    scheduler.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_given_up_when_it_is_refused_or_was_tried_often_enough() {
    let (url, mut requests) = serve(&[404, 302, 500, 500]);
    let scheduler = started(webhook(&url).tries(2)).await;
    let mut runs = Vec::new();
    for _ in 0..4 {
        runs.push(die(&scheduler).await.to_string());
    }
    let mut seen = Vec::new();
    for _ in 0..5 {
        seen.push(next(&mut requests).await.run());
    }
    runs.sort_unstable();
    let twice = seen.remove(3);
    assert_eq!(twice, seen[2], "only a server error is tried again");
    seen.sort_unstable();
    assert_eq!(seen, runs);
    scheduler.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_away_holds_nothing_up() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let scheduler = started(webhook(&format!("http://{free}/dead")).pause(Duration::from_secs(3_600))).await;
    let mut events = scheduler.events();
    let runs = [die(&scheduler).await, die(&scheduler).await];
    let mut dead = 0;
    while dead < runs.len() {
        let event = tokio::time::timeout(Duration::from_secs(60), events.next()).await.unwrap().unwrap();
        dead += usize::from(matches!(event, scheduler_core::scheduler::Event::Dead { .. }));
    }
    assert!(scheduler.shutdown(Duration::from_secs(5)).await.lost.is_empty());
}

#[test]
fn mistakes_are_explained() {
    for (url, secret, problem) in [
        ("alerts.example.org", SECRET, "does not begin with `http://` or `https://`"),
        ("ftp://example.org", SECRET, "does not begin with `http://` or `https://`"),
        ("https://a b", SECRET, "cannot be read"),
        ("https://example.org", "short", "has 5 bytes; use at least 16"),
        ("https://example.org", "whsec_no base64 at all", "is not Base64"),
    ] {
        let error = DeadRunWebhook::new(url, secret).unwrap_err().to_string();
        assert!(error.contains(problem), "{error}");
    }
    let shown = format!("{:?}", webhook("https://me:password@example.org/token?key=value"));
    assert!(shown.contains("https://example.org"), "{shown}");
    for part in ["secret", "me", "password", "token", "key"] {
        assert!(!shown.replace("example", "").replace("timeout", "").contains(part), "{part}: {shown}");
    }
}
