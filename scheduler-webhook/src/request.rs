//! The request, its signature, and the HTTP agent that sends it.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use scheduler_core::scheduler::Event;
use scheduler_core::time::Clock;
use sha2::Sha256;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// A request; all tries send the same.
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

/// Reads the certificates of the system, so the thread may block.
pub(crate) fn agent(timeout: Duration) -> ureq::Agent {
    // Those that cannot be read are left out; without any, an address with `https` cannot be reached.
    let of_system = rustls_native_certs::load_native_certs().certs;
    let roots: Vec<_> = of_system.iter().map(|root| Certificate::from_der(root).to_owned()).collect();
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::new_with_certs(&roots))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build();
    let config = ureq::Agent::config_builder()
        .tls_config(tls)
        .timeout_global(Some(timeout))
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .build();
    config.into()
}
