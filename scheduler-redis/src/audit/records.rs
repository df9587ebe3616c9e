//! Records, and what has to follow from each.

use std::collections::{BTreeSet, HashMap};

use scheduler_core::job::ExecutionId;
use scheduler_core::run::{RunEnd, RunId};
use scheduler_core::store::rows::{ClaimRow, RunRow, Standing};
use scheduler_core::store::rules::{self, Unsound};
use scheduler_core::store::view::{View, record};
use scheduler_core::{Result, TriggerKey};

use super::named::{Named, Row};
use super::question::Question;
use super::{Audit, PAGE};
use crate::bundles;
use crate::claims;
use crate::codec;
use crate::commit::{Step, Words, text};
use crate::commit_runs::{claimed_name, ended, later_in};
use crate::lengths::waiting_in;
use crate::load::{Broken, parts};
use crate::names::Names;
use crate::run::{Mode, each};
use crate::script::{bytes, list};

/// An entry of a hash of claims, or one of those in a bundle.
struct Found {
    /// The claim, as people see it, or the field of what is none.
    id: String,
    claim: Option<ExecutionId>,
    record: Vec<u8>,
    /// The bundle and the place in it.
    place: Option<Words>,
}

impl Found {
    const fn is_in_bundle(&self) -> bool {
        self.place.is_some()
    }

    fn question(&self, home: &str) -> Question {
        let mut question = Question::about("claim", home, &self.id, &self.record);
        if let Some(place) = &self.place {
            question.guard = Some(("held", home.to_owned(), place.clone()));
        }
        question
    }

    fn removal(&self, home: &str) -> (Step, String, Words) {
        match &self.place {
            Some(place) => (Step::Unname, home.to_owned(), place.clone()),
            None => (Step::HDel, home.to_owned(), vec![text(&self.id)]),
        }
    }
}

fn found_in(home: &str, entries: Vec<(String, Vec<u8>)>) -> Vec<Found> {
    let mut all = Vec::new();
    for (field, value) in entries {
        let claims = bundles::claims_of(home, &field, &value).unwrap_or_default();
        if claims.is_empty() {
            all.push(Found { id: field, claim: None, record: value, place: None });
            continue;
        }
        let is_own = codec::read_claim(&field).is_ok();
        all.extend(claims.into_iter().map(|(claim, record)| {
            let place = (!is_own).then(|| bundles::words_of(claim).to_vec());
            Found { id: codec::claim(claim), claim: Some(claim), record, place }
        }));
    }
    all
}

fn pair(first: impl Into<String>, second: impl Into<String>) -> Vec<Vec<u8>> {
    vec![text(first), text(second)]
}

