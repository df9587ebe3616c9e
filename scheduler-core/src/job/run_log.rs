//! Log lines of runs: events of `tracing` on their way into the notes of an attempt.

use std::cell::RefCell;
use std::fmt::{Debug, Write};
use std::sync::{Arc, Weak};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Span, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::run::Run;
use crate::run::{LogLevel, LogLine, MAX_LOG_LINE, cut};

thread_local! {
    /// The run whose span is being made on this thread.
    static OPENING: RefCell<Option<Weak<Run>>> = const { RefCell::new(None) };
}

/// Makes the span of a run, so that a [`RunLogLayer`] recognises it.
pub(crate) fn span_of(run: &Arc<Run>, make: impl FnOnce() -> Span) -> Span {
    if !run.parts.job.log() {
        return make();
    }
    OPENING.set(Some(Arc::downgrade(run)));
    // A layer may panic.
    let _opened = Opened;
    make()
}

/// The span of a run is being made.
struct Opened;

impl Drop for Opened {
    fn drop(&mut self) {
        OPENING.take();
    }
}

/// A layer for a `tracing` subscriber that keeps what jobs log. Feature `run-log`.
///
/// The layer takes the events in the span `run` of each attempt whose job [logs](super::JobDetailBuilder::log), and in the spans within. The
/// lines are stored with the run once a second, and [`Client::run_log`](crate::Client::run_log) reads them. Events outside of these spans
/// are ignored: a task that the job spawns needs the span of the job, by `.in_current_span()`.
///
/// ```
/// use scheduler_core::job::RunLogLayer;
/// use tracing_subscriber::filter::LevelFilter;
/// use tracing_subscriber::prelude::*;
///
/// let subscriber = tracing_subscriber::registry()
///     .with(tracing_subscriber::fmt::layer())
///     .with(RunLogLayer::new().with_filter(LevelFilter::INFO));
/// # let _ = subscriber;
/// ```
///
/// A filter decides which levels are kept. The span has the level `INFO` and the target `scheduler_core`: where a filter of the layer or of
/// the whole subscriber disables it, nothing is kept.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct RunLogLayer;

impl RunLogLayer {
    /// The layer.
    pub const fn new() -> Self {
        Self
    }
}

/// Beside the span of a run.
struct Logged(Weak<Run>);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for RunLogLayer {
    fn on_new_span(&self, _: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let run = OPENING.with_borrow(Clone::clone);
        if let Some((run, span)) = run.zip(context.span(id)) {
            // Also where a subscriber has the layer twice.
            span.extensions_mut().replace(Logged(run));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let of_span = |span: tracing_subscriber::registry::SpanRef<'_, S>| {
            span.extensions().get::<Logged>().and_then(|logged| logged.0.upgrade())
        };
        let run = context.event_scope(event).and_then(|mut scope| scope.find_map(of_span));
        if let Some(run) = run {
            run.log(|at| line_of(event, &run, at));
        }
    }
}

fn line_of(event: &Event<'_>, run: &Run, at: chrono::DateTime<chrono::Utc>) -> LogLine {
    let (mut text, metadata) = (Text::default(), event.metadata());
    event.record(&mut text);
    let Text { mut message, fields } = text;
    message.push_str(fields.strip_prefix(' ').filter(|_| message.is_empty()).unwrap_or(&fields));
    LogLine {
        at,
        attempt: run.parts.attempt(),
        level: match *metadata.level() {
            Level::ERROR => LogLevel::Error,
            Level::WARN => LogLevel::Warn,
            Level::INFO => LogLevel::Info,
            Level::DEBUG => LogLevel::Debug,
            Level::TRACE => LogLevel::Trace,
        },
        target: cut(metadata.target(), MAX_LOG_LINE).into(),
        text: cut(&message, MAX_LOG_LINE).into(),
    }
}

/// The message of an event, and its fields.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // Writing into a string does not fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}
