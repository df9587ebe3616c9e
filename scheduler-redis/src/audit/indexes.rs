//! Indexes that name what is not there.

use std::collections::BTreeSet;

use scheduler_core::Result;
use scheduler_core::run::RunEnd;
use scheduler_core::store::rows::{RunRow, Standing};

use super::named::{Named, Row};
use super::question::Question;
use super::records::of_lane;
use super::{Audit, PAGE};
use crate::codec;
use crate::commit::{Step, Words, text};
use crate::commit_runs::{ended, later_in};
use crate::lengths::waiting_in;
use crate::names::Names;
use crate::script::{bytes, list};

type Belongs<'a> = &'a (dyn Fn(&Row, &Names, &[u8]) -> bool + Sync);
type Mends<'a> = &'a (dyn Fn(&[u8]) -> Vec<(Step, String, Words)> + Sync);
type NameOf<'a> = &'a (dyn Fn(&[u8]) -> Option<String> + Sync);

/// The parts of an index that are looked at.
struct Entries<'a> {
    /// Kind and key of what is at fault, if that is not what the entry names.
    whose: Option<(&'static str, String)>,
    fault: &'static str,
    mends: Mends<'a>,
    belongs: Belongs<'a>,
    /// The name in an entry.
    name: NameOf<'a>,
}

fn behind_job(entry: &[u8]) -> Option<String> {
    let entry = std::str::from_utf8(entry).ok()?;
    entry.split_once("\0\0").map(|(_, trigger)| trigger.to_owned())
}

fn behind_tag(entry: &[u8]) -> Option<String> {
    let entry = std::str::from_utf8(entry).ok()?;
    entry.rsplit_once("\0\0").map(|(_, run)| run.to_owned())
}

fn whole(entry: &[u8]) -> Option<String> {
    std::str::from_utf8(entry).ok().map(str::to_owned)
}