impl Audit<'_> {
    pub(super) async fn claims(&mut self) -> Result<()> {
        for (session, is_alive) in self.homes().await? {
            let (home, mut cursor) = (format!("cl:{session}"), Some("0".to_owned()));
            let mut is_left = false;
            while let Some(at) = cursor {
                let (page, next) = self.scan(&home, &at).await?;
                is_left |= !is_alive && !page.is_empty();
                for part in found_in(&home, page).chunks(PAGE) {
                    let runs = self.runs_of(part).await?;
                    let question = |found| self.claim(&session, found, &runs, is_alive);
                    self.settle(part.iter().map(question).collect()).await?;
                }
                cursor = next;
            }
            if is_alive {
                self.stops(&session).await?;
            } else if self.repair && is_left {
                self.shared.take_over(session.into()).await?;
            }
        }
        // What can be read there is on its way to be given back.
        for orphan in self.list("SMEMBERS", "orphans", &[]).await? {
            let home = format!("orphan:{orphan}");
            for found in found_in(&home, self.scan_all(&home).await?) {
                if self.read_claim(&found, &HashMap::new()).is_none() {
                    let question =
                        found.question(&home).certain("it cannot be read", vec![found.removal(&home)]);
                    self.settle(vec![question]).await?;
                }
            }
        }
        Ok(())
    }

    /// The runs of claims that say only which they are.
    async fn runs_of(&self, claims: &[Found]) -> Result<HashMap<RunId, Vec<u8>>> {
        let runs: Vec<_> =
            claims.iter().filter_map(|found| Some(codec::only_named(&found.record)?.1)).collect();
        if runs.is_empty() {
            return Ok(HashMap::new());
        }
        let names: Vec<_> = runs.iter().map(|run| codec::run(*run)).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let records = list(Some(self.ask("HMGET", "runs", &names).await?));
        let known = runs.into_iter().zip(&records);
        Ok(known.filter_map(|(run, whole)| Some((run, bytes(whole)?.to_vec()))).collect())
    }

    fn read_claim(&self, found: &Found, runs: &HashMap<RunId, Vec<u8>>) -> Option<ClaimRow> {
        let (mut view, execution, whole) = (self.shared.empty_view(), found.claim?, found.record.as_slice());
        if let Some((_, run)) = codec::only_named(whole) {
            let whole = runs.get(&run).map(Vec::as_slice);
            return Some(claims::of_run(run, whole, execution, view.names()));
        }
        let (_, record) = parts(whole)?;
        let known = claims::read_claim(record, execution, view.names(), &self.shared.known);
        // That of a trigger whose schedule only another program knows.
        let place = |_| {
            record::read_place(record, view.names()).map(|row| claims::claim_of(row, execution, view.names()))
        };
        known.or_else(place).ok()
    }

    fn claim(
        &self,
        session: &str,
        found: &Found,
        runs: &HashMap<RunId, Vec<u8>>,
        is_alive: bool,
    ) -> Question {
        let (home, id) = (format!("cl:{session}"), found.id.as_str());
        let mut question = found.question(&home);
        let Some(row) = self.read_claim(found, runs) else {
            return question.certain("it cannot be read", vec![found.removal(&home)]);
        };
        if !is_alive {
            let fault = format!("run {id} of it belongs to nobody");
            question.key = codec::key(row.trigger.key());
            return question.certain(&fault, Vec::new());
        }
        let mends = vec![(Step::SAdd, "homes".to_owned(), vec![text(session)])];
        question.test(("has", "homes".to_owned(), vec![text(session)]), "its node is not listed", mends);
        self.held(&mut question, &row, id, found.is_in_bundle());
        let stop = format!("stop:{session}");
        let reason = row.cancel.map(crate::commit::reason);
        if let Some(reason) = reason {
            let words = pair(id, reason);
            let mends = vec![(Step::HSet, stop.clone(), words.clone())];
            question.test(("value", stop, words), "its node is not told to stop it", mends);
        }
        question
    }

    /// What it keeps from others.
    fn held(&self, question: &mut Question, row: &ClaimRow, id: &str, is_named: bool) {
        if row.exclusive {
            let words = pair(codec::key(row.trigger.job()), id);
            let mends = vec![(Step::HSet, "busy".to_owned(), words.clone())];
            question.test(("value", "busy".to_owned(), words), "it does not hold its job", mends);
        }
        if let Some(name) = claimed_name(row).filter(|_| !is_named) {
            let fault = format!("its {} does not know of it", Named::by(&name).kind());
            let words = pair(name, id);
            let mends = vec![(Step::HSet, "at".to_owned(), words.clone())];
            question.test(("value", "at".to_owned(), words), &fault, mends);
        }
    }

    /// Stop requests for runs that do not exist.
    async fn stops(&mut self, session: &str) -> Result<()> {
        let (stop, home) = (format!("stop:{session}"), format!("cl:{session}"));
        let ids = self.list("HKEYS", &stop, &[]).await?;
        let question = |id: &String| {
            let mends = vec![(Step::HDel, stop.clone(), vec![text(id)])];
            Question::about("claim", &home, id, &[]).certain("it is asked to stop, and is not there", mends)
        };
        self.settle(ids.iter().map(question).collect()).await
    }

    /// Triggers and runs that are marked as claimed, and jobs that are marked as busy, although the claim does not exist.
    pub(super) async fn owners(&mut self) -> Result<()> {
        for (hash, step, fault) in [
            ("busy", Step::Free, "it is held by a run that is not there"),
            ("at", Step::HDel, "it is claimed, and by nobody"),
        ] {
            let mut cursor = Some("0".to_owned());
            while let Some(at) = cursor {
                let (page, next) = self.scan(hash, &at).await?;
                let question = |(key, claim): (String, Vec<u8>)| {
                    let guard = Some(("value", hash.to_owned(), vec![text(&key), claim.clone()]));
                    let kind = if hash == "busy" { "job" } else { Named::by(&key).kind() };
                    let mut question = Question { kind, key: key.clone(), guard, checks: Vec::new() };
                    let mends = match step {
                        Step::HDel => vec![(step, hash.to_owned(), vec![text(&key)])],
                        _ => vec![(step, String::new(), vec![text(&key), claim])],
                    };
                    question.test(("owned", hash.to_owned(), vec![text(key)]), fault, mends);
                    question
                };
                self.settle(page.into_iter().map(question).collect()).await?;
                cursor = next;
            }
        }
        Ok(())
    }

    /// How many claims each queue has.
    pub(super) async fn queues(&mut self) -> Result<()> {
        let known = self.scan_all("queues").await?;
        let known: HashMap<_, _> = known
            .into_iter()
            .map(|(queue, count)| (queue, String::from_utf8_lossy(&count).into_owned()))
            .collect();
        let counts = self.shared.look(|view| {
            let mut counts = HashMap::<String, usize>::new();
            let claims =
                scheduler_core::store::rows::Rows::claims(view, |_, claim| claim.trigger.queue().is_some())?;
            for id in claims {
                let claim = view.claims().row(id).and_then(|claim| claim.trigger.queue());
                *counts
                    .entry(claim.map_or_else(String::new, |queue| codec::queue(queue).into_owned()))
                    .or_default() += 1;
            }
            Ok(counts)
        });
        let counts = counts.await?;
        let mut queues: Vec<_> = known.keys().chain(counts.keys()).cloned().collect();
        queues.sort_unstable();
        queues.dedup();
        for queue in queues {
            let (known, count) = (known.get(&queue), counts.get(&queue));
            if known.map(String::as_str) == count.map(ToString::to_string).as_deref() {
                continue;
            }
            let count = count.copied().unwrap_or_default();
            let fault = format!("it counts `{}` runs in place of {count}", known.map_or("0", String::as_str));
            let mut question =
                Question { kind: "queue", key: queue.clone(), guard: None, checks: Vec::new() };
            let mends = if count > 0 {
                vec![(Step::HSet, "queues".to_owned(), pair(&queue, count.to_string()))]
            } else {
                vec![(Step::HDel, "queues".to_owned(), vec![text(&queue)])]
            };
            // If it counts still what it did: what it counts otherwise has changed meanwhile.
            let seen = pair(&queue, known.map_or("", String::as_str));
            question.guard = Some(("value", "queues".to_owned(), seen));
            self.settle(vec![question.certain(&fault, mends)]).await?;
        }
        Ok(())
    }

    pub(super) async fn jobs(&mut self) -> Result<()> {
        let mut cursor = Some("0".to_owned());
        while let Some(at) = cursor {
            let (page, next) = self.scan("jobs", &at).await?;
            let question = |(key, whole): (String, Vec<u8>)| {
                let mut question = Question::about("job", "jobs", &key, &whole);
                let row = parts(&whole).and_then(|(_, record)| record::read_job(record).ok());
                if row.is_none_or(|row| codec::key(row.detail.key()) != key) {
                    let mends = vec![
                        (Step::HDel, "jobs".to_owned(), vec![text(&key)]),
                        (Step::ZRem, "nj".to_owned(), vec![text(key)]),
                    ];
                    return question.certain(super::DESTROYED, mends);
                }
                let mends = vec![(Step::ZAdd, "nj".to_owned(), pair("0", &key))];
                question.test(
                    ("score", "nj".to_owned(), pair(key, "0")),
                    "it has a record and no name",
                    mends,
                );
                question
            };
            self.settle(page.into_iter().map(question).collect()).await?;
            cursor = next;
        }
        Ok(())
    }

    /// Triggers or runs, with what has to follow from each.
    pub(super) async fn rows(&mut self, named: Named) -> Result<()> {
        let mut cursor = Some("0".to_owned());
        while let Some(at) = cursor {
            let (page, next) = self.scan(named.hash(), &at).await?;
            let (mut keys, mut questions, mut lanes) = (Vec::new(), Vec::new(), BTreeSet::new());
            for (name, whole) in page {
                let (mut view, row) = self.read(named, &name, Some(&whole));
                let Some(row) = row else {
                    questions.push(destroyed(named, &name, &whole));
                    continue;
                };
                self.batches.extend(row.run().filter(|run| run.is_batch()).map(|run| run.id));
                lanes.insert(row.lane(view.names()).0);
                questions.push(follows(named, &name, &whole, &row, view.names()));
                keys.extend(row.trigger().map(|row| row.trigger.key().clone()));
            }
            self.settle(lanes.iter().map(|lane| of_lane(lane)).collect()).await?;
            self.settle(questions).await?;
            for part in keys.chunks(PAGE) {
                self.examine(part).await?;
            }
            cursor = next;
        }
        Ok(())
    }

    /// What does not fit to other rows.
    async fn examine(&mut self, keys: &[TriggerKey]) -> Result<()> {
        let rule = |view: &mut View<Names>, mends: bool| {
            each(view, keys, |view, key| rules::examine(view, &key, mends))
        };
        let found = self.shared.look_at(Broken::IsNone, |view| rule(view, false)).await?;
        if found.iter().all(Vec::is_empty) {
            return Ok(());
        }
        // Runs may have begun or ended while that was read.
        let confirmed = if self.repair {
            self.shared.run("audit", Mode::Chore, self.shared.view(), |view| rule(view, true)).await?.answer
        } else {
            self.shared.look_at(Broken::IsNone, |view| rule(view, false)).await?
        };
        for ((key, before), unsound) in keys.iter().zip(found).zip(confirmed) {
            for what in unsound.into_iter().filter(|what| before.contains(what)) {
                let what = match what {
                    Unsound::NoJob => "its job is not there or cannot be read".to_owned(),
                    Unsound::NoCalendar(name) => {
                        format!("its calendar `{name}` is not there or cannot be read")
                    }
                    Unsound::Misplaced => "it does not stand where its job wants it to".to_owned(),
                    Unsound::Runs { counted, there } => {
                        format!("it has {counted} runs, of which {there} are there")
                    }
                    other => format!("{other:?}"),
                };
                self.mends("trigger", &codec::key(key), &what);
            }
        }
        Ok(())
    }

    /// Jobs that nothing keeps.
    pub(super) async fn unused_jobs(&mut self) -> Result<()> {
        if !self.repair {
            return Ok(());
        }
        let mut cursor = Some("0".to_owned());
        while let Some(at) = cursor {
            let (page, next) = self.scan("jobs", &at).await?;
            let keys: Vec<_> = page.iter().filter_map(|(key, _)| codec::job_key(key).ok()).collect();
            let rule = |view: &mut View<Names>| each(view, &keys, |view, key| rules::drop_unused(view, &key));
            self.shared.run("audit", Mode::Chore, self.shared.view(), rule).await?;
            cursor = next;
        }
        Ok(())
    }

    pub(super) fn read(&self, named: Named, name: &str, whole: Option<&[u8]>) -> (View<Names>, Option<Row>) {
        let mut view = self.shared.empty_view();
        let row = whole.and_then(|whole| Row::read(named, name, whole, view.names()));
        (view, row)
    }
}

