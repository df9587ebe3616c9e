//! From a function with typed parameters to a boxed one: the only place where job functions are generic.

use std::any::TypeId;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;

use super::context::JobContext;
use super::extract::{Extract, ExtractError, Need};
use super::outcome::{IntoOutcome, JobError, Outcome};
use crate::data::JobData;

pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Where a job's body may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Threading {
    /// On the runtime's workers, where it must not block.
    Async,
    /// On a thread of its own.
    Blocking,
}

/// A job function with its types erased.
pub(crate) trait ErasedJob: Send + Sync {
    fn run(&self, context: JobContext) -> BoxFuture<'static, Outcome>;
    fn needs(&self) -> Vec<Need>;
    fn threading(&self) -> Threading;
    /// Whether the job's argument can be read from this data.
    fn accepts(&self, data: &JobData) -> Result<(), ExtractError>;
    fn identity(&self) -> Identity;
}

/// What tells the function of a job from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Identity {
    /// Its type, which has no values in it.
    Type(TypeId),
    /// Where it is defined.
    #[cfg(feature = "macros")]
    Place,
    /// Nothing: it has captured values, which cannot be compared.
    Unknown,
}

impl Identity {
    fn of<H: 'static>() -> Self {
        if size_of::<H>() == 0 { Self::Type(TypeId::of::<H>()) } else { Self::Unknown }
    }
}

/// An async function or closure that can be a job.
///
/// Implemented for functions of up to eight parameters, each an extractor and at most one the argument.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be used as a job",
    label = "not a job function",
    note = "a job is an `async fn` whose parameters are extractors and at most one argument, and that returns `()` or `Result<(), E>`",
    note = "its future must be `Send`"
)]
pub trait Handler<Marker>: Clone + Send + Sync + 'static {
    /// How many parameters are read from the job's data; more than one is refused.
    const ARGS: usize;

    /// Runs the function once.
    fn call(&self, context: JobContext) -> impl Future<Output = Outcome> + Send + 'static;

    /// What must be provided for its parameters.
    fn needs() -> Vec<Need>;

    /// Whether its argument can be read from this data.
    ///
    /// # Errors
    ///
    /// The data does not fit the argument.
    fn accepts(data: &JobData) -> Result<(), ExtractError>;
}

/// A plain function that may block its thread and can be a job.
///
/// Implemented like [`Handler`], for functions that are not async.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be used as a blocking job",
    label = "not a blocking job function",
    note = "a blocking job is a plain `fn` whose parameters are extractors and at most one argument, and that returns `()` or `Result<(), E>`"
)]
pub trait BlockingHandler<Marker>: Clone + Send + Sync + 'static {
    /// How many parameters are read from the job's data; more than one is refused.
    const ARGS: usize;

    /// Makes the parameters and calls the function; blocks in the poll that calls it.
    fn call(&self, context: JobContext) -> impl Future<Output = Outcome> + Send + 'static;

    /// What must be provided for its parameters.
    fn needs() -> Vec<Need>;

    /// Whether its argument can be read from this data.
    ///
    /// # Errors
    ///
    /// The data does not fit the argument.
    fn accepts(data: &JobData) -> Result<(), ExtractError>;
}

fn refused(error: ExtractError) -> Outcome {
    Outcome::Failed(JobError::from(error))
}

macro_rules! handlers {
    ($($arg:ident $marker:ident),*) => {
        impl<F, Fut, $($arg, $marker),*> Handler<(Fut, $(($marker, $arg),)*)> for F
        where
            F: Fn($($arg),*) -> Fut + Clone + Send + Sync + 'static,
            Fut: Future<Output: IntoOutcome> + Send + 'static,
            $($arg: Extract<$marker> + 'static, $marker: 'static,)*
        {
            const ARGS: usize = 0 $(+ <$arg as Extract<$marker>>::ARGS)*;

            #[allow(non_snake_case, unused_variables, reason = "a macro over type names, also for no parameter at all")]
            fn call(&self, context: JobContext) -> impl Future<Output = Outcome> + Send + 'static {
                let function = self.clone();
                async move {
                    $(let $arg = match $arg::extract(&context).await { Ok(value) => value, Err(error) => return refused(error) };)*
                    drop(context);
                    function($($arg),*).await.into_outcome()
                }
            }

            fn needs() -> Vec<Need> {
                let needs: [Vec<Need>; { 0usize $(+ { let _ = stringify!($arg); 1 })* }] = [$(<$arg as Extract<$marker>>::needs()),*];
                needs.concat()
            }

            #[allow(unused_variables, reason = "a macro over type names, also for no parameter at all")]
            fn accepts(data: &JobData) -> Result<(), ExtractError> {
                $(<$arg as Extract<$marker>>::accepts(data)?;)*
                Ok(())
            }
        }

        impl<F, R, $($arg, $marker),*> BlockingHandler<(R, $(($marker, $arg),)*)> for F
        where
            F: Fn($($arg),*) -> R + Clone + Send + Sync + 'static,
            R: IntoOutcome + 'static,
            $($arg: Extract<$marker> + 'static, $marker: 'static,)*
        {
            const ARGS: usize = 0 $(+ <$arg as Extract<$marker>>::ARGS)*;

            #[allow(non_snake_case, unused_variables, reason = "a macro over type names, also for no parameter at all")]
            fn call(&self, context: JobContext) -> impl Future<Output = Outcome> + Send + 'static {
                let function = self.clone();
                async move {
                    $(let $arg = match $arg::extract(&context).await { Ok(value) => value, Err(error) => return refused(error) };)*
                    drop(context);
                    function($($arg),*).into_outcome()
                }
            }

            fn needs() -> Vec<Need> {
                let needs: [Vec<Need>; { 0usize $(+ { let _ = stringify!($arg); 1 })* }] = [$(<$arg as Extract<$marker>>::needs()),*];
                needs.concat()
            }

            #[allow(unused_variables, reason = "a macro over type names, also for no parameter at all")]
            fn accepts(data: &JobData) -> Result<(), ExtractError> {
                $(<$arg as Extract<$marker>>::accepts(data)?;)*
                Ok(())
            }
        }
    };
}

