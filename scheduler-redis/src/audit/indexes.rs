//! Indexes that name what is not there.

use std::collections::BTreeSet;

use scheduler_core::Result;
use scheduler_core::store::rows::TriggerRow;

use super::question::Question;
use super::records::of_lane;
use super::{Audit, PAGE};
use crate::codec;
use crate::commit::{Step, Words, lane_name, stand_of, text};
use crate::names::Names;
use crate::script::{bytes, list};

type Belongs<'a> = &'a (dyn Fn(&TriggerRow, &Names, &[u8]) -> bool + Sync);
type Mends<'a> = &'a (dyn Fn(&[u8]) -> Vec<(Step, String, Words)> + Sync);
type KeyOf<'a> = &'a (dyn Fn(&[u8]) -> Option<String> + Sync);

/// The parts of an index that are looked at.
struct Entries<'a> {
    /// Kind and key of what is at fault, if that is not the trigger.
    whose: Option<(&'static str, String)>,
    fault: &'static str,
    mends: Mends<'a>,
    belongs: Belongs<'a>,
    /// Where the key of a trigger begins in an entry.
    trigger: KeyOf<'a>,
}

fn behind_job(entry: &[u8]) -> Option<String> {
    let entry = std::str::from_utf8(entry).ok()?;
    entry.split_once("\0\0").map(|(_, trigger)| trigger.to_owned())
}

fn whole(entry: &[u8]) -> Option<String> {
    std::str::from_utf8(entry).ok().map(str::to_owned)
}

fn behind_rank(entry: &[u8]) -> Option<String> {
    whole(entry.get(4..)?)
}

