//! Occurrences of triggers that are put into the queue in place of being run at once, since they have to wait for others.

use super::core::Core;
use super::ending::Ending;
use crate::job::{JobError, Outcome, RunParts, make_gates, make_sequence};
use crate::run::Delivery;
use crate::store::{Completion, Fate, FiringReason, Instruction, NewRun};

impl Core {
    /// Puts an occurrence into the queue if its job has limits or a sequence: whether a run has room is decided where runs are claimed. Says
    /// whether it did, or has ended the occurrence since they cannot be made.
    pub(super) fn queues(&self, parts: &RunParts) -> bool {
        let of_job = self.registry.derivations(parts.job.job_type()).filter(|of| of.has_waits());
        let Some(of_job) = of_job else { return false };
        let data = parts.job.data().merged(parts.trigger.data());
        let gates = make_gates(&of_job.limits, &data, Vec::new());
        let sequence = of_job.sequence.as_ref().map(|of| make_sequence(of, &data, parts.job.job_type()));
        let ending = match gates.and_then(|gates| Ok((gates, sequence.transpose()?))) {
            Ok((gates, sequence)) => {
                let run = NewRun { gates, sequence, delivery: delivery_of(parts), ..self.promise(parts) };
                let fate = Fate::Again { at: parts.scheduled.min(parts.fired), counts: false, error: None };
                let (instruction, promise) = (instruction_of(parts), Some(Box::new(run)));
                let completion = Completion { instruction, fate, promise, ..Completion::of(parts.id) };
                let activity = self.clock.begin(&"an occurrence that is put into the queue");
                Ending::new(completion, parts.trigger.clone(), Outcome::Succeeded, activity).queued()
            }
            Err(problem) => {
                let (job, trigger) = (parts.job.key(), parts.trigger.key());
                tracing::error!(%job, %trigger, problem, "an occurrence of trigger `{trigger}` does not run: {problem}");
                let outcome = Outcome::Failed(JobError::new(problem));
                let record = self.record(parts, &outcome, Some(FiringReason::Dead));
                let instruction = instruction_of(parts);
                let completion = Completion { instruction, record, ..Completion::of(parts.id) };
                let activity = self.clock.begin(&"an occurrence without its limits");
                Ending::new(completion, parts.trigger.clone(), outcome, activity)
                    .of_run(parts, self.clock.now())
            }
        };
        self.hand_over(ending);
        true
    }
}

/// As an occurrence that is run at once: it begins again after its node has died only if its job asks for that.
fn delivery_of(parts: &RunParts) -> Delivery {
    match parts.job.requests_recovery() || parts.job.retry().is_some() {
        true => Delivery::AtLeastOnce,
        false => Delivery::AtMostOnce,
    }
}

/// What becomes of the trigger after this occurrence.
pub(super) fn instruction_of(parts: &RunParts) -> Instruction {
    // What is declared stays, complete: otherwise the next start would declare it anew.
    match parts.stored.is_none() && parts.next.is_none() && parts.trigger.declared_by().is_none() {
        true => Instruction::RemoveTrigger,
        false => Instruction::Continue,
    }
}