/// When its first is due is noted.
pub(super) fn of_lane(lane: &str) -> Question {
    let key = lane.trim_start_matches(['0', '1']).replace('\0', "/");
    let mut question = Question { kind: "lane", key, guard: None, checks: Vec::new() };
    let mends = vec![(Step::Leave, lane.to_owned(), Vec::new())];
    question.test(("lane", lane.to_owned(), Vec::new()), "when its first is due is noted otherwise", mends);
    question
}

/// Its places are removed with those of names without a record. A claim of it keeps its entry until the claim ends.
fn destroyed(named: Named, name: &str, whole: &[u8]) -> Question {
    let of = |step, index: &str| (step, index.to_owned(), vec![text(name)]);
    let mut mends = vec![of(Step::HDel, named.hash()), of(Step::HDel, "alone")];
    match named {
        Named::Trigger => {
            mends.extend([of(Step::HDel, "at"), of(Step::ZRem, "nt"), of(Step::ZRem, "alarms")]);
        }
        Named::Run => {
            mends.extend([of(Step::HDel, "later"), of(Step::HDel, "parked")]);
            mends.extend(RunEnd::ALL.map(|end| of(Step::ZRem, &ended(end))));
            mends.push(of(Step::ZRem, "alarms"));
        }
    }
    Question::about(named.kind(), named.hash(), name, whole).certain(super::DESTROYED, mends)
}

