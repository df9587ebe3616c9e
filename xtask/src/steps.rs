//! Runs named steps one after the other and stops at the first that fails.
//!
//! A step inherits this process's output: what its tool prints is seen as it is printed.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// One thing to do, with a name to find it by in the output.
#[derive(Debug)]
pub(crate) struct Step {
    name: &'static str,
    action: Action,
}

#[derive(Debug)]
enum Action {
    /// Another program, with variables for its environment.
    Program { variables: Vec<(&'static str, String)>, words: Vec<String> },
    /// A function of this one.
    Inside(fn() -> Result<(), String>),
}

impl Step {
    /// Runs `line`, which is split at blanks.
    pub(crate) fn program(name: &'static str, line: &str) -> Self {
        Self {
            name,
            action: Action::Program {
                variables: Vec::new(),
                words: line.split(' ').map(ToOwned::to_owned).collect(),
            },
        }
    }

    /// A step that `cargo xtask <name>` also runs alone.
    pub(crate) fn inside(name: &'static str, action: fn() -> Result<(), String>) -> Self {
        Self { name, action: Action::Inside(action) }
    }

    /// Sets a variable in the program's environment.
    pub(crate) fn with_variable(mut self, name: &'static str, value: impl Into<String>) -> Self {
        if let Action::Program { variables, .. } = &mut self.action {
            variables.push((name, value.into()));
        }
        self
    }

    /// What a person types to run this step by hand.
    fn command_line(&self) -> String {
        match &self.action {
            Action::Inside(_) => format!("cargo xtask {}", self.name),
            Action::Program { variables, words } => {
                let variables = variables.iter().map(|(name, value)| format!("{name}=\"{value}\" "));
                variables.chain([words.join(" ")]).collect()
            }
        }
    }

    fn run(&self) -> Result<(), String> {
        match &self.action {
            Action::Inside(action) => action(),
            Action::Program { variables, words } => run_program(variables, words),
        }
    }
}

/// Runs the steps in order.
///
/// # Errors
///
/// The first failure, with the command line that repeats it; later steps do not run.
pub(crate) fn run_all(steps: &[Step]) -> Result<(), String> {
    let mut durations = Vec::new();
    for (position, step) in steps.iter().enumerate() {
        println!("\n==> [{}/{}] {}: {}", position + 1, steps.len(), step.name, step.command_line());
        let (result, duration) = timed(|| step.run());
        let ending = if result.is_ok() { "ok" } else { "FAILED" };
        println!("<== {}: {ending} after {:.1} s", step.name, duration.as_secs_f64());
        result.map_err(|reason| failure(step, &reason))?;
        durations.push((step.name, duration));
    }
    print_summary(&durations);
    Ok(())
}

fn failure(step: &Step, reason: &str) -> String {
    format!("stopped at `{}`: {reason}\nrepeat it with: {}", step.name, step.command_line())
}

fn print_summary(durations: &[(&str, Duration)]) {
    if durations.len() > 1 {
        println!();
        for (name, duration) in durations {
            println!("    {name:<10} {:>7.1} s", duration.as_secs_f64());
        }
        let total: Duration = durations.iter().map(|(_, duration)| *duration).sum();
        println!("All {} steps are green after {:.1} s.", durations.len(), total.as_secs_f64());
    }
}

#[expect(clippy::disallowed_methods, reason = "how long a step took is read from the machine's clock")]
fn timed<T>(action: impl FnOnce() -> T) -> (T, Duration) {
    let started = Instant::now();
    let result = action();
    (result, started.elapsed())
}

fn run_program(variables: &[(&str, String)], words: &[impl AsRef<str>]) -> Result<(), String> {
    let words: Vec<_> = words.iter().map(AsRef::as_ref).collect();
    let (program, arguments) = words.split_first().ok_or("the step names no program")?;
    let status = Command::new(program)
        .args(arguments)
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .status()
        .map_err(|error| format!("cannot start `{program}`: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("`{program}` ended with {status}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fails() -> Result<(), String> {
        Err("no reason".into())
    }

    fn never_runs() -> Result<(), String> {
        panic!("a step ran after a failure")
    }

    #[test]
    fn the_command_line_can_be_typed() {
        let step = Step::program("docs", "cargo doc --no-deps").with_variable("RUSTDOCFLAGS", "-D warnings");
        assert_eq!(step.command_line(), "RUSTDOCFLAGS=\"-D warnings\" cargo doc --no-deps");
        assert_eq!(Step::inside("tidy", fails).command_line(), "cargo xtask tidy");
    }

    #[test]
    fn the_first_failure_stops_the_run_and_says_how_to_repeat_it() {
        let error = run_all(&[Step::inside("first", fails), Step::inside("second", never_runs)]).unwrap_err();
        assert_eq!(error, "stopped at `first`: no reason\nrepeat it with: cargo xtask first");
    }

    #[test]
    fn a_program_that_fails_or_is_missing_is_a_failure() {
        assert!(run_program(&[], &["cargo", "--version"]).is_ok());
        assert!(run_program(&[], &["cargo", "--no-such-flag"]).unwrap_err().contains("`cargo` ended with"));
        assert!(
            run_program(&[], &["no-such-program"]).unwrap_err().contains("cannot start `no-such-program`")
        );
    }
}