handlers!();
handlers!(A1 M1);
handlers!(A1 M1, A2 M2);
handlers!(A1 M1, A2 M2, A3 M3);
handlers!(A1 M1, A2 M2, A3 M3, A4 M4);
handlers!(A1 M1, A2 M2, A3 M3, A4 M4, A5 M5);
handlers!(A1 M1, A2 M2, A3 M3, A4 M4, A5 M5, A6 M6);
handlers!(A1 M1, A2 M2, A3 M3, A4 M4, A5 M5, A6 M6, A7 M7);
handlers!(A1 M1, A2 M2, A3 M3, A4 M4, A5 M5, A6 M6, A7 M7, A8 M8);

/// An async function, boxed.
pub(crate) struct AsyncJob<H, M>(H, PhantomData<fn(M)>);

impl<H: Handler<M>, M: 'static> AsyncJob<H, M> {
    pub(crate) fn new(handler: H) -> Self {
        const { assert!(H::ARGS <= 1, "a job takes at most one argument from its data") }
        Self(handler, PhantomData)
    }
}

impl<H: Handler<M>, M: 'static> ErasedJob for AsyncJob<H, M> {
    fn run(&self, context: JobContext) -> BoxFuture<'static, Outcome> {
        Box::pin(self.0.call(context))
    }

    fn needs(&self) -> Vec<Need> {
        H::needs()
    }

    fn accepts(&self, data: &JobData) -> Result<(), ExtractError> {
        H::accepts(data)
    }

    fn threading(&self) -> Threading {
        Threading::Async
    }

    fn identity(&self) -> Identity {
        Identity::of::<H>()
    }
}

/// A blocking function, boxed.
pub(crate) struct BlockingJob<H, M>(H, PhantomData<fn(M)>);

impl<H: BlockingHandler<M>, M: 'static> BlockingJob<H, M> {
    pub(crate) fn new(handler: H) -> Self {
        const { assert!(H::ARGS <= 1, "a job takes at most one argument from its data") }
        Self(handler, PhantomData)
    }
}

impl<H: BlockingHandler<M>, M: 'static> ErasedJob for BlockingJob<H, M> {
    fn run(&self, context: JobContext) -> BoxFuture<'static, Outcome> {
        Box::pin(self.0.call(context))
    }

    fn needs(&self) -> Vec<Need> {
        H::needs()
    }

    fn accepts(&self, data: &JobData) -> Result<(), ExtractError> {
        H::accepts(data)
    }

    fn threading(&self) -> Threading {
        Threading::Blocking
    }

    fn identity(&self) -> Identity {
        Identity::of::<H>()
    }
}

/// A job whose parameters are made by code that a macro has written for its function.
#[cfg(feature = "macros")]
pub(crate) struct GeneratedJob {
    pub(crate) needs: fn() -> Vec<Need>,
    pub(crate) accepts: fn(&JobData) -> Result<(), ExtractError>,
    pub(crate) run: fn(JobContext) -> BoxFuture<'static, Outcome>,
    pub(crate) threading: Threading,
}

#[cfg(feature = "macros")]
impl ErasedJob for GeneratedJob {
    fn run(&self, context: JobContext) -> BoxFuture<'static, Outcome> {
        (self.run)(context)
    }

    fn needs(&self) -> Vec<Need> {
        (self.needs)()
    }

    fn accepts(&self, data: &JobData) -> Result<(), ExtractError> {
        (self.accepts)(data)
    }

    fn threading(&self) -> Threading {
        self.threading
    }

    fn identity(&self) -> Identity {
        Identity::Place
    }
}
