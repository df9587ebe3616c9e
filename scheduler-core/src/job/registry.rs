//! The job functions that a scheduler can run, by the name under which jobs refer to them.

use std::fmt;
use std::sync::Arc;

use foldhash::HashMap;

use super::definition::{Invocation, JobDefinition};
use super::detail::JobDetail;
use super::handler::ErasedJob;
use super::provide::Providers;

/// A definition found at link time; `#[job]` submits one for every function.
#[cfg(feature = "macros")]
#[derive(Debug, Clone, Copy)]
pub struct Discovered(pub fn() -> JobDefinition);

#[cfg(feature = "macros")]
inventory::collect!(Discovered);

/// What keeps a scheduler from being built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryProblem(String);

impl fmt::Display for RegistryProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The definitions of a scheduler, frozen when it is built.
#[derive(Default)]
pub struct Registry {
    definitions: HashMap<Arc<str>, JobDefinition>,
    problems: Vec<RegistryProblem>,
}

impl Registry {
    /// Adds a definition. The same one twice is fine; two that share a name are a problem that names both places.
    pub fn register(&mut self, definition: JobDefinition) {
        let name: Arc<str> = definition.detail().job_type().into();
        match self.definitions.get(&name) {
            Some(known) if known.place() == definition.place() => {}
            Some(known) => self.problems.push(RegistryProblem(format!(
                "two jobs are named `{name}`: at {} and at {}; give one another `name`",
                known.place(),
                definition.place()
            ))),
            None => {
                self.definitions.insert(name, definition);
            }
        }
    }

    /// Adds every definition that `#[job]` has submitted in the crates linked into the program.
    #[cfg(feature = "macros")]
    pub fn discover(&mut self) {
        for found in inventory::iter::<Discovered> {
            self.register((found.0)());
        }
    }

    /// Everything that is wrong, all at once: shared names and values that nobody provides.
    pub fn problems(&self, providers: &Providers) -> Vec<RegistryProblem> {
        let mut problems = self.problems.clone();
        problems.extend(providers.problems().into_iter().map(RegistryProblem));
        for definition in self.in_order() {
            let needs = definition.job().needs();
            let (name, place) = (definition.detail().job_type(), definition.place());
            let unmet = needs.iter().filter_map(|need| providers.problem_with(need));
            problems
                .extend(unmet.map(|problem| RegistryProblem(format!("job `{name}` ({place}) {problem}"))));
        }
        problems
    }

    /// The definitions in the order of their names.
    pub fn in_order(&self) -> Vec<&JobDefinition> {
        let mut all: Vec<_> = self.definitions.values().collect();
        all.sort_unstable_by_key(|definition| definition.detail().job_type());
        all
    }

    /// Why this job cannot be run here, if its function is not registered. If it is, the job shares its name.
    pub(crate) fn recognise(&self, job: &mut Invocation) -> Option<String> {
        match self.definitions.get_key_value(job.detail().job_type()) {
            Some((job_type, _)) => {
                job.share_job_type(job_type);
                None
            }
            None => self.unknown(job.detail()),
        }
    }

    /// Why this job cannot be run here, if its function is not registered.
    pub(crate) fn unknown(&self, detail: &JobDetail) -> Option<String> {
        if self.knows(detail.job_type()) {
            return None;
        }
        let known = self.definitions.keys().map(|name| &**name);
        let hint = scheduler_syntax::nearest(detail.job_type(), known)
            .map(|name| format!(", did you mean `{name}`?"))
            .unwrap_or_default();
        let (key, job_type) = (detail.key(), detail.job_type());
        Some(format!(
            "job `{key}` is run by `{job_type}`, which is not registered{hint}; call `.register(…)` or `.discover_jobs()`"
        ))
    }

    /// Whether jobs of this type can be run.
    pub fn knows(&self, job_type: &str) -> bool {
        self.definitions.contains_key(job_type)
    }

    pub(crate) fn job(&self, job_type: &str) -> Option<&Arc<dyn ErasedJob>> {
        self.definitions.get(job_type).map(JobDefinition::job)
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.definitions.keys()).finish()
    }
}
