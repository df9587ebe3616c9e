//! How a client hears that a run which it waits for may have ended.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use crate::run::RunId;
use crate::sync::Mutex;

type Waiting = HashMap<RunId, Vec<oneshot::Sender<()>>>;

/// The clients of this process that wait for the ends of runs. A store keeps one list, and says when a run has ended.
#[derive(Debug, Clone, Default)]
pub struct EndSignals(Arc<Mutex<Waiting>>);

impl EndSignals {
    /// From this call on, the end of the run is not missed.
    pub fn listen(&self, run: RunId) -> EndSignal {
        let (sender, receiver) = oneshot::channel();
        self.0.lock().entry(run).or_default().push(sender);
        EndSignal { receiver: Some(receiver), of: Some((self.clone(), run)) }
    }

    /// The run has ended or is gone: whoever waits for it looks.
    pub fn tell(&self, run: RunId) {
        let waiting = self.0.lock().remove(&run);
        waiting.into_iter().flatten().for_each(told);
    }

    /// Ends may have been missed: everybody looks.
    pub fn tell_all(&self) {
        let waiting = std::mem::take(&mut *self.0.lock());
        waiting.into_values().flatten().for_each(told);
    }
}

/// A client that waits no longer has dropped its receiver, which is no error.
fn told(waiting: oneshot::Sender<()>) {
    let _ = waiting.send(());
}

/// Comes when the run may have ended. Whoever waits looks at the run then, and also now and then without a signal, since a signal of
/// another process may be lost.
#[derive(Debug)]
pub struct EndSignal {
    receiver: Option<oneshot::Receiver<()>>,
    of: Option<(EndSignals, RunId)>,
}

impl EndSignal {
    /// The signal of a store that gives none.
    pub const fn never() -> Self {
        Self { receiver: None, of: None }
    }
}

impl Future for EndSignal {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.receiver {
            Some(receiver) => Pin::new(receiver).poll(context).map(drop),
            None => Poll::Pending,
        }
    }
}

impl Drop for EndSignal {
    /// Nobody waits any more.
    fn drop(&mut self) {
        let Some((signals, run)) = self.of.take() else { return };
        self.receiver = None;
        let mut waiting = signals.0.lock();
        if let Some(of_run) = waiting.get_mut(&run) {
            of_run.retain(|one| !one.is_closed());
            if of_run.is_empty() {
                waiting.remove(&run);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn everybody_who_waits_is_told_once_and_nobody_is_remembered_who_does_not() {
        let (signals, run) = (EndSignals::default(), RunId::new(1, 1));
        let (first, second) = (signals.listen(run), signals.listen(run));
        drop(signals.listen(RunId::new(1, 2)));
        assert_eq!(signals.0.lock().len(), 1);
        drop(second);
        assert_eq!(signals.0.lock()[&run].len(), 1);
        signals.tell(run);
        first.await;
        let third = signals.listen(run);
        signals.tell_all();
        third.await;
        assert!(signals.0.lock().is_empty());
    }
}
