//! What is sent, and its signature.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use scheduler_core::scheduler::Event;
use scheduler_core::time::Clock;
use sha2::Sha256;

/// What is sent.
pub(crate) struct Request {
    pub(crate) id: String,
    pub(crate) timestamp: String,
    pub(crate) signature: String,
    pub(crate) body: String,
}

impl Request {
    pub(crate) fn new(event: &Event, run: &str, clock: &dyn Clock, secret: &[u8]) -> Option<Self> {
        let (now, body) = (clock.now(), serde_json::to_string(event).ok()?);
        let (id, timestamp) = (format!("{run}-{}", now.timestamp_millis()), now.timestamp().to_string());
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).ok()?;
        mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
        let signature = format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()));
        Some(Self { id, timestamp, signature, body })
    }
}
