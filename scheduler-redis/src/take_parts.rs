//! A request for due work in parts, of which three are under way: while the node reads one, the server works on another and has
//! received the next.

use parking_lot::Mutex;
use redis::Value;
use scheduler_core::Result;
use scheduler_core::store::{AcquireDue, Acquired, LateShare, QueueLimits};

use crate::script::number;
use crate::shared::Shared;
use crate::take::{Asked, BATCH};

/// What an answer leaves.
#[derive(Default)]
struct Left {
    /// There may be more.
    may_be_more: bool,
    /// Of the share of late triggers.
    late: usize,
}

impl Left {
    fn after(answer: &[Value], asked: usize) -> Self {
        let many = if let Some(Value::Array(records)) = answer.get(6) { records.len() } else { 0 };
        let late = usize::try_from(number(answer.get(4)).unwrap_or_default()).unwrap_or(usize::MAX);
        Self { may_be_more: asked > 0 && many >= asked, late }
    }
}

/// A request that is answered in parts, three of which may be under way.
struct Parts {
    /// What no part has asked for yet.
    left: AcquireDue,
    /// How many parts were begun.
    begun: usize,
    /// The parts that have come, by their numbers.
    taken: Vec<(usize, Acquired)>,
    /// A part has found less than it asked for, or has failed.
    is_over: bool,
}

impl Parts {
    fn of(request: AcquireDue) -> Self {
        Self { left: request, begun: 0, taken: Vec::new(), is_over: false }
    }

    /// The next part and its number, with what it may use of the share of late triggers; none if nothing is left to be asked for.
    fn begin(&mut self) -> Option<(usize, AcquireDue)> {
        if self.is_over || (self.begun > 0 && self.left.max == 0) {
            return None;
        }
        let mut part = self.left.clone();
        part.max = self.left.max.min(BATCH);
        if let (Some(left), Some(late)) = (&mut self.left.late, &mut part.late) {
            late.most = left.most.min(part.max);
            left.most -= late.most;
        }
        self.left.max -= part.max;
        self.begun += 1;
        Some((self.begun, part))
    }

    fn end(&mut self, number: usize, part: &AcquireDue, acquired: Acquired, left: &Left) {
        let late = self.left.late.map(|late| LateShare { most: late.most.saturating_add(left.late), ..late });
        acquired.triggers.iter().for_each(|one| self.left.took(one.trigger.queue(), None));
        acquired.runs.iter().for_each(|one| self.left.took(one.trigger.queue(), None));
        self.left.late = late;
        self.left.max += part.max.saturating_sub(acquired.triggers.len() + acquired.runs.len());
        self.is_over |= !left.may_be_more;
        self.taken.push((number, acquired));
    }
}

impl Shared {
    /// Takes part after part, until the server has no more or the node has as many as it wished. An error leaves in `all` the parts
    /// that were taken beside it.
    pub(crate) async fn take_parts(
        &self,
        request: AcquireDue,
        losses: u64,
        all: &mut Acquired,
    ) -> Result<()> {
        let session = request.session;
        let goes_on = request.limits != QueueLimits::default() || !request.shares.is_empty();
        let parts = Mutex::new(Parts::of(request));
        // Where there was more than was asked for, there still is. Otherwise the first answer tells.
        let had_more = self.sessions.lock().get(&session).is_some_and(|known| known.had_more);
        let is_done = async {
            if !had_more {
                Box::pin(self.take_part(&parts, losses)).await?;
            }
            let part_by_part = async || {
                while Box::pin(self.take_part(&parts, losses)).await? {}
                Ok(())
            };
            if goes_on {
                // Each part uses up limits and shares that the next one goes by.
                return part_by_part().await;
            }
            // While the node reads one part, the server works on another and has received the next.
            let (first, second, third) = tokio::join!(part_by_part(), part_by_part(), part_by_part());
            first.and(second).and(third)
        };
        let is_done = is_done.await;
        let Parts { mut taken, is_over, .. } = parts.into_inner();
        if let Some(known) = self.sessions.lock().get_mut(&session) {
            known.had_more = !is_over;
        }
        taken.sort_unstable_by_key(|(number, _)| *number);
        for (_, part) in taken {
            all.triggers.extend(part.triggers);
            all.runs.extend(part.runs);
            all.limited.extend(part.limited);
            all.superseded.extend(part.superseded);
            (all.cancel, all.next_due) = (part.cancel, part.next_due);
        }
        is_done
    }

    /// Takes the next part; says whether there was one to be asked for.
    async fn take_part(&self, parts: &Mutex<Parts>, losses: u64) -> Result<bool> {
        let Some((number, request)) = parts.lock().begin() else { return Ok(false) };
        let taken = async {
            let answer = match self.ask_due(&request).await? {
                Asked::Taken(answer) => answer,
                Asked::Nothing(again) => {
                    return Ok((Acquired { next_due: Some(again), ..Acquired::default() }, Left::default()));
                }
            };
            let mut left = Left::after(&answer, request.max);
            // The next question is sent before this answer is read.
            tokio::task::yield_now().await;
            let (part, has_moved) = self.taken(&request, answer, losses).await?;
            left.may_be_more |= has_moved;
            Ok((part, left))
        };
        match taken.await {
            Ok((part, left)) => {
                parts.lock().end(number, &request, part, &left);
                Ok(true)
            }
            Err(error) => {
                parts.lock().is_over = true;
                Err(error)
            }
        }
    }
}
