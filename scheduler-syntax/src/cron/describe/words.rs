//! Lists, runs, steps and ordinals in words.

/// `every 5 minutes`, `at minute 10, 20 to 25 and 40`: values of a unit of which the next larger one has `size`. The
/// larger one is named where the values come in all of it.
pub(super) fn every(values: &[u32], size: u32, unit: &str, of_every: Option<&str>) -> String {
    let (first, last) = (values[0], values[values.len() - 1]);
    match step_of(values) {
        Some(1) if values.len() as u32 == size => format!("every {unit}"),
        Some(step) if first == 0 && last + step == size => {
            format!("every {step} {unit}s")
        }
        Some(step) if step > 1 && values.len() > 2 => {
            format!("every {step} {unit}s from {unit} {first} to {last}")
        }
        _ => {
            let at = format!("at {unit} {}", in_runs(values, |value| value.to_string()));
            of_every.map_or(at.clone(), |larger| format!("{at} of every {larger}"))
        }
    }
}

/// The distance between neighbours, if it is the same for all.
pub(super) fn step_of(values: &[u32]) -> Option<u32> {
    let step = values.get(1)? - values[0];
    values.windows(2).all(|pair| pair[1] - pair[0] == step).then_some(step)
}

/// The values by their names in one list.
pub(super) fn in_runs(values: &[u32], name: impl Fn(u32) -> String) -> String {
    listed(&runs(values, name))
}

/// The values by their names, with `May to July` for three and more in a row.
pub(super) fn runs(values: &[u32], name: impl Fn(u32) -> String) -> Vec<String> {
    let mut items = Vec::new();
    for run in values.chunk_by(|before, after| before + 1 == *after) {
        match run {
            [first, _, .., last] => items.push(format!("{} to {}", name(*first), name(*last))),
            few => items.extend(few.iter().map(|value| name(*value))),
        }
    }
    items
}

/// `a`, `a and b`, `a, b and c`.
pub(super) fn listed(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// `the last day`, `the day before the last`, `the 3rd day before the last`.
pub(super) fn before_last(what: &str, n: u32) -> String {
    match n {
        0 => format!("the last {what}"),
        1 => format!("the {what} before the last"),
        n => format!("the {} {what} before the last", ordinal(n)),
    }
}

/// `1st`, `2nd`, `13th`.
pub(super) fn ordinal(n: u32) -> String {
    let ending = match (n % 10, n % 100) {
        (1, not) if not != 11 => "st",
        (2, not) if not != 12 => "nd",
        (3, not) if not != 13 => "rd",
        _ => "th",
    };
    format!("{n}{ending}")
}
