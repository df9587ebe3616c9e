//! The kit of drivers finds what is wrong with one: faults of the kind that authors make, each seeded into the server of a few maps.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use scheduler_conformance::drivers;
use scheduler_core::JobData;
use scheduler_core::run::Gates;
use scheduler_core::store::rows::*;
use scheduler_core::store::view::View;

use crate::server::{Numbers, Server};
use crate::store::Viewed;

/// Makes the list of all bugs, each with a rule that has to find it.
macro_rules! bugs {
    ($($(#[$doc:meta])* $bug:ident => $rule:ident,)*) => {
        /// What is wrong.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Bug {
            $($(#[$doc])* $bug,)*
        }

        const BUGS: &[(Bug, &str)] = &[$((Bug::$bug, stringify!($rule))),*];
    };
}

bugs! {
    /// A trigger that was edited stands where it stood before.
    ForgetsToMove => work_moves_with_its_row,
    IgnoresPriority => work_is_taken_by_time_then_by_priority,
    MixesEqualTimes => equal_places_are_taken_triggers_first_then_by_name,
    BeginsIn1970 => times_at_the_ends_of_the_calendar_keep_their_order,
    TakesOneMore => no_more_is_taken_than_asked_for,
    /// By a second.
    TakesEarly => nothing_is_taken_before_its_time,
    IgnoresJobTypes => a_node_takes_from_the_lanes_of_its_job_types,
    IgnoresClaimsOfQueues => no_more_of_a_queue_is_claimed_than_its_shared_limit,
    /// To another session.
    HandsOutTwice => claimed_work_is_handed_out_to_nobody_else,
    /// What was shown once is not hidden by its next claim.
    ShowsWhatIsClaimed => a_fired_trigger_waits_for_its_next_time_while_its_claim_lasts,
    ShowsTwoOfAJob => only_the_first_of_such_a_job_is_taken,
    /// The claim of a trigger is not found by the trigger.
    LosesUnfiredClaims => claims_are_found_by_session_by_what_they_claim_and_in_a_list,
    ForgetsOwners => claims_are_found_by_session_by_what_they_claim_and_in_a_list,
    /// The name of a job that was removed.
    KeepsNames => what_is_removed_is_nowhere_any_more,
    ComparesBeginnings => a_trigger_that_names_a_calendar_is_found,
    CountsWhatIsGone => the_triggers_of_a_job_are_counted,
    DropsEmptyTexts => texts_of_every_kind_come_back,
    ForgetsAlarms => alarms_ring_when_their_time_has_come,
    /// Of runs.
    IgnoresVersions => concurrent_transactions_have_an_order,
    /// That of a job's triggers was another one when it was read.
    IgnoresCounts => who_goes_by_the_number_of_members_is_not_overtaken,
    IgnoresSeveral => who_goes_by_several_members_is_not_overtaken,
    /// That of a queue was another one when it was read.
    IgnoresRoom => who_found_room_in_a_queue_is_not_overtaken,
    CountsWhatIsClaimed => the_runs_that_wait_in_a_queue_are_counted,
    IgnoresNewClaims => who_found_no_claim_is_refused_if_there_is_one,
    /// Of a job that allows one run at a time.
    IgnoresHolders => a_forgotten_claim_does_not_hold_a_job_that_another_holds,
    FindsNoTags => runs_are_found_by_their_tags,
    /// The same ones each time, whether they have the tag or not.
    FindsTheFirstTagged => some_of_the_runs_of_a_tag_are_found,
    /// Of runs.
    IgnoresNewTags => who_goes_by_the_number_of_tags_is_not_overtaken,
    /// Of limits.
    IgnoresGates => no_more_is_claimed_than_there_is_room_at_a_gate,
    IgnoresWeights => a_gate_counts_weights,
    ForgetsCaps => a_cap_that_is_set_wins_over_that_of_runs,
    ForgetsShutGates => nobody_enters_a_gate_that_is_shut,
    /// Of claims that are over.
    KeepsSlots => a_slot_goes_with_its_claim,
    AddsToNoCounters => the_counters_of_a_batch_are_added_up,
    IgnoresCounters => who_finds_nothing_pending_is_not_overtaken,
    OverwritesMarks => no_change_of_what_there_is_one_of_is_lost,
    /// Before it compares.
    WritesAHalf => a_refused_commit_changes_nothing_and_runs_again,
    /// A commit that comes again is compared with what it has written itself.
    KnowsNoNumbers => a_repeated_commit_is_done_once,
    /// What a rule has written before it missed something.
    KeepsDrafts => a_rule_that_runs_again_finds_nothing_written,
    RecordsBeforeItCompares => a_refused_commit_records_nothing,
    RecordsWhatIsDone => a_repeated_commit_records_once,
    RecordsBackwards => records_are_in_the_order_in_which_they_were_written,
    ForgetsTheLastCommit => what_was_acknowledged_survives_a_crash,
}

/// What a server with a bug goes by.
#[derive(Debug, Clone, Default)]
pub(crate) struct Debris {
    /// As they were first written.
    pub(crate) unmoved: BTreeMap<Id<TriggerRow>, TriggerRow>,
    /// Triggers that were removed, by their jobs.
    gone: HashMap<Id<JobRow>, usize>,
    pub(crate) shown: HashSet<Id<TriggerRow>>,
    pub(crate) before: Option<Box<Server>>,
    /// Those of all claims that have ended.
    pub(crate) slots: Vec<Gates>,
}

impl Debris {
    pub(crate) fn gone_of(&self, job: Id<JobRow>) -> usize {
        self.gone.get(&job).copied().unwrap_or_default()
    }
}

impl Server {
    /// Before something is written.
    pub(crate) fn note_debris(&mut self, view: &View<Numbers>) {
        if self.has(Bug::ForgetsTheLastCommit) {
            self.debris.before = Some(Box::new(self.clone()));
        }
        for change in view.triggers().changes() {
            match (change.before, change.after) {
                (None, Some(row)) => drop(self.debris.unmoved.insert(change.id, row.clone())),
                (Some(row), None) => *self.debris.gone.entry(row.job).or_default() += 1,
                _ => {}
            }
        }
        let ended = view.claims().changes().filter(|change| change.after.is_none());
        self.debris.slots.extend(ended.filter_map(|change| Some(change.before?.gates.clone())));
        self.debris.shown.extend(view.shown());
    }
}

pub(crate) fn drop_empty_texts(row: &mut RunRow) {
    if row.data.get::<String>("").is_ok_and(|text| text.is_some_and(|text| text.is_empty())) {
        row.data = JobData::new();
    }
}

const BY_CHANCE: &str = "random_operations_agree_with_a_plain_model";

#[test]
fn each_seeded_bug_is_found_by_its_rule() {
    // The failures are what is wanted; their messages are not.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let mut account = Vec::new();
    for (bug, named) in BUGS {
        let open = move || Viewed::with(*bug);
        let fails = |rule: &fn(&dyn Fn() -> Viewed)| catch_unwind(AssertUnwindSafe(|| rule(&open))).is_err();
        let looks = |name: &str| name == *named || name == BY_CHANCE;
        let rules = drivers::all().into_iter().filter(|(name, _)| looks(name));
        let found: Vec<_> = rules.filter(|(_, rule)| fails(rule)).map(|(name, _)| name).collect();
        account.push((bug, named, found));
    }
    std::panic::set_hook(hook);
    for (bug, _, found) in &account {
        println!("{bug:?}: {}", found.join(", "));
    }
    let missed: Vec<_> = account.iter().filter(|(_, named, found)| !found.contains(*named)).collect();
    assert!(missed.is_empty(), "not found by the rule that should find it: {missed:#?}");
    let by_chance = account.iter().filter(|(.., found)| found.contains(&BY_CHANCE));
    assert!(by_chance.count() >= 8, "random operations find many of them too");
}
