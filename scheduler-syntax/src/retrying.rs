//! The other parts of a retry policy: kinds of failure and jitter.

use crate::nearest;

/// The kinds of failure that can be retried, as they are written.
pub const FAILURES: [&str; 4] = ["failed", "panicked", "timed_out", "lost"];

/// The kinds of failure in a text such as `failed, timed_out`, in the order of the text.
///
/// ```
/// assert_eq!(scheduler_syntax::parse_failures("failed, timed_out").unwrap(), ["failed", "timed_out"]);
/// ```
///
/// # Errors
///
/// The text names no kind, an unknown kind, or the same kind twice. The error is a sentence.
pub fn parse_failures(text: &str) -> Result<Vec<&'static str>, String> {
    let all = FAILURES.join(", ");
    if text.trim().is_empty() {
        return Err(format!("no kind of failure is named; use one or more of {all}"));
    }
    let mut kinds = Vec::new();
    for word in text.split(',').map(str::trim) {
        let Some(kind) = FAILURES.into_iter().find(|kind| *kind == word) else {
            return Err(unknown(word, &all));
        };
        if kinds.contains(&kind) {
            return Err(format!("`{kind}` is named twice; keep one"));
        }
        kinds.push(kind);
    }
    Ok(kinds)
}

fn unknown(word: &str, all: &str) -> String {
    let meant = match word.to_lowercase().as_str() {
        "" => return format!("a comma has no kind of failure beside it; use one or more of {all}"),
        "all" | "any" | "*" => {
            return format!("`{word}` is no kind of failure; leave `on` out for all kinds");
        }
        "error" | "errors" | "err" | "failure" => Some("failed"),
        "panic" | "panics" => Some("panicked"),
        "timeout" | "timeouts" | "timed out" | "timedout" => Some("timed_out"),
        "crash" | "crashed" | "died" | "loss" => Some("lost"),
        _ => nearest(word, FAILURES),
    };
    match meant {
        Some(near) => format!("`{word}` is no kind of failure; did you mean `{near}`?"),
        None => format!("`{word}` is no kind of failure; use one or more of {all}"),
    }
}

/// The percentage of a jitter, which is written as a number from 0 to 1.
///
/// ```
/// assert_eq!(scheduler_syntax::jitter_percent(0.3), Ok(30));
/// ```
///
/// # Errors
///
/// The number is below 0, above 1, or not a number. The error is a sentence.
pub fn jitter_percent(jitter: f64) -> Result<u8, String> {
    if !(0.0..=1.0).contains(&jitter) {
        return Err(format!(
            "a jitter of {jitter} is not between 0 and 1; write 0.2 for a fifth of the delay"
        ));
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked")]
    Ok((jitter * 100.0).round() as u8)
}
