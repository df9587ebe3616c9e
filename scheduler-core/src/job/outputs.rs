//! Arguments that consist of what other runs return.

use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use crate::data::{DataError, JobData};
use crate::run::{Edge, Input, RunId};

/// What can stand in the place of an argument of type `T` that is not known yet: the outputs of runs.
///
/// | argument | given |
/// |---|---|
/// | `T` | a [`WorkflowStep`](crate::client::WorkflowStep) of a workflow or a [`&RunHandle`](crate::client::RunHandle) whose job returns a `T` |
/// | `(A, B)`, up to four | a tuple, each part of which is an [output or a value](OutputOr) of its type |
/// | `Vec<T>` | a `Vec` or an array of outputs |
///
/// An argument that consists of outputs has at most 256 KB. If it would be longer, the run is cancelled, and its last error says so.
#[diagnostic::on_unimplemented(
    message = "the argument of this job is `{T}`, which `{Self}` does not give",
    label = "no output of type `{T}`",
    note = "give a step of a workflow or a `&RunHandle` whose job returns `{T}`; for an argument that is a tuple or a `Vec`, a tuple, a `Vec` or an array of them"
)]
pub trait Outputs<T> {
    /// The runs to wait for, and what is known of the argument.
    #[doc(hidden)]
    fn argument(self) -> PartialArgument;
}

/// What can stand in the place of a `T` in an argument that consists of several parts: the output of a run, or a value.
#[diagnostic::on_unimplemented(
    message = "this part of the argument is `{T}`, which `{Self}` does not give",
    label = "neither a value nor an output of type `{T}`"
)]
pub trait OutputOr<T> {
    /// The run or the value.
    #[doc(hidden)]
    fn part(self) -> ArgumentPart;
}

/// An argument some parts of which are not known yet.
#[doc(hidden)]
#[derive(Debug)]
pub struct PartialArgument {
    pub(super) data: Result<JobData, Arc<DataError>>,
    pub(super) inputs: Vec<Edge>,
}

/// A part of an argument.
#[doc(hidden)]
#[derive(Debug)]
pub struct ArgumentPart(Result<Result<Value, RunId>, serde_json::Error>);

impl PartialArgument {
    /// The output of this run.
    pub(crate) fn whole(run: RunId) -> Self {
        Self { data: Ok(JobData::new()), inputs: vec![Edge::input(run, Input::Whole)] }
    }

    fn of_parts(parts: impl IntoIterator<Item = ArgumentPart>) -> Self {
        let (mut known, mut inputs) = (Vec::new(), Vec::new());
        for (item, part) in (0..).zip(parts) {
            known.push(match part.0 {
                Ok(Ok(value)) => value,
                Ok(Err(run)) => {
                    inputs.push(Edge::input(run, Input::Item(item)));
                    Value::Null
                }
                Err(error) => {
                    let data = Err(Arc::new(DataError::of_arguments(error)));
                    return Self { data, inputs };
                }
            });
        }
        Self { data: JobData::from_args(&known).map_err(Arc::new), inputs }
    }
}

impl ArgumentPart {
    /// The output of this run.
    pub(crate) const fn of(run: RunId) -> Self {
        Self(Ok(Err(run)))
    }
}

#[diagnostic::do_not_recommend]
impl<T: Serialize> OutputOr<T> for T {
    fn part(self) -> ArgumentPart {
        ArgumentPart(serde_json::to_value(self).map(Ok))
    }
}

macro_rules! tuples {
    ($($ty:ident $part:ident),*) => {
        impl<$($ty, $part: OutputOr<$ty>),*> Outputs<($($ty,)*)> for ($($part,)*) {
            #[allow(non_snake_case, reason = "a macro over type names")]
            fn argument(self) -> PartialArgument {
                let ($($part,)*) = self;
                PartialArgument::of_parts([$($part.part()),*])
            }
        }
    };
}

tuples!(A P1, B P2);
tuples!(A P1, B P2, C P3);
tuples!(A P1, B P2, C P3, D P4);

impl<T, P: OutputOr<T>> Outputs<Vec<T>> for Vec<P> {
    fn argument(self) -> PartialArgument {
        PartialArgument::of_parts(self.into_iter().map(OutputOr::part))
    }
}

impl<T, P: OutputOr<T>, const N: usize> Outputs<Vec<T>> for [P; N] {
    fn argument(self) -> PartialArgument {
        PartialArgument::of_parts(self.into_iter().map(OutputOr::part))
    }
}
