//! The settings of queues: limits, which queue comes next, and from which queues a node takes.

use std::sync::Arc;

use super::SchedulerBuilder;
use crate::store::QueueLimits;

impl SchedulerBuilder {
    /// How many runs of a [queue](crate::trigger::TriggerBuilder::queue) this node takes at once; 0 for none.
    /// Default: as many as there are slots.
    pub fn limit_queue(mut self, queue: impl Into<Arc<str>>, runs: usize) -> Self {
        self.limits.named.insert(queue.into(), runs);
        self
    }

    /// How many runs of a [queue](crate::trigger::TriggerBuilder::queue) all nodes together take at once. Every node
    /// should be given the same. Default: no limit.
    pub fn limit_queue_on_all_nodes(mut self, queue: impl Into<Arc<str>>, runs: usize) -> Self {
        self.limits.shared.insert(queue.into(), runs);
        self
    }

    /// The limits of queues, all at once. Default: no limits.
    pub fn limits(mut self, limits: QueueLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Shares the starts of this node among queues by weights. Default: the earliest due comes first, whatever its queue.
    ///
    /// With the weights below, of each hundred starts about 60 are of `mail`, 30 of `default` and 10 of `bulk`, as long as each of
    /// these queues has work. A queue without work leaves its part to the others. The queue `default` is that of [work without a
    /// queue](crate::store::DEFAULT_QUEUE). Each queue that is not named has weight 1; among these queues the earliest due comes
    /// first. Limits and pauses hold as they do without weights.
    ///
    /// ```
    /// use scheduler_core::Scheduler;
    ///
    /// let scheduler = Scheduler::builder().queue_weights([("mail", 6), ("default", 3), ("bulk", 1)]).build()?;
    /// # Ok::<(), scheduler_core::scheduler::BuildError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`build`](Self::build) refuses an empty list, a weight of 0, an empty name, a pattern, a queue with two weights, and weights
    /// together with [tiers](Self::queue_tiers).
    pub fn queue_weights<Q: Into<Arc<str>>>(mut self, weights: impl IntoIterator<Item = (Q, u32)>) -> Self {
        let weights = weights.into_iter().map(|(queue, weight)| (queue.into(), weight));
        self.queues.weights = Some(weights.collect());
        self
    }

    /// Serves queues in tiers: work of a tier starts only if no work of the tiers above can. Default: the earliest due comes
    /// first, whatever its queue.
    ///
    /// Within a tier the earliest due comes first. Queues without a tier come after all tiers. One start in 20 goes to the tiers below
    /// the tier that is served, the earliest due first, so that nothing starves; see [`queue_reserve`](Self::queue_reserve). The queue
    /// `default` is that of [work without a queue](crate::store::DEFAULT_QUEUE). Limits and pauses hold as they do without tiers.
    ///
    /// ```
    /// use scheduler_core::Scheduler;
    ///
    /// let tiers = [vec!["payments"], vec!["default", "mail"], vec!["bulk"]];
    /// let scheduler = Scheduler::builder().queue_tiers(tiers).build()?;
    /// # Ok::<(), scheduler_core::scheduler::BuildError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`build`](Self::build) refuses an empty list, a tier without a queue, an empty name, a pattern, a queue that is named twice,
    /// and tiers together with [weights](Self::queue_weights).
    pub fn queue_tiers<Q: Into<Arc<str>>>(
        mut self,
        tiers: impl IntoIterator<Item = impl IntoIterator<Item = Q>>,
    ) -> Self {
        let tiers = tiers.into_iter().map(|tier| tier.into_iter().map(Into::into).collect());
        self.queues.tiers = Some(tiers.collect());
        self
    }

    /// One start of so many goes to the tiers below the [tier](Self::queue_tiers) that is served. Default: 20. With 0 there is no
    /// reserve, and lower tiers starve as long as the tiers above have work.
    ///
    /// # Errors
    ///
    /// [`build`](Self::build) refuses 1, by which the lowest tiers came first, and a reserve without tiers.
    pub fn queue_reserve(mut self, one_of: u32) -> Self {
        self.queues.reserve = Some(one_of);
        self
    }

    /// The queues from which this node takes; it leaves work of other queues to other nodes. Default: all queues.
    ///
    /// A queue is named as it is, or by a prefix with a `*` at its end, such as `tenant-*`. The queue `default` is that of
    /// [work without a queue](crate::store::DEFAULT_QUEUE). [`explain`](crate::Scheduler::explain) names a queue that this node or
    /// no node takes. Start-up jobs run whatever their queues are.
    ///
    /// # Errors
    ///
    /// [`build`](Self::build) refuses an empty list, an empty name, and a `*` that is not at the end.
    pub fn only_queues<Q: Into<Arc<str>>>(mut self, queues: impl IntoIterator<Item = Q>) -> Self {
        self.queues.only = Some(queues.into_iter().map(Into::into).collect());
        self
    }

    /// The queues from which this node does not take, even if [`only_queues`](Self::only_queues) names them. Default: none. Queues are
    /// named as in `only_queues`.
    ///
    /// # Errors
    ///
    /// As for [`only_queues`](Self::only_queues).
    pub fn except_queues<Q: Into<Arc<str>>>(mut self, queues: impl IntoIterator<Item = Q>) -> Self {
        self.queues.except = Some(queues.into_iter().map(Into::into).collect());
        self
    }
}