/// Everything that follows from the record of a trigger or a run.
fn follows(named: Named, name: &str, whole: &[u8], row: &Row, names: &Names) -> Question {
    let mut question = Question::about(named.kind(), named.hash(), name, whole);
    let mut index = |zset: &str, member: String, score: &str, fault: &str| {
        let mends = vec![(Step::ZAdd, zset.to_owned(), pair(score, &member))];
        question.test(("score", zset.to_owned(), pair(member, score)), fault, mends);
    };
    if let Some((end, rank)) = row.rank() {
        index(&ended(end), name.to_owned(), &rank.number.to_string(), "it has ended and is not listed");
    }
    if let Some(alarm) = row.alarm() {
        let fault = "when a rule has to look at it is not noted";
        index("alarms", name.to_owned(), &alarm.timestamp_millis().to_string(), fault);
    }
    for tag in row.tags() {
        index("tags", tag, "0", "it is not found by what it belongs to");
    }
    if let Some(row) = row.trigger() {
        index("nt", name.to_owned(), "0", "it has a record and no name");
        let job = codec::key(row.trigger.job());
        index("of", format!("{job}\0\0{name}"), "0", "its job does not know of it");
        if let Some(calendar) = row.trigger.calendar() {
            let fault = format!("its calendar `{calendar}` does not know of it");
            index("by", format!("{calendar}\0\0{name}"), "0", &fault);
        }
    }
    row.run().into_iter().for_each(|run| waits(&mut question, name, run));
    stands(&mut question, (named, name), row, names);
    question
}

