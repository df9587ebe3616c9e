//! What is sent, and its signature.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use scheduler_core::scheduler::Event;
use scheduler_core::time::Clock;
use sha2::Sha256;

/// What is sent, the same in each try.
pub(crate) struct Request {
    pub(crate) id: String,
    pub(crate) body: String,
}

/// What differs from try to try.
pub(crate) struct Signed {
    pub(crate) timestamp: String,
    pub(crate) signature: String,
}

impl Request {
    pub(crate) fn new(event: &Event, run: &str, clock: &dyn Clock) -> Option<Self> {
        let id = format!("{run}-{}", clock.now().timestamp_millis());
        Some(Self { id, body: serde_json::to_string(event).ok()? })
    }

    pub(crate) fn signed(&self, clock: &dyn Clock, secret: &[u8]) -> Option<Signed> {
        let Self { id, body } = self;
        let timestamp = clock.now().timestamp().to_string();
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).ok()?;
        mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
        let signature = format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()));
        Some(Signed { timestamp, signature })
    }
}
