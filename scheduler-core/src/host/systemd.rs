//! What systemd hears, over the socket that it names in `NOTIFY_SOCKET`; without that, nothing.
//!
//! The watchdog is fed from a thread of its own, and only while the firing loop makes progress: a program that hangs is
//! restarted, also when its runtime is blocked.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::{Arc, Once, Weak};
use std::time::Duration;

use super::core::HostCore;

/// The first failure is logged.
static FAILED: Once = Once::new();

/// How often the status is told when there is no watchdog.
const STATUS_PERIOD: Duration = Duration::from_secs(10);

/// Says that the host is up, and from then on what it does.
pub(super) fn begin(core: &Arc<HostCore>) {
    if !notify("READY=1") {
        return;
    }
    let watchdog =
        std::env::var("WATCHDOG_USEC").ok().and_then(|text| text.parse().ok()).map(Duration::from_micros);
    let period = watchdog.map_or(STATUS_PERIOD, |limit| limit / 3).max(Duration::from_millis(10));
    let core = Arc::downgrade(core);
    let thread = std::thread::Builder::new().name("systemd".to_owned());
    let spawned = thread.spawn(move || {
        while tell(&core, watchdog.is_some()) {
            std::thread::park_timeout(period);
        }
    });
    if let Err(error) = spawned {
        tracing::error!(%error, "systemd gets no status and no watchdog signal, and may restart this process: the thread for them cannot be started: {error}");
    }
}

/// False when the host is gone or stops.
fn tell(core: &Weak<HostCore>, watchdog: bool) -> bool {
    let Some(core) = core.upgrade().filter(|core| core.is_up()) else { return false };
    let health = core.health();
    let running = health.scheduler.as_ref().map_or(0, |scheduler| scheduler.running);
    let ready = if health.ready { "ready" } else { "not ready" };
    notify(&format!("STATUS={ready}, {running} running"));
    if watchdog && health.live {
        notify("WATCHDOG=1");
    }
    true
}

/// Says that the host stops, and how long that may take.
pub(super) fn stopping(budget: Duration) {
    let extend = budget.saturating_add(Duration::from_secs(5)).as_micros();
    notify(&format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={extend}"));
}

fn notify(message: &str) -> bool {
    let Some(name) = std::env::var_os("NOTIFY_SOCKET") else { return false };
    let sent = address(name.as_bytes()).and_then(|address| {
        let socket = UnixDatagram::unbound()?;
        socket.send_to_addr(message.as_bytes(), &address)
    });
    if let Err(error) = &sent {
        // The status is told again and again.
        FAILED.call_once(|| tracing::warn!(%error, "systemd cannot be notified at the socket of `NOTIFY_SOCKET`, and takes the service for not ready: {error}"));
    }
    sent.is_ok()
}

/// A path, or a name in the abstract namespace after an `@`.
fn address(name: &[u8]) -> std::io::Result<SocketAddr> {
    match name.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(std::path::Path::new(std::ffi::OsStr::from_bytes(name))),
    }
}
