//! Mistakes in jobs and what the compiler says about them, recorded. `TRYBUILD=overwrite` records anew.

#[test]
fn mistakes_are_explained() {
    trybuild::TestCases::new().compile_fail("ui/*.rs");
}

/// A mistake is one error, at its token: N8, N9 and N10 of the reports of newcomers, with their neighbours.
fn is_one_error(cases: &[(&str, usize, &str)]) {
    for (case, mistakes, hint) in cases {
        let recorded = recorded(case);
        let errors = recorded.lines().filter(|line| line.starts_with("error")).count();
        assert_eq!(errors, *mistakes, "{case}:\n{recorded}");
        assert!(recorded.contains(hint), "{case} does not say {hint:?}:\n{recorded}");
    }
}

fn recorded(case: &str) -> String {
    std::fs::read_to_string(format!("ui/{case}.stderr")).expect("the words are recorded")
}

#[test]
fn n8_a_job_without_its_arguments_is_one_error_that_says_with() {
    is_one_error(&[
        ("enqueue_function", 7, "write `job::with(…)`"),
        ("run_one_function", 1, "write `job::with(…)`"),
        ("argument_missing", 1, "argument #1 of type `String` is missing"),
    ]);
}

#[test]
fn n9_a_parameter_that_cannot_be_filled_and_a_future_that_cannot_be_sent_are_one_error() {
    is_one_error(&[
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
    ]);
}

#[test]
fn a_function_that_does_not_take_the_error_of_the_job_is_one_error_at_its_name() {
    is_one_error(&[("retry_when", 5, "expected fn pointer `for<'a> fn(&'a std::io::Error) -> bool`")]);
}

#[test]
fn a_function_that_does_not_take_a_dead_run_is_one_error_at_its_name() {
    is_one_error(&[
        ("on_dead", 8, "`on_dead` takes the name of a function"),
        ("on_dead_unknown", 1, "cannot find module or crate `nowhere`"),
    ]);
}

#[test]
fn n10_an_option_of_another_scheduler_is_one_error_that_says_how_it_is_done_here() {
    is_one_error(&[("options_of_others", 10, "Trigger::after(delay)")]);
}

#[test]
fn a_mistake_in_a_limit_a_sequence_or_a_fair_key_is_one_error_at_its_token() {
    is_one_error(&[
        ("limits", 31, "with a rate of 0 no attempt could ever begin"),
        ("limits_types", 5, "the weight of a run is a whole number, and `f64` is not one"),
        ("sequence", 8, "a `limit` with the same key limits nothing"),
        ("fair", 8, "there is no option `round_robin`; runs take turns by `fair(key = \"…\")`"),
    ]);
}

#[test]
fn a_queue_and_its_alias_together_are_one_error() {
    is_one_error(&[("queue_and_alias", 4, "`execution_group` is an alias of `queue`; keep one")]);
}

#[test]
fn h20_an_option_that_means_nothing_does_not_compile() {
    is_one_error(&[
        ("queue_set_on_a_handle", 1, "no method named `concurrency` found for struct `JobQueue`"),
        (
            "service_option_of_others",
            5,
            "no method named `may_end` found for struct `ServiceBuilder<Hosted>`",
        ),
    ]);
}

/// A store that wraps another one and leaves out a verb does not compile; only what is true of most stores has a default.
#[test]
fn h18_a_store_that_leaves_out_a_verb_does_not_compile() {
    let recorded = recorded("store_without_verbs");
    let contract = std::fs::read_to_string("../scheduler-core/src/store/contract.rs").unwrap();
    let (_, contract) = contract.split_once("pub trait JobStore").unwrap();
    let (contract, _) = contract.split_once("\n}\n").unwrap();
    let verbs = contract.split("    fn ").skip(1).map(|verb| verb.split('(').next().unwrap());
    let (missing, defaults): (Vec<_>, Vec<_>) = verbs.partition(|verb| {
        recorded.contains(&format!("missing `{verb}`")) || recorded.contains(&format!("`{verb}`"))
    });
    assert_eq!(defaults, ["clock", "forgets", "trouble", "listen"], "{missing:?}");
}
