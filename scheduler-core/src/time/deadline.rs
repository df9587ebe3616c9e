//! A wait that ends at a deadline of the clock.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use super::Clock;

/// The output of `future`, or none at the deadline.
pub(crate) async fn by<F: Future>(clock: &dyn Clock, deadline: Duration, future: F) -> Option<F::Output> {
    let (mut future, mut sleep) = (pin!(future), clock.sleep_until(deadline));
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => sleep.as_mut().poll(cx).map(|()| None),
    })
    .await
}
