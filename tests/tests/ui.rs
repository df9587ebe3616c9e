//! Mistakes in jobs and what the compiler says about them, recorded. `TRYBUILD=overwrite` records anew.

#[test]
fn mistakes_are_explained() {
    trybuild::TestCases::new().compile_fail("ui/*.rs");
}

/// A mistake is one error, at its token: N8, N9 and N10 of the reports of newcomers, with their neighbours.
#[test]
fn a_mistake_is_one_error() {
    for (case, mistakes, hint) in [
        ("enqueue_function", 7, "write `job::with(…)`"),
        ("run_one_function", 1, "write `job::with(…)`"),
        ("argument_missing", 1, "argument #1 of type `String` is missing"),
        ("value_without_state", 1, "write `State(name): State<Pool>`"),
        ("second_value_without_state", 1, "write `State<Pool>`"),
        ("extractor_unknown", 1, "write `State(name): State<Tenant>`"),
        ("state_not_clone", 1, "the trait `Clone` is not implemented for `Pool`"),
        ("argument_not_serialisable", 1, "derive `serde::Serialize` and `serde::Deserialize` for `Greeting`"),
        ("argument_not_send", 1, "`Rc<String>` cannot be sent between threads safely"),
        ("not_send", 1, "future returned by `tick` is not `Send`"),
        ("return_type", 1, "a job cannot return `u32`"),
        ("background_value", 2, "write `State(name): State<Pool>`"),
        ("background_not_send", 3, "future returned by `poll` is not `Send`"),
        ("options_of_others", 10, "Trigger::after(delay)"),
    ] {
        let recorded = std::fs::read_to_string(format!("ui/{case}.stderr")).expect("the words are recorded");
        let errors = recorded.lines().filter(|line| line.starts_with("error")).count();
        assert_eq!(errors, mistakes, "{case}:\n{recorded}");
        assert!(recorded.contains(hint), "{case} does not say {hint:?}:\n{recorded}");
    }
}