fn who_rings(entry: &[u8]) -> Option<String> {
    let entry = whole(entry)?;
    Some(codec::read_ring(&entry).map_or(entry, codec::run))
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
            let page = list(Some(page));
            // Among the alarms are those of gates.
            let entries_of = page.iter().filter_map(bytes).filter(|entry| entry.first() != Some(&255));
            let page = entries_of.map(<[u8]>::to_vec).collect();
            self.entries(page, entries).await?;
            left = first;
        }
        Ok(())
    }

    async fn entries(&mut self, page: Vec<Vec<u8>>, of: &Entries<'_>) -> Result<()> {
        let named = |entry: Vec<u8>| ((of.name)(&entry).unwrap_or_default(), entry);
        let (runs, triggers): (Vec<_>, Vec<_>) =
            page.into_iter().map(named).partition(|(name, _)| Named::by(name) == Named::Run);
        self.entries_of(Named::Trigger, &triggers, of).await?;
        self.entries_of(Named::Run, &runs, of).await
    }

    /// Names, with the entries that have them.
    async fn entries_of(&mut self, named: Named, page: &[(String, Vec<u8>)], of: &Entries<'_>) -> Result<()> {
        if page.is_empty() {
            return Ok(());
        }
        let words: Vec<&str> = page.iter().map(|(name, _)| name.as_str()).collect();
        let records = list(Some(self.ask("HMGET", named.hash(), &words).await?));
        let mut questions = Vec::new();
        for ((name, entry), record) in page.iter().zip(&records) {
            let whole = bytes(record);
            let (mut view, row) = self.read(named, name, whole);
            let names = &*view.names();
            if row.as_ref().is_some_and(|row| (of.belongs)(row, names, entry)) {
                continue;
            }
            let mut question = Question::about(named.kind(), named.hash(), name, whole.unwrap_or_default());
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
            |row: &Row, _: &Names, entry: &[u8]| row.trigger().is_some() && row.name().as_bytes() == entry;
        let of_job = |row: &Row, _: &Names, entry: &[u8]| {
            row.trigger().is_some() && format!("{}\0\0{}", row.job(), row.name()).as_bytes() == entry
        };
        let of_calendar = |row: &Row, _: &Names, entry: &[u8]| {
            let calendar = row.trigger().and_then(|row| row.trigger.calendar());
            calendar.is_some_and(|name| format!("{name}\0\0{}", row.name()).as_bytes() == entry)
        };
        let is_batch = |row: &Row| row.run().is_some_and(RunRow::is_batch);
        let rings = |row: &Row, _: &Names, entry: &[u8]| match entry.first() {
            Some(b'b') if is_batch(row) => true,
            _ => row.alarm().is_some(),
        };
        let is_alone = |row: &Row, _: &Names, _: &[u8]| row.is_exclusive();
        let is_tagged =
            |row: &Row, _: &Names, entry: &[u8]| row.tags().iter().any(|tag| tag.as_bytes() == entry);
        let all: [(&'static str, &'static str, Belongs<'_>, NameOf<'_>); 5] = [
            ("nt", "it has another name", &is_name, &whole),
            ("of", "another job knows of it", &of_job, &behind_job),
            ("by", "another calendar knows of it", &of_calendar, &behind_job),
            ("tags", "it is found by what it has not", &is_tagged, &behind_tag),
            ("alarms", "a rule is to look at it, and needs not", &rings, &who_rings),
        ];
        for (zset, fault, belongs, name) in all {
            let mends = out_of(zset);
            let entries = Entries { whose: None, fault, mends: &mends, belongs, name };
            self.pages(zset, &entries).await?;
        }
        for end in RunEnd::ALL {
            let zset = ended(end);
            let has_ended =
                |row: &Row, _: &Names, _: &[u8]| row.rank().is_some_and(|(known, _)| known == end);
            let mends = |entry: &[u8]| vec![(Step::ZRem, zset.clone(), vec![entry.to_vec()])];
            let fault = "it is listed as ended, and is not, or has ended otherwise";
            let entries = Entries { whose: None, fault, mends: &mends, belongs: &has_ended, name: &whole };
            self.pages(&zset, &entries).await?;
        }
        self.lengths().await?;
        let mends = |entry: &[u8]| vec![(Step::HDel, "alone".to_owned(), vec![entry.to_vec()])];
        let fault = "it is noted to run alone, and does not";
        let entries = Entries { whose: None, fault, mends: &mends, belongs: &is_alone, name: &whole };
        let mut cursor = Some("0".to_owned());
        while let Some(at) = cursor {
            let (page, next) = self.scan("alone", &at).await?;
            self.entries(page.into_iter().map(|(key, _)| key.into_bytes()).collect(), &entries).await?;
            cursor = next;
        }
        Ok(())
    }

    /// What counts for the length of a queue and does not wait there.
    async fn lengths(&mut self) -> Result<()> {
        let mends = |entry: &[u8]| vec![(Step::HDel, "later".to_owned(), vec![entry.to_vec()])];
        let is_later = |row: &Row, _: &Names, _: &[u8]| row.run().is_some_and(|run| later_in(run).is_some());
        let fault = "it is noted to wait until it is due, and does not";
        let entries = Entries { whose: None, fault, mends: &mends, belongs: &is_later, name: &whole };
        let later = self.list("HKEYS", "later", &[]).await?;
        for page in later.chunks(PAGE) {
            self.entries(page.iter().map(|name| name.clone().into_bytes()).collect(), &entries).await?;
        }
        let mark = crate::script::word(Some(&self.ask("GET", "measured", &[]).await?));
        for queue in self.list("SMEMBERS", "lengths", &[]).await? {
            let mends = |entry: &[u8]| vec![(Step::SRem, waiting_in(&queue), vec![entry.to_vec()])];
            let waits = |row: &Row, _: &Names, _: &[u8]| {
                row.run().is_some_and(|run| {
                    let is_here = run.queue.as_ref().is_some_and(|of| codec::queue(of) == queue);
                    is_here && run.standing == Standing::Waiting
                })
            };
            let fault = "the length of a queue counts it, and it does not wait there";
            let entries = Entries { whose: None, fault, mends: &mends, belongs: &waits, name: &whole };
            let mut names = self.list("SMEMBERS", &waiting_in(&queue), &[]).await?;
            names.retain(|name| *name != mark);
            for page in names.chunks(PAGE) {
                self.entries(page.iter().map(|name| name.clone().into_bytes()).collect(), &entries).await?;
            }
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

    /// What stands in lanes and waiting lists and does not wait there.
    pub(super) async fn places(&mut self) -> Result<()> {
        let fault = "it stands among what waits, and does not wait there";
        for lane in self.list("ZRANGE", "lanes", &["0", "-1"]).await? {
            let mends = |entry: &[u8]| vec![(Step::Leave, lane.clone(), vec![entry.to_vec()])];
            let waits = |row: &Row, names: &Names, entry: &[u8]| {
                row.stand(names).is_some_and(|stand| stand.lane == lane && stand.member == entry)
            };
            let entries = Entries { whose: None, fault, mends: &mends, belongs: &waits, name: &behind_rank };
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
                let list = format!("q:{lane}\u{1}{job}");
                let mends =
                    |entry: &[u8]| vec![(Step::LeaveAlone, lane.clone(), vec![text(&job), entry.to_vec()])];
                let waits = |row: &Row, names: &Names, entry: &[u8]| {
                    row.stand(names).is_some_and(|stand| {
                        let is_here = stand.lane == lane && stand.member == entry;
                        is_here && stand.alone.as_ref() == Some(&job)
                    })
                };
                let entries = Entries {
                    whose: Some(("job", job.clone())),
                    fault: "something is in its waiting list that does not wait for it",
                    mends: &mends,
                    belongs: &waits,
                    name: &behind_rank,
                };
                self.pages(&list, &entries).await?;
            }
        }
        Ok(())
    }
}
