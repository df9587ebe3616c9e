//! Questions to the server: does everything exist that follows from a record?

use scheduler_core::Result;

use super::Audit;
use crate::commit::{Ops, Step, Words, operation, text};

/// A fault, how it shows, and how it is mended.
pub(super) struct Check {
    /// The name of the check in the script, its key and its words; nothing for what is a fault in any case.
    pub(super) test: Option<(&'static str, String, Words)>,
    pub(super) fault: String,
    pub(super) mends: Vec<(Step, String, Words)>,
}

/// All about one record, as long as it is this one.
pub(super) struct Question {
    pub(super) kind: &'static str,
    pub(super) key: String,
    /// The check of the script that holds as long as it is this one; nothing for what has none.
    pub(super) guard: Option<(&'static str, String, Words)>,
    pub(super) checks: Vec<Check>,
}

impl Question {
    /// About the record of this hash, with its bytes; without bytes it must not be there.
    pub(super) fn about(kind: &'static str, hash: &str, key: &str, record: &[u8]) -> Self {
        // A value that is shorter than a version counts as absent.
        let version = record.get(..8).unwrap_or_default().to_vec();
        let guard = Some(("is", hash.to_owned(), vec![text(key), version]));
        Self { kind, key: key.to_owned(), guard, checks: Vec::new() }
    }

    pub(super) fn certain(mut self, fault: &str, mends: Vec<(Step, String, Words)>) -> Self {
        self.checks.push(Check { test: None, fault: fault.to_owned(), mends });
        self
    }

    pub(super) fn test(
        &mut self,
        test: (&'static str, String, Words),
        fault: &str,
        mends: Vec<(Step, String, Words)>,
    ) {
        self.checks.push(Check { test: Some(test), fault: fault.to_owned(), mends });
    }
}

impl Audit<'_> {
    /// Asks all at once, and mends what is found.
    pub(super) async fn settle(&mut self, questions: Vec<Question>) -> Result<()> {
        let (mut body, mut count, mut numbers) = (Words::new(), 0, Vec::new());
        for question in &questions {
            let guard = question.guard.as_ref().map(|(name, key, words)| {
                body.extend(operation(name, key, words));
                count += 1;
                count
            });
            let mut of_checks = Vec::new();
            for check in &question.checks {
                of_checks.push(check.test.as_ref().map(|(name, key, words)| {
                    body.extend(operation(name, key, words));
                    count += 1;
                    count
                }));
            }
            numbers.push((guard, of_checks));
        }
        let wrong = self.shared.commit_plain("audit", body).await?;
        let is_wrong = |number: &u64| wrong.contains(number);
        for (question, (guard, of_checks)) in questions.into_iter().zip(numbers) {
            if guard.as_ref().is_some_and(is_wrong) {
                // It has changed meanwhile.
                continue;
            }
            let Question { kind, key, guard, checks } = question;
            let mut ops = Ops::default();
            let mut is_mended = false;
            for (check, number) in checks.into_iter().zip(of_checks) {
                if number.as_ref().is_some_and(|number| !is_wrong(number)) {
                    continue;
                }
                if self.mends(kind, &key, &check.fault) {
                    is_mended = true;
                    check.mends.into_iter().for_each(|(step, key, words)| ops.add(step, key, words));
                }
            }
            if is_mended {
                ops.add(Step::Wake, "", []);
                let guard = guard.map(|(name, key, words)| operation(name, &key, &words));
                let mut body = guard.unwrap_or_default();
                body.extend(ops.words());
                self.shared.commit_plain("audit", body).await?;
            }
        }
        Ok(())
    }
}
