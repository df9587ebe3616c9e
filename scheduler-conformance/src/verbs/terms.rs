//! What becomes of the key, the limits, the fair key and the sequence of a run whose argument is edited.

use scheduler_core::JobData;
use scheduler_core::run::{Gate, GateId, Gates, Sequence, Unique};
use scheduler_core::store::*;

use super::running::{id, numbers, run};
use crate::bench::*;

fn limit(key: &str) -> Gate {
    Gate::new(GateId::of("limit", Some(key)), 1, 1)
}

/// What a job makes of an argument that is this word.
fn made_of(word: &str) -> RunTerms {
    let gates = Gates::new(vec![limit(word)]).with_fair(Some(word.into()));
    let sequence = Sequence::of(word).stored("work");
    RunTerms::new(Some(Unique::key(word).stored("work", at(0))), gates, Some(sequence))
}

fn data(word: &str) -> JobData {
    JobData::new().with("word", word)
}

/// What a run is made of.
#[derive(Clone, Copy, Default)]
struct With {
    key: bool,
    limit: bool,
    fair: bool,
    sequence: bool,
}

/// A run that is due after a second, with some of what its job makes of its argument.
fn of_word(number: u64, word: &str, with: With) -> NewRun {
    let (mut run, terms) = (run(number, &job("work").build(), 1), made_of(word));
    run.data = data(word);
    let key = terms.key.filter(|_| with.key);
    run.unique = key.map(|key| Box::new(NewKey::new(key, Conflict::Skip, at(0))));
    run.sequence = terms.sequence.filter(|_| with.sequence).map(Box::new);
    let limits = terms.gates.iter().filter(|_| with.limit).cloned().collect();
    run.gates = Gates::new(limits).with_fair(terms.gates.fair().filter(|_| with.fair).cloned());
    run
}

impl Bench {
    /// Somebody edits the argument of this run.
    async fn edit_word(&self, number: u64, before: &str, after: &str) -> RunChanged {
        let edit = RunChange::edit(RunEdit::new().data(data(after)));
        let mut request = ChangeRuns::new(vec![id(number)], edit, at(1));
        request.terms.insert(id(number), NewTerms::new(made_of(before), made_of(after)));
        self.store.change_runs(request).await.unwrap()[0]
    }

    async fn word(&self, number: u64) -> JobData {
        self.run_status(number).await.expect("it is stored").data
    }
}

checks! { ($) terms, __store_checks_of_terms;

async fn a_run_takes_the_key_of_its_new_argument_and_frees_the_old_one(bench) {
    let with = With { key: true, ..With::default() };
    bench.enqueue(vec![of_word(1, "a", with)]).await;
    assert_eq!(bench.edit_word(1, "a", "b").await, RunChanged::Done);
    assert_eq!(bench.run_status(1).await.unwrap().key.as_deref(), Some("b"));
    let added = bench.store.enqueue(vec![of_word(2, "b", with), of_word(3, "a", with)]).await.unwrap();
    assert_eq!(added, [Enqueued::Existing(id(1)), Enqueued::Created]);
}

async fn an_edit_to_the_key_of_another_run_is_refused_as_a_whole(bench) {
    let with = With { key: true, limit: true, ..With::default() };
    bench.enqueue(vec![of_word(1, "a", with), of_word(2, "b", with)]).await;
    assert_eq!(bench.edit_word(1, "a", "b").await, RunChanged::KeyTaken(id(2)));
    let status = bench.run_status(1).await.unwrap();
    assert_eq!((status.key.as_deref(), status.limits[0].key.as_deref()), (Some("a"), Some("a")));
    assert_eq!(bench.word(1).await, data("a"));
}

async fn what_the_call_has_said_stays(bench) {
    let with = With { key: true, limit: true, fair: true, sequence: true };
    bench.enqueue(vec![of_word(1, "of the call", with)]).await;
    assert_eq!(bench.edit_word(1, "a", "b").await, RunChanged::Done);
    let status = bench.run_status(1).await.unwrap();
    let found = (status.key, status.limits[0].key.clone(), status.fair, status.sequence);
    let word = || Some("of the call".into());
    assert_eq!(found, (word(), word(), word(), word()));
    assert_eq!(bench.word(1).await, data("b"));
}

async fn a_run_that_waits_at_a_limit_waits_at_that_of_its_new_argument(bench) {
    let with = With { limit: true, ..With::default() };
    bench.enqueue(vec![of_word(1, "a", with), of_word(2, "a", with), of_word(3, "b", with)]).await;
    assert_eq!(numbers(&bench.take(1, 10).await), [1, 3]);
    assert_eq!(bench.edit_word(2, "a", "b").await, RunChanged::Done);
    assert!(bench.take(1, 10).await.is_empty(), "the other limit is full, too");
    assert_eq!(bench.edit_word(2, "b", "c").await, RunChanged::Done);
    let taken = bench.take(1, 10).await;
    assert_eq!(numbers(&taken), [2]);
    bench.enqueue(vec![of_word(4, "c", with)]).await;
    assert!(bench.take(1, 10).await.is_empty(), "its slot is one of the new limit");
    bench.end(&taken[0], Fate::Over).await;
    assert_eq!(numbers(&bench.take(1, 10).await), [4]);
}

async fn a_run_changes_its_sequence_with_its_argument(bench) {
    let with = With { sequence: true, ..With::default() };
    bench.enqueue((1..=3).map(|number| of_word(number, "a", with)).collect()).await;
    bench.enqueue(vec![of_word(4, "b", with)]).await;
    assert_eq!(bench.edit_word(2, "a", "b").await, RunChanged::Done);
    assert_eq!(bench.edit_word(1, "a", "c").await, RunChanged::Done);
    let taken = bench.take(1, 10).await;
    let mut found = numbers(&taken);
    found.sort_unstable();
    assert_eq!(found, [1, 3, 4], "the first of each sequence");
    let fourth = taken.iter().find(|taken| taken.run == id(4)).unwrap();
    bench.end(fourth, Fate::Over).await;
    assert_eq!(numbers(&bench.take(1, 10).await), [2], "it has come last into its sequence");
}

async fn a_run_takes_the_turns_of_its_new_key(bench) {
    let with = With { fair: true, ..With::default() };
    bench.enqueue((1..=4).map(|number| of_word(number, "a", with)).collect()).await;
    assert_eq!(bench.edit_word(4, "a", "b").await, RunChanged::Done);
    let taken = bench.take(1, 2).await;
    assert_eq!(numbers(&taken), [1, 4], "of each key one begins in each round");
    assert_eq!(numbers(&bench.take(1, 9).await), [2, 3]);
}

async fn a_dead_run_is_replayed_with_what_its_new_argument_makes(bench) {
    let with = With { key: true, limit: true, fair: true, sequence: true };
    bench.enqueue(vec![of_word(1, "a", with)]).await;
    let taken = bench.take_one(1).await;
    bench.end(&taken, Fate::Dead { error: None }).await;
    assert_eq!(bench.edit_word(1, "a", "b").await, RunChanged::Done);
    bench.enqueue(vec![of_word(2, "a", with)]).await;
    bench.change(&[1], RunChange::replay()).await;
    let mut found = numbers(&bench.take(1, 10).await);
    found.sort_unstable();
    assert_eq!(found, [1, 2], "they have nothing in common any more");
    assert_eq!(bench.store.enqueue(vec![of_word(3, "b", with)]).await.unwrap(), [Enqueued::Existing(id(1))]);
}
}
