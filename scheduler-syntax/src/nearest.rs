//! "Did you mean": the candidate that is nearest to a mistyped word.

/// The candidate with the fewest differing letters, if no more than a third of the word's letters differ (at least
/// one may). Upper and lower case count as the same.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let most = (word.chars().count() / 3).max(1);
    let wanted = word.to_lowercase();
    let rated = candidates.into_iter().map(|candidate| (distance(&wanted, &candidate.to_lowercase()), candidate));
    rated.filter(|(edits, _)| *edits <= most).min_by_key(|(edits, _)| *edits).map(|(_, candidate)| candidate)
}

/// How many letters must be inserted, deleted or replaced (Levenshtein), one row of the table at a time.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_nearest_and_nothing_far() {
        let options = ["cron", "every", "timeout", "time_zone"];
        assert_eq!(nearest("tiemout", options), Some("timeout"));
        assert_eq!(nearest("timezone", options), Some("time_zone"));
        assert_eq!(nearest("CRON", options), Some("cron"));
        assert_eq!(nearest("priority", options), None);
    }
}
