//! How long the machine has no time for a thread that is to go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use scheduler_core::time::{Clock, SystemClock};

use super::wait;

/// So often somebody looks.
const LOOK: Duration = Duration::from_millis(10);

/// A machine with time to spare is not later than this.
const USUAL: Duration = Duration::from_millis(50);

/// How long a thread had to wait that was to go on.
#[derive(Debug, Default, Clone, Copy)]
pub struct Stalls {
    /// The longest time.
    pub longest: Duration,
    /// All longer ones together.
    pub total: Duration,
}

/// The thread that looks.
pub(super) struct Watch {
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<Stalls>,
}

impl Watch {
    pub(super) fn start() -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let of_thread = is_over.clone();
        Self { is_over, thread: std::thread::spawn(move || watch(&of_thread)) }
    }

    pub(super) fn end(self) -> Stalls {
        self.is_over.store(true, Ordering::SeqCst);
        self.thread.join().expect("it ends")
    }
}

fn watch(is_over: &AtomicBool) -> Stalls {
    let mut stalls = Stalls::default();
    while !is_over.load(Ordering::SeqCst) {
        let before = SystemClock.monotonic();
        wait(LOOK);
        let late = (SystemClock.monotonic() - before).saturating_sub(LOOK);
        stalls.longest = stalls.longest.max(late);
        if late > USUAL {
            stalls.total += late;
        }
    }
    stalls
}