impl Audit<'_> {
    /// Pages of a sorted set by rank, from its end, since what is mended leaves it.
    async fn pages(&mut self, zset: &str, entries: &Entries<'_>) -> Result<()> {
        let mut left = crate::script::number(Some(&self.ask("ZCARD", zset, &[]).await?)).unwrap_or_default();
        while left > 0 {
            let first = left.saturating_sub(PAGE as u64);
            let page = self.ask("ZRANGE", zset, &[&first.to_string(), &(left - 1).to_string()]).await?;
            let page = list(Some(page)).iter().filter_map(|entry| bytes(entry).map(<[u8]>::to_vec)).collect();
            self.entries(page, entries).await?;
            left = first;
        }
        Ok(())
    }

    async fn entries(&mut self, page: Vec<Vec<u8>>, of: &Entries<'_>) -> Result<()> {
        if page.is_empty() {
            return Ok(());
        }
        let keys: Vec<_> = page.iter().map(|entry| (of.trigger)(entry).unwrap_or_default()).collect();
        let words: Vec<&str> = keys.iter().map(String::as_str).collect();
        let records = list(Some(self.ask("HMGET", "triggers", &words).await?));
        let mut questions = Vec::new();
        for ((entry, key), record) in page.iter().zip(&keys).zip(&records) {
            let whole = bytes(record);
            let (mut view, row) = self.read(key, whole);
            let names = &*view.names();
            if row.as_ref().is_some_and(|row| (of.belongs)(row, names, entry)) {
                continue;
            }
            let mut question = Question::about("trigger", "triggers", key, whole.unwrap_or_default());
            if row.is_none() {
                questions.push(question.certain(super::DESTROYED, (of.mends)(entry)));
                continue;
            }
            if let Some((kind, key)) = &of.whose {
                (question.kind, question.key) = (kind, key.clone());
            }
            questions.push(question.certain(of.fault, (of.mends)(entry)));
        }
        self.settle(questions).await
    }

    pub(super) async fn names(&mut self) -> Result<()> {
        self.job_names().await?;
        let out_of = |zset: &'static str| {
            move |entry: &[u8]| vec![(Step::ZRem, zset.to_owned(), vec![entry.to_vec()])]
        };
        let is_name =
            |row: &TriggerRow, _: &Names, entry: &[u8]| codec::key(row.trigger.key()).as_bytes() == entry;
        let of_job = |row: &TriggerRow, _: &Names, entry: &[u8]| {
            let (job, key) = (codec::key(row.trigger.job()), codec::key(row.trigger.key()));
            format!("{job}\0\0{key}").as_bytes() == entry
        };
        let of_calendar = |row: &TriggerRow, _: &Names, entry: &[u8]| {
            let key = codec::key(row.trigger.key());
            row.trigger.calendar().is_some_and(|name| format!("{name}\0\0{key}").as_bytes() == entry)
        };
        let rings = |row: &TriggerRow, _: &Names, _: &[u8]| row.alarm().is_some();
        let is_alone = |row: &TriggerRow, _: &Names, _: &[u8]| row.exclusive;
        let all: [(&'static str, &'static str, Belongs<'_>, KeyOf<'_>); 4] = [
            ("nt", "it has another name", &is_name, &whole),
            ("of", "another job knows of it", &of_job, &behind_job),
            ("by", "another calendar knows of it", &of_calendar, &behind_job),
            ("alarms", "a rule is to look at it, and needs not", &rings, &whole),
        ];
        for (zset, fault, belongs, trigger) in all {
            let mends = out_of(zset);
            let entries = Entries { whose: None, fault, mends: &mends, belongs, trigger };
            self.pages(zset, &entries).await?;
        }
        let mends = |entry: &[u8]| vec![(Step::HDel, "alone".to_owned(), vec![entry.to_vec()])];
        let fault = "it is noted to run alone, and does not";
        let entries = Entries { whose: None, fault, mends: &mends, belongs: &is_alone, trigger: &whole };
        let mut cursor = Some("0".to_owned());
        while let Some(at) = cursor {
            let (page, next) = self.scan("alone", &at).await?;
            self.entries(page.into_iter().map(|(key, _)| key.into_bytes()).collect(), &entries).await?;
            cursor = next;
        }
        Ok(())
    }

    async fn job_names(&mut self) -> Result<()> {
        let mut left = crate::script::number(Some(&self.ask("ZCARD", "nj", &[]).await?)).unwrap_or_default();
        while left > 0 {
            let first = left.saturating_sub(PAGE as u64);
            let page = self.list("ZRANGE", "nj", &[&first.to_string(), &(left - 1).to_string()]).await?;
            let words: Vec<&str> = page.iter().map(String::as_str).collect();
            let records = list(Some(self.ask("HMGET", "jobs", &words).await?));
            let gone = page.iter().zip(&records).filter(|(_, record)| bytes(record).is_none());
            let question = |(key, _): (&String, _)| {
                let mends = vec![(Step::ZRem, "nj".to_owned(), vec![text(key)])];
                Question::about("job", "jobs", key, &[]).certain(super::DESTROYED, mends)
            };
            self.settle(gone.map(question).collect()).await?;
            left = first;
        }
        Ok(())
    }

    /// What stands in lanes and queues and does not wait there.
    pub(super) async fn places(&mut self) -> Result<()> {
        let fault = "it stands among what waits, and does not wait there";
        for lane in self.list("ZRANGE", "lanes", &["0", "-1"]).await? {
            let mends = |entry: &[u8]| vec![(Step::Leave, lane.clone(), vec![entry.to_vec()])];
            let waits = |row: &TriggerRow, names: &Names, entry: &[u8]| {
                stand_of(row, names).is_some_and(|stand| stand.lane == lane && stand.member == entry)
            };
            let entries =
                Entries { whose: None, fault, mends: &mends, belongs: &waits, trigger: &behind_rank };
            self.pages(&format!("lane:{lane}"), &entries).await?;
            self.settle(vec![of_lane(&lane)]).await?;
        }
        let (mut jobs, mut cursor) = (BTreeSet::new(), Some("0".to_owned()));
        while let Some(at) = cursor {
            let (page, next) = self.scan("alone", &at).await?;
            jobs.extend(page.into_iter().map(|(_, job)| String::from_utf8_lossy(&job).into_owned()));
            cursor = next;
        }
        jobs.extend(self.list("HKEYS", "busy", &[]).await?);
        for job in jobs {
            for lane in self.list("SMEMBERS", &format!("ql:{job}"), &[]).await? {
                let queue = format!("q:{lane}\u{1}{job}");
                let mends =
                    |entry: &[u8]| vec![(Step::LeaveAlone, lane.clone(), vec![text(&job), entry.to_vec()])];
                let waits = |row: &TriggerRow, names: &Names, entry: &[u8]| {
                    let of_job = row.exclusive && codec::key(row.trigger.job()) == job;
                    of_job
                        && row.place().is_some()
                        && lane_name(&scheduler_core::store::view::Names::lane_of(names, row.lane)) == lane
                        && stand_of(row, names).is_some_and(|stand| stand.member == entry)
                };
                let entries = Entries {
                    whose: Some(("job", job.clone())),
                    fault: "a trigger waits for it that does not",
                    mends: &mends,
                    belongs: &waits,
                    trigger: &behind_rank,
                };
                self.pages(&queue, &entries).await?;
            }
        }
        Ok(())
    }
}
