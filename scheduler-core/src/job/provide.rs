//! Values that jobs and services ask for by type.
//!
//! Shared values live as long as the program. They are given ready made, or made once when somebody first asks, or made
//! anew for each who asks. Scoped values belong to one execution (see [`scope`](super::scope)). What is shared can be made
//! of shared values only: the parameters of its factory are [`Shared`], and a scoped one is not.

use std::any::{Any, TypeId, type_name};
use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, OnceLock};

use super::context::JobContext;
use super::extract::{ExtractError, FromContext, Need, State};
use super::handler::BoxFuture;
use super::outcome::{JobError, Outcome};
use crate::error::BoxError;
use crate::user::{self, Panic};

type AnyValue = Box<dyn Any + Send + Sync>;
type Make = Box<dyn Fn(&Providers) -> Result<AnyValue, ExtractError> + Send + Sync>;

/// The end of a scoped value.
pub(super) type Close =
    Arc<dyn Fn(AnyValue, Outcome) -> BoxFuture<'static, Result<(), JobError>> + Send + Sync>;
type MakeScoped = Box<dyn Fn(JobContext) -> BoxFuture<'static, Result<AnyValue, JobError>> + Send + Sync>;

/// Values by their type, one of each.
#[derive(Default, Clone)]
pub struct Providers {
    slots: HashMap<TypeId, Arc<Slot>>,
    scoped: bool,
}

struct Slot {
    name: &'static str,
    needs: Vec<Need>,
    kind: Kind,
}

enum Kind {
    Value(AnyValue),
    Once { made: OnceLock<Result<AnyValue, ExtractError>>, make: Make },
    Each(Make),
    Scoped { make: MakeScoped, close: Option<Close> },
}

impl Providers {
    /// Puts `value` in place and says whether something of its type was there before.
    pub(crate) fn insert<T: Any + Send + Sync>(&mut self, value: T) -> bool {
        self.put::<T>(Vec::new(), Kind::Value(Box::new(value)))
    }

    /// Puts a factory in place whose value is made once, or anew for each who asks.
    pub(crate) fn insert_factory<M, F: Factory<M>>(&mut self, factory: F, once: bool) -> bool {
        let make: Make = Box::new(move |providers| Ok(Box::new(factory.make(providers)?)));
        let kind = if once { Kind::Once { made: OnceLock::new(), make } } else { Kind::Each(make) };
        self.put::<F::Output>(F::needs(), kind)
    }

