//! The calls that the loop has begun and the store has not answered: one that writes what has ended, one that acquires.
//!
//! The store answers either while the loop makes use of the other's answer, so that neither waits for the other.

use std::future::{poll_fn, ready};
use std::panic::resume_unwind;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::core::Core;
use crate::error::{Error, Result};
use crate::store::*;
use crate::user;

type Call<T> = StoreFuture<'static, T>;

/// At most one call of each kind.
#[derive(Default)]
pub(super) struct Calls {
    /// With how many endings.
    writing: Option<(usize, Call<Vec<CompleteResult>>)>,
    asking: Option<Call<Acquired>>,
    /// Some call was not answered by its first poll.
    take_time: bool,
}

/// What the store has answered.
#[derive(Default)]
pub(super) struct Answers {
    pub(super) written: Option<Result<Vec<CompleteResult>>>,
    pub(super) acquired: Option<Result<Acquired>>,
}

impl Calls {
    pub(super) fn write(&mut self, store: &Arc<dyn JobStore>, complete: Complete) {
        let (store, endings) = (store.clone(), complete.executions.len());
        let call = self.begin(Box::pin(async move { store.complete(complete).await }));
        self.writing = Some((endings, call));
    }

    pub(super) fn ask(&mut self, store: &Arc<dyn JobStore>, request: AcquireDue) {
        let store = store.clone();
        self.asking = Some(self.begin(Box::pin(async move { store.acquire_due(request).await })));
    }

    /// Starts a call at once, so that the store works on it before the loop waits for the answer.
    fn begin<T: Send + 'static>(&mut self, call: Call<T>) -> Call<T> {
        // No wake-up is lost by the waker that does nothing: `answers` and `beside` poll the call again with their own.
        let (call, is_answered) = polled(call, &mut Context::from_waker(Waker::noop()));
        self.take_time |= !is_answered;
        call
    }

    /// Whether the store may work on a call while the loop does something else. A store in memory has done its work by the first poll.
    pub(super) fn take_time(&self) -> bool {
        self.take_time
    }

    pub(super) fn are_under_way(&self) -> bool {
        self.are_writing() || self.are_asking()
    }

    /// How many endings are on their way.
    pub(super) fn being_written(&self) -> usize {
        self.writing.as_ref().map_or(0, |(endings, _)| *endings)
    }

    pub(super) fn are_writing(&self) -> bool {
        self.writing.is_some()
    }

    pub(super) fn are_asking(&self) -> bool {
        self.asking.is_some()
    }

    /// Makes another call while these go on, since it may need a lock or a connection that one of them holds.
    pub(super) async fn beside<T>(&mut self, call: impl Future<Output = T>) -> T {
        let mut call = pin!(call);
        poll_fn(|context| {
            self.writing = self.writing.take().map(|(endings, call)| (endings, polled(call, context).0));
            self.asking = self.asking.take().map(|call| polled(call, context).0);
            call.as_mut().poll(context)
        })
        .await
    }

    /// Waits until the store has answered one of the calls, or, if more `may_begin`, there are endings to be written and no call
    /// writes.
    pub(super) async fn answers(&mut self, core: &Core, may_begin: bool) -> Answers {
        let mut has_endings = pin!(core.has_endings());
        poll_fn(|context| {
            let (mut answers, may_write) = (Answers::default(), may_begin && self.writing.is_none());
            // A call that panics is not there any more.
            if let Some((endings, mut call)) = self.writing.take() {
                match call.as_mut().poll(context) {
                    Poll::Ready(written) => {
                        answers.written = Some(written.and_then(|written| all_of(endings, written)));
                    }
                    Poll::Pending => self.writing = Some((endings, call)),
                }
            }
            if let Some(mut call) = self.asking.take() {
                match call.as_mut().poll(context) {
                    Poll::Ready(acquired) => answers.acquired = Some(acquired),
                    Poll::Pending => self.asking = Some(call),
                }
            }
            let has_answer = answers.written.is_some() || answers.acquired.is_some();
            if has_answer || (may_write && has_endings.as_mut().poll(context).is_ready()) {
                return Poll::Ready(answers);
            }
            Poll::Pending
        })
        .await
    }
}

/// The call, polled once, and whether that was its end. A panic is raised again where the answer is awaited, and nowhere else.
fn polled<T: Send + 'static>(mut call: Call<T>, context: &mut Context<'_>) -> (Call<T>, bool) {
    match user::poll(call.as_mut(), context) {
        Poll::Ready(Ok(answer)) => (Box::pin(ready(answer)), true),
        Poll::Ready(Err(panic)) => (Box::pin(async move { resume_unwind(Box::new(panic.0)) }), true),
        Poll::Pending => (call, false),
    }
}

/// An error unless the store has answered for each ending. The loop then writes all of them again, after a pause.
fn all_of(endings: usize, written: Vec<CompleteResult>) -> Result<Vec<CompleteResult>> {
    if written.len() == endings {
        return Ok(written);
    }
    let found = written.len();
    Err(Error::transient(format!(
        "the job store has answered `complete` for {found} of {endings} executions; it must answer for each, in their order"
    )))
}
