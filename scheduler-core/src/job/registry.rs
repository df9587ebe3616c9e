//! The job functions that a scheduler can run, by the name under which jobs refer to them.

use std::fmt;
use std::sync::Arc;

use foldhash::HashMap;

use super::definition::{Invocation, JobDefinition};
use super::deriving::Derivations;
use super::detail::JobDetail;
use super::handler::ErasedJob;
use super::provide::Providers;
use crate::data::JobData;
use crate::key::JobKey;
use crate::user;

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
    /// By the name of the job.
    definitions: HashMap<JobKey, JobDefinition>,
    /// By the name of the function, the first definition that has it.
    functions: HashMap<Arc<str>, JobDefinition>,
    problems: Vec<RegistryProblem>,
}

impl Registry {
    /// Adds a definition. The same one twice is fine, and so are several jobs of one function. Two jobs that share a name, or
    /// two functions that do, are a problem that names both places.
    pub fn register(&mut self, definition: JobDefinition) {
        let job_type = definition.detail().shared_job_type();
        let problem = match self.definitions.get(definition.detail().key()) {
            Some(known) if known.is_same(&definition) => return,
            Some(known) => Some(problem_of_two(known, &definition)),
            None => {
                let known = self.functions.get(job_type);
                known
                    .filter(|known| !known.has_same_function(&definition))
                    .map(|known| problem_of_two(known, &definition))
            }
        };
        if let Some(problem) = problem {
            self.problems.push(problem);
            return;
        }
        self.functions.entry(job_type.clone()).or_insert_with(|| definition.clone());
        self.definitions.insert(definition.detail().key().clone(), definition);
    }

    /// Adds what another registry has, and its problems.
    pub(crate) fn adopt(&mut self, other: &Self) {
        self.problems.extend(other.problems.iter().cloned());
        other.in_order().into_iter().for_each(|definition| self.register(definition.clone()));
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
        problems.extend(self.problems_of_limits());
        // Jobs of one function lack the same.
        problems.dedup();
        problems
    }

    /// Limits of one name that are declared differently: which of the two would hold depended on the run that is looked at.
    fn problems_of_limits(&self) -> Vec<RegistryProblem> {
        let (mut known, mut problems) = (HashMap::default(), Vec::new());
        for definition in self.in_order() {
            let declared = definition.derivations().limits.iter().filter_map(|limit| limit.declared);
            for limit in declared {
                let (first, place) = *known.entry(limit.name).or_insert((limit, definition.place()));
                if first != limit {
                    let (name, other) = (limit.name, definition.place());
                    problems.push(RegistryProblem(format!(
                        "the limit `{name}` allows {first} at {place} and {limit} at {other}; give both the same numbers, or one of them another name"
                    )));
                }
            }
        }
        problems
    }

    /// The definitions in the order of the names of their functions, then of their own.
    pub fn in_order(&self) -> Vec<&JobDefinition> {
        let mut all: Vec<_> = self.definitions.values().collect();
        all.sort_unstable_by_key(|definition| (definition.detail().job_type(), definition.detail().key()));
        all
    }

    /// The names of the functions, in order.
    pub fn job_types(&self) -> Vec<Arc<str>> {
        let mut all: Vec<_> = self.functions.keys().cloned().collect();
        all.sort_unstable();
        all
    }

    /// The job of this name as the code declares it.
    pub fn definition(&self, job: &JobKey) -> Option<&JobDefinition> {
        self.definitions.get(job)
    }

    /// Why this job cannot be run here, if its function is not registered. If it is, the job shares its name.
    pub(crate) fn recognise(&self, job: &mut Invocation) -> Option<String> {
        match self.functions.get_key_value(job.detail().job_type()) {
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
        let known = self.functions.keys().map(|name| &**name);
        let hint = scheduler_syntax::nearest(detail.job_type(), known)
            .map(|name| format!(", did you mean `{name}`?"))
            .unwrap_or_default();
        let (key, job_type) = (detail.key(), detail.job_type());
        Some(format!(
            "job `{key}` is run by `{job_type}`, which is not registered{hint}; call `.register(…)` or `.discover_jobs()`"
        ))
    }

    /// Why this job cannot be run with this data over its own, if its function is registered and does not accept it.
    pub(crate) fn misfit(&self, detail: &JobDetail, data: &JobData) -> Option<String> {
        let job = self.job(detail.job_type())?;
        let data = detail.data().merged(data);
        // Arguments are read by code of the user.
        let read = user::call(|| job.accepts(&data));
        let problem = match read {
            Ok(accepted) => accepted.err()?.to_string(),
            Err(panic) => format!("the code that reads them has {panic}"),
        };
        let key = detail.key();
        Some(format!(
            "job `{key}` cannot be run with these arguments: {problem}; schedule it with `{name}::with(…)`, or give each \
             argument as data",
            name = detail.job_type()
        ))
    }

    /// Whether the code declares this very job.
    pub(crate) fn defines(&self, detail: &JobDetail) -> bool {
        self.definitions.get(detail.key()).is_some_and(|definition| definition.detail() == detail)
    }

    /// The job of this name and type as the code declares it.
    pub(crate) fn declared(&self, job: &JobKey, job_type: &str) -> Option<&Arc<JobDetail>> {
        let of_type = |definition: &&JobDefinition| definition.detail().job_type() == job_type;
        self.definitions.get(job).filter(of_type).map(JobDefinition::shared_detail)
    }

    /// The functions that make keys, limits and sequences of runs of this function.
    pub(crate) fn derivations(&self, job_type: &str) -> Option<&Derivations> {
        self.functions.get(job_type).map(JobDefinition::derivations)
    }

    /// Whether jobs of this type can be run.
    pub fn knows(&self, job_type: &str) -> bool {
        self.functions.contains_key(job_type)
    }

    /// A definition of this type.
    #[cfg(feature = "schedule-file")]
    pub(crate) fn of_type(&self, job_type: &str) -> Option<&JobDefinition> {
        self.functions.get(job_type)
    }

    pub(crate) fn job(&self, job_type: &str) -> Option<&Arc<dyn ErasedJob>> {
        self.functions.get(job_type).map(JobDefinition::job)
    }
}

/// Two definitions that cannot both be right.
fn problem_of_two(known: &JobDefinition, new: &JobDefinition) -> RegistryProblem {
    let (key, place) = (known.detail().key(), known.place());
    let (other_key, other_place) = (new.detail().key(), new.place());
    let job_type = known.detail().job_type();
    RegistryProblem(if job_type != new.detail().job_type() {
        let other = new.detail().job_type();
        format!(
            "two jobs are named `{key}`: at {place}, run by `{job_type}`, and at {other_place}, run by `{other}`; give one another key"
        )
    } else if !known.has_same_function(new) {
        format!(
            "two jobs are named `{job_type}`: at {place} (`{key}`) and at {other_place} (`{other_key}`); give one another `name`, \
             which a closure that captures values needs each time it is registered"
        )
    } else {
        format!(
            "two jobs are named `{key}`: at {place} and at {other_place}; register the job once, with all its triggers, or give \
             one another key"
        )
    })
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.functions.keys()).finish()
    }
}