    /// Puts the factory of a scoped value in place.
    pub(crate) fn insert_scoped<M: 'static, F: ScopedFactory<M>>(
        &mut self,
        factory: F,
        close: Option<Close>,
    ) -> bool {
        self.scoped = true;
        let make: MakeScoped = Box::new(move |context| {
            let making = factory.make(context);
            Box::pin(async move { Ok(Box::new(making.await?) as AnyValue) })
        });
        self.put::<F::Output>(F::needs(), Kind::Scoped { make, close })
    }

    /// As [`insert_scoped`](Self::insert_scoped), with its end.
    pub(crate) fn insert_scoped_with<M, F, C, Fut, E>(&mut self, factory: F, close: C) -> bool
    where
        M: 'static,
        F: ScopedFactory<M>,
        C: Fn(F::Output, Outcome) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError>,
    {
        let close: Close = Arc::new(move |value, outcome| match value.downcast::<F::Output>() {
            Ok(value) => {
                let closing = close(*value, outcome);
                Box::pin(async move { closing.await.map_err(JobError::new) })
            }
            Err(_) => Box::pin(async { Ok(()) }),
        });
        self.insert_scoped(factory, Some(close))
    }

    fn put<T: Any>(&mut self, needs: Vec<Need>, kind: Kind) -> bool {
        let slot = Slot { name: type_name::<T>(), needs, kind };
        self.slots.insert(TypeId::of::<T>(), Arc::new(slot)).is_some()
    }

    /// Takes over what others provide; the names of types that both do.
    pub(crate) fn merge(&mut self, others: &Self) -> Vec<&'static str> {
        self.scoped |= others.scoped;
        let both = others.slots.iter().filter(|(id, _)| self.slots.contains_key(*id));
        let both = both.map(|(_, slot)| slot.name).collect();
        self.slots.extend(others.slots.iter().map(|(id, slot)| (*id, slot.clone())));
        both
    }

    /// The shared value of type `T`; none if there is none, or if its factory has failed.
    pub fn get<T: Any + Clone + Send + Sync>(&self) -> Option<T> {
        self.shared().ok()
    }

    pub(crate) fn shared<T: Any + Clone + Send + Sync>(&self) -> Result<T, ExtractError> {
        let missing = || ExtractError::new(format!("no `{}` is provided", type_name::<T>()));
        let slot = self.slots.get(&TypeId::of::<T>()).ok_or_else(missing)?;
        let found = match &slot.kind {
            Kind::Value(value) => value.downcast_ref().cloned(),
            Kind::Once { made, make } => {
                let made = user::call(|| made.get_or_init(|| make(self))).map_err(broken::<T>)?;
                made.as_ref().map_err(Clone::clone)?.downcast_ref().cloned()
            }
            Kind::Each(make) => {
                user::call(|| make(self)).map_err(broken::<T>)??.downcast().ok().map(|value| *value)
            }
            Kind::Scoped { .. } => None,
        };
        found.ok_or_else(missing)
    }

    /// A new scoped value of type `T`, and how it ends.
    pub(super) async fn scoped<T: Any>(
        &self,
        context: JobContext,
    ) -> Result<(AnyValue, Option<Close>), ExtractError> {
        match self.slots.get(&TypeId::of::<T>()).map(|slot| &slot.kind) {
            Some(Kind::Scoped { make, close }) => {
                let name = type_name::<T>();
                let made =
                    user::run_named("factory of", name, || make(context)).await.map_err(broken::<T>)?;
                let value =
                    made.map_err(|error| ExtractError::new(format!("`{name}` cannot be made: {error}")))?;
                Ok((value, close.clone()))
            }
            _ => Err(ExtractError::new(format!("no `{}` is provided for each execution", type_name::<T>()))),
        }
    }

    /// Whether any value belongs to one execution.
    pub(crate) fn has_scoped(&self) -> bool {
        self.scoped
    }

    /// Why a need is not met; none if it is.
    pub(crate) fn problem_with(&self, need: &Need) -> Option<String> {
        let name = need.type_name();
        match self.slots.get(&need.type_id()).map(|slot| matches!(slot.kind, Kind::Scoped { .. })) {
            None if need.is_scoped() => Some(format!("needs a `{name}` of its own; {}", need.remedy())),
            None => Some(format!("needs a `{name}`; {}", need.remedy())),
            Some(true) if !need.is_scoped() => Some(format!(
                "takes `State<{name}>`, which is made for each execution; take `Scoped<{name}>`"
            )),
            Some(false) if need.is_scoped() => {
                Some(format!("takes `Scoped<{name}>`, which is shared; take `State<{name}>`"))
            }
            Some(_) => None,
        }
    }

    /// Whether a value of type `of` is this type, or is made of it.
    pub(crate) fn is_made_of(&self, value: &Need, of: TypeId) -> bool {
        value.type_id() == of || self.leads_to(value.type_id(), of, &mut Vec::new())
    }

    /// Everything that is wrong with the factories: needs that are not met, and values that need each other.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for (id, slot) in &self.slots {
            let unmet = slot.needs.iter().filter_map(|need| self.problem_with(need));
            problems.extend(unmet.map(|problem| format!("the factory of `{}` {problem}", slot.name)));
            let mut path = Vec::new();
            if self.leads_to(*id, *id, &mut path) {
                let path = path.join("`, which needs `");
                problems.push(format!(
                    "`{}` needs `{path}`: a circle; provide one of them ready made",
                    slot.name
                ));
            }
        }
        problems.sort();
        problems
    }

    fn leads_to(&self, from: TypeId, to: TypeId, path: &mut Vec<&'static str>) -> bool {
        let Some(slot) = self.slots.get(&from) else { return false };
        slot.needs.iter().any(|need| {
            if path.contains(&need.type_name()) {
                return false;
            }
            path.push(need.type_name());
            if need.type_id() == to || self.leads_to(need.type_id(), to, path) {
                return true;
            }
            path.pop();
            false
        })
    }
}