/// Whether a run of a queue counts for the length of that.
fn waits(question: &mut Question, name: &str, run: &RunRow) {
    if let Some(queue) = later_in(run) {
        let mends = vec![(Step::Later, queue.clone(), vec![text(name)])];
        let fault = "it waits until it is due, and its queue does not know of it";
        question.test(("value", "later".to_owned(), pair(name, queue)), fault, mends);
    }
    let Some(queue) = &run.queue else { return };
    let (queue, waits) = (codec::queue(queue).into_owned(), run.standing == Standing::Waiting);
    let step = if waits { Step::SAdd } else { Step::SRem };
    let mends = vec![(step, waiting_in(&queue), vec![text(name)])];
    let words = pair(name, if waits { "1" } else { "" });
    question.test(("waits", queue, words), "the length of its queue counts it otherwise", mends);
}

/// Whether it is noted to run alone, and where it stands.
fn stands(question: &mut Question, (named, name): (Named, &str), row: &Row, names: &Names) {
    let (job, exclusive) = (row.job(), row.is_exclusive());
    let alone = if exclusive { job.clone() } else { String::new() };
    let mends = if exclusive {
        vec![(Step::HSet, "alone".to_owned(), pair(name, &alone))]
    } else {
        vec![(Step::HDel, "alone".to_owned(), vec![text(name)])]
    };
    question.test(
        ("value", "alone".to_owned(), pair(name, &alone)),
        "whether it runs alone is noted otherwise",
        mends,
    );
    let (lane, member) = row.lane(names);
    let mut mends = vec![(Step::Leave, lane.clone(), vec![member.clone()])];
    if named == Named::Run {
        mends.push((Step::Unpark, lane.clone(), vec![text(name), member.clone(), row.fair()]));
    }
    if exclusive {
        mends.push((Step::LeaveAlone, lane.clone(), vec![text(&job), member.clone()]));
    }
    let time = row.stand(names).map(|stand| stand.time.to_string());
    if let Some(time) = &time {
        let words = vec![text(time), member.clone(), text(name)];
        mends.push(if let Some(key) = row.fair().get(1..) {
            (Step::LineUp, lane.clone(), [words, vec![key.to_vec(), text(name)]].concat())
        } else if exclusive {
            (Step::StandAlone, lane.clone(), [vec![text(job)], words].concat())
        } else {
            (Step::Shift, lane.clone(), words)
        });
    }
    question.test(
        ("place", lane, vec![text(alone), text(time.unwrap_or_default()), member, text(name), row.fair()]),
        "it does not stand where it has to wait",
        mends,
    );
}
