#![allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

mod claims;
mod search;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mutation {
    ClaimsAreNotCompared,
    UnknownClaimsComplete,
    BuriedSessionsLive,
    LostRunsAreNotEnded,
    LapsedIsNotGivenBack,
    BusyIsNotChecked,
    BuriedClaimsFire,
    LateAnswersBegin,
}

#[test]
fn the_protocol_keeps_its_promises() {
    let report = search::search(&claims::Claims { mutation: None });
    println!("{} states", report.states);
    if let Some(v) = report.violation { panic!("{v}") }
}
#[test]
fn each_mutation_is_found() {
    use Mutation::*;
    for m in [ClaimsAreNotCompared, UnknownClaimsComplete, BuriedSessionsLive, LostRunsAreNotEnded, LapsedIsNotGivenBack, BusyIsNotChecked, BuriedClaimsFire, LateAnswersBegin] {
    let report = search::search(&claims::Claims { mutation: Some(m) });
    println!("{m:?} {} states", report.states);
    match report.violation { Some(v) => println!("{v}"), None => println!("NOT FOUND") }
    }
}