fn broken<T>(panic: Panic) -> ExtractError {
    ExtractError::new(format!("the factory of `{}` has {panic}", type_name::<T>()))
}

impl fmt::Debug for Providers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.slots.values().map(|slot| slot.name)).finish()
    }
}

/// A parameter that outlives every execution, so that a shared value can be made of it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not outlive an execution, so a shared value cannot hold it",
    label = "not shared",
    note = "the factory of a shared value takes `State<T>` only; make the value itself scoped with `provide_scoped`"
)]
pub trait Shared: Sized {
    /// The value.
    ///
    /// # Errors
    ///
    /// It is not provided.
    fn shared(providers: &Providers) -> Result<Self, ExtractError>;

    /// What must be provided for it.
    fn needs() -> Vec<Need>;
}

impl<T: Any + Clone + Send + Sync> Shared for State<T> {
    fn shared(providers: &Providers) -> Result<Self, ExtractError> {
        providers.shared().map(State)
    }

    fn needs() -> Vec<Need> {
        vec![Need::of::<T>()]
    }
}

/// A function that makes a shared value of up to four shared values.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot make a shared value",
    label = "not the factory of a shared value",
    note = "its parameters are `State<T>`: a scoped value or a context ends with its execution, and what is shared would outlive it",
    note = "make the value itself scoped, with `provide_scoped`"
)]
pub trait Factory<Marker>: Send + Sync + 'static {
    /// The value.
    type Output: Any + Clone + Send + Sync;

    /// Makes it.
    ///
    /// # Errors
    ///
    /// A parameter is missing.
    fn make(&self, providers: &Providers) -> Result<Self::Output, ExtractError>;

    /// What must be provided for its parameters.
    fn needs() -> Vec<Need>;
}

/// An async function that makes a value for one execution, of up to four values from its context.
pub trait ScopedFactory<Marker>: Clone + Send + Sync + 'static {
    /// The value.
    type Output: Any + Clone + Send + Sync;

    /// Makes it.
    fn make(
        &self,
        context: JobContext,
    ) -> impl Future<Output = Result<Self::Output, JobError>> + Send + 'static;

    /// What must be provided for its parameters.
    fn needs() -> Vec<Need>;
}

macro_rules! factories {
    ($($arg:ident),*) => {
        impl<F, T, $($arg),*> Factory<(T, $($arg,)*)> for F
        where
            F: Fn($($arg),*) -> T + Send + Sync + 'static,
            T: Any + Clone + Send + Sync,
            $($arg: Shared,)*
        {
            type Output = T;

            #[allow(non_snake_case, unused_variables, reason = "a macro over type names, also for no parameter at all")]
            fn make(&self, providers: &Providers) -> Result<T, ExtractError> {
                Ok(self($($arg::shared(providers)?),*))
            }

            fn needs() -> Vec<Need> {
                let needs: Vec<Vec<Need>> = vec![$($arg::needs()),*];
                needs.concat()
            }
        }

        impl<F, Fut, T, E, $($arg),*> ScopedFactory<(Fut, T, E, $($arg,)*)> for F
        where
            F: Fn($($arg),*) -> Fut + Clone + Send + Sync + 'static,
            Fut: Future<Output = Result<T, E>> + Send + 'static,
            E: Into<BoxError> + 'static,
            T: Any + Clone + Send + Sync,
            $($arg: FromContext + 'static,)*
        {
            type Output = T;

            #[allow(non_snake_case, unused_variables, reason = "a macro over type names, also for no parameter at all")]
            fn make(&self, context: JobContext) -> impl Future<Output = Result<T, JobError>> + Send + 'static {
                let factory = self.clone();
                async move {
                    $(let $arg = $arg::from_context(&context).await?;)*
                    factory($($arg),*).await.map_err(JobError::new)
                }
            }

            fn needs() -> Vec<Need> {
                let needs: Vec<Vec<Need>> = vec![$($arg::needs()),*];
                needs.concat()
            }
        }
    };
}

