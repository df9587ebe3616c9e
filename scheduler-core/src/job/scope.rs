//! Values that belong to one execution: made when somebody first asks, shared by all who ask in the same execution, and
//! closed at its end in the reverse order.

use std::any::{Any, TypeId, type_name};

use parking_lot::Mutex;

use super::context::JobContext;
use super::extract::{ExtractError, FromContext, Need};
use super::outcome::{JobError, Outcome};
use super::provide::Close;
use super::run::Run;
use crate::user::{self, Careful};

/// A value of this execution, made by a factory given to
/// [`provide_scoped`](crate::scheduler::SchedulerBuilder::provide_scoped): a clone for each who asks.
///
/// The value is closed when the execution has ended, also after a panic, a timeout or an abort, before anybody hears of
/// the outcome. Each attempt of a refired run has values of its own.
#[derive(Debug, Clone, Copy)]
pub struct Scoped<T>(pub T);

impl<T: Any + Clone + Send + Sync> FromContext for Scoped<T> {
    async fn from_context(context: &JobContext) -> Result<Self, ExtractError> {
        let scope = context.scope();
        if let Some(value) = scope.get() {
            return Ok(Self(value));
        }
        let (value, close) = context.providers().scoped::<T>(context.clone()).await?;
        let known = value.downcast_ref::<T>().cloned();
        let (id, name) = (TypeId::of::<T>(), type_name::<T>());
        scope.0.lock().push(Open { id, name, value: Careful::new(name, value), close });
        known.map(Self).ok_or_else(|| ExtractError::new(format!("no `{}` was made", type_name::<T>())))
    }

    fn needs() -> Vec<Need> {
        vec![Need::of_scoped::<T>()]
    }
}

/// The values of an execution, in the order in which they were made.
#[derive(Default)]
pub(crate) struct Scope(Mutex<Vec<Open>>);

struct Open {
    id: TypeId,
    name: &'static str,
    value: Careful<Box<dyn Any + Send + Sync>>,
    close: Option<Close>,
}

impl Scope {
    fn get<T: Any + Clone>(&self) -> Option<T> {
        let all = self.0.lock();
        all.iter().find(|open| open.id == TypeId::of::<T>())?.value.downcast_ref().cloned()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }

    /// Closes the values, the last one first. A close that fails makes a failure of a success, which the hooks of the values
    /// before it see.
    pub(super) async fn close(&self, run: &Run, mut outcome: Outcome) -> Outcome {
        loop {
            let Some(open) = self.0.lock().pop() else { return outcome };
            let Open { name, value, close: Some(close), .. } = open else { continue };
            let Some(value) = value.into_inner() else { continue };
            let hook = user::run_named("close hook of", name, || close(value, outcome.clone()));
            let closed = match run.in_time(hook).await {
                Some(Ok(closed)) => closed,
                Some(Err(panic)) => Err(JobError::new(format!("its close hook has {panic}"))),
                None => Err(JobError::new("its close hook did not end within the cancel grace")),
            };
            if let Err(error) = closed {
                tracing::warn!(job = %run.parts.job.key(), value = name, %error, "a scoped value could not be closed");
                if outcome.is_success() {
                    outcome =
                        Outcome::Failed(JobError::new(format!("`{name}` could not be closed: {error}")));
                }
            }
        }
    }
}
