//! "Did you mean": the candidate that is nearest to a mistyped word.

/// The candidate with the fewest differing letters, if no more than a third of the word's letters differ (at least
/// one may). Upper and lower case count as the same, and of equals the first one wins. The
/// opposite of a word, such as `disallow` for `allow`, is never its candidate.
///
/// ```
/// let options = ["cron", "every", "timeout"];
/// assert_eq!(scheduler_syntax::nearest("tiemout", options), Some("timeout"));
/// assert_eq!(scheduler_syntax::nearest("priority", options), None);
/// ```
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    nearest_within(word, (word.chars().count() / 3).max(1), candidates)
}

/// The same with a bound of its own. Words whose lengths alone differ by more are not compared: that keeps a search
/// among hundreds of names short.
pub(crate) fn nearest_within<'a>(
    word: &str,
    most: usize,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let wanted = word.to_lowercase();
    let length = word.chars().count();
    let near = candidates.into_iter().filter(|candidate| candidate.chars().count().abs_diff(length) <= most);
    let rated = near.map(|candidate| (distance(&wanted, &candidate.to_lowercase()), candidate));
    let near = rated.filter(|(edits, _)| *edits <= most);
    near.filter(|(_, candidate)| !is_opposite(&wanted, &candidate.to_lowercase()))
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// Whether one of the words is nearer to the other without a prefix that turns its meaning into the opposite:
/// `disallow_concurrent` is no hint for `alow_concurrent`.
fn is_opposite(word: &str, candidate: &str) -> bool {
    let nearer = |from: &str, to: &str| distance(from, to) < distance(word, candidate);
    ["dis", "un", "non", "not_", "no_"].into_iter().any(|negation| {
        candidate.strip_prefix(negation).is_some_and(|rest| nearer(word, rest))
            || word.strip_prefix(negation).is_some_and(|rest| nearer(rest, candidate))
    })
}

/// How many letters must be inserted, deleted, replaced or swapped with their neighbour, one row of the table at a
/// time (optimal string alignment).
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut before = Vec::new();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, b) in to.iter().enumerate() {
            let mut edits = (row[j] + usize::from(a != b)).min(row[j + 1] + 1).min(next[j] + 1);
            if i > 0 && j > 0 && *a == to[j - 1] && from[i - 1] == *b {
                edits = edits.min(before[j - 1] + 1);
            }
            next.push(edits);
        }
        before = std::mem::replace(&mut row, next);
    }
    row[to.len()]
}