factories!();
factories!(A1);
factories!(A1, A2);
factories!(A1, A2, A3);
factories!(A1, A2, A3, A4);

/// The methods by which a builder takes values; it has fields named `providers` and `problems`.
macro_rules! provide_methods {
    ($builder:ident) => {
        /// Values for jobs and services.
        impl $builder {
            /// A value for the jobs that ask for it with [`State`](crate::job::State); one of each type.
            pub fn provide<T: ::std::any::Any + Clone + Send + Sync>(mut self, value: T) -> Self {
                let twice = self.providers.insert(value);
                self.noted::<T>(twice)
            }

            /// A shared value that is made when somebody first asks for it, once.
            ///
            /// Its function takes shared values, as [`State<T>`](crate::job::State). One that wants a scoped value does not
            /// compile: it would outlive it.
            pub fn provide_with<M, F: $crate::job::Factory<M>>(mut self, factory: F) -> Self {
                let twice = self.providers.insert_factory(factory, true);
                self.noted::<F::Output>(twice)
            }

            /// A value that is made anew for each [`State<T>`](crate::job::State) that asks for it.
            pub fn provide_transient<M, F: $crate::job::Factory<M>>(mut self, factory: F) -> Self {
                let twice = self.providers.insert_factory(factory, false);
                self.noted::<F::Output>(twice)
            }

            /// A value that each execution makes for itself when it first asks, as [`Scoped<T>`](crate::job::Scoped). Its async
            /// function takes what a job function takes, but for the argument: other scoped values too.
            pub fn provide_scoped<M: 'static, F: $crate::job::ScopedFactory<M>>(
                mut self,
                factory: F,
            ) -> Self {
                let twice = self.providers.insert_scoped(factory, None);
                self.noted::<F::Output>(twice)
            }

            /// As [`provide_scoped`](Self::provide_scoped), with what happens at the end of the execution: the value and the
            /// outcome, so that a transaction can be committed or rolled back. Values are closed in the reverse order of their
            /// making, whatever ends the execution: also a panic, a timeout, an abort. A close that fails makes a failure of a
            /// success.
            ///
            /// A hook may take any time until the execution is asked to stop, and the
            /// [cancel grace](crate::scheduler::SchedulerBuilder::cancel_grace) from then on. Then the hook is dropped and
            /// named in the log, the value counts as one that could not be closed, and the next value is closed. A value whose
            /// drop panics is named in the log.
            ///
            /// ```
            /// # use std::sync::Arc;
            /// use scheduler_core::Scheduler;
            /// use scheduler_core::job::{JobError, Outcome};
            ///
            /// #[derive(Clone)]
            /// struct Transaction(Arc<str>);
            ///
            /// async fn begin() -> Result<Transaction, JobError> {
            ///     Ok(Transaction("…".into()))
            /// }
            ///
            /// let builder = Scheduler::builder().provide_scoped_with(begin, |transaction: Transaction, outcome: Outcome| async move {
            ///     println!("{} {}", if outcome.is_success() { "commit" } else { "roll back" }, transaction.0);
            ///     Ok::<(), JobError>(())
            /// });
            /// ```
            pub fn provide_scoped_with<M, F, C, Fut, E>(mut self, factory: F, close: C) -> Self
            where
                M: 'static,
                F: $crate::job::ScopedFactory<M>,
                C: Fn(F::Output, $crate::job::Outcome) -> Fut + Send + Sync + 'static,
                Fut: ::std::future::Future<Output = Result<(), E>> + Send + 'static,
                E: Into<$crate::job::BoxError>,
            {
                let twice = self.providers.insert_scoped_with(factory, close);
                self.noted::<F::Output>(twice)
            }

            /// Notes that two values of a type are provided.
            fn noted<T>(mut self, twice: bool) -> Self {
                if twice {
                    let name = ::std::any::type_name::<T>();
                    let problem = "are provided; wrap one of them in a type of its own";
                    self.problems.push(format!("two values of type `{name}` {problem}"));
                }
                self
            }
        }
    };
}

pub(crate) use provide_methods;
