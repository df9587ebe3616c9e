//! Rates: how many attempts may begin in a time.

use std::fmt::Write;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Up to so many, the times of all attempts of a window are kept.
const EXACT: u32 = 32;

/// Of more, a window is counted in so many parts.
const PARTS: i64 = 20;

/// How fast attempts may begin: the window of a rate, and whether they are spread over it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pace {
    /// In milliseconds.
    pub window: u32,
    /// Attempts are spread evenly, and so many may begin at once; 0 for as many as allowed, as soon as allowed.
    pub burst: u32,
}

impl Pace {
    /// A window in milliseconds, and how many may begin at once if attempts are spread evenly.
    pub const fn new(window: u32, burst: u32) -> Self {
        Self { window, burst }
    }

    pub(crate) fn of(window: Duration, burst: u32) -> Self {
        Self { window: u32::try_from(window.as_millis()).unwrap_or(u32::MAX), burst }
    }

    const fn is_smooth(self) -> bool {
        self.burst > 0
    }
}

/// The attempts that have begun at a rate, as far as they still count. Times are milliseconds since 1970.
///
/// The promise: in no window do more attempts begin than the rate allows, by the times at which the store was asked. A clock that goes back is
/// read as the newest time seen.
///
/// Of up to 32 attempts in a window, all times are kept, so the rate is exact. Of more, attempts are counted in parts of a twentieth of the
/// window, and each counts until a whole window after the end of its part: an upper bound, and at worst a twentieth below the
/// rate. A smooth rate is one number, the time from which nothing is used any more.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RateState {
    /// The newest time at which somebody asked.
    seen: i64,
    /// Since when nothing is used any more, in microseconds, of a smooth rate.
    smooth: Option<i64>,
    /// When attempts began, or the ends of the parts in which they began, and how many.
    begun: Vec<(i64, u32)>,
}

/// The end of the part in which a time lies; the time itself where all times are kept.
fn end_of_part(max: u32, pace: Pace, time: i64) -> i64 {
    let part = (i64::from(pace.window) + PARTS - 1) / PARTS;
    if max <= EXACT { time } else { time.div_euclid(part) * part + part }
}

/// The microseconds between two attempts at a smooth rate.
fn interval(max: u32, pace: Pace) -> i64 {
    let spread = i64::from(max.saturating_sub(pace.burst)) + 1;
    (i64::from(pace.window) * 1000 + spread - 1) / spread
}

impl RateState {
    /// As it is at this time.
    fn at(mut self, max: u32, pace: Pace, now: i64) -> Self {
        let was_seen = self.seen;
        self.seen = was_seen.max(now);
        if pace.is_smooth() {
            // At another kind of rate before: all of it counts as used.
            let all = self.begun.last().map(|_| (was_seen + i64::from(pace.window)) * 1000);
            self.smooth = Some(self.smooth.or(all).unwrap_or_default().max(self.seen * 1000));
            self.begun.clear();
        } else {
            if self.smooth.take().is_some() {
                self.begun = vec![(was_seen, max)];
            }
            self.begun.retain(|(time, _)| time + i64::from(pace.window) > self.seen);
        }
        self
    }

    /// How many attempts may begin at this time.
    pub fn left(&self, max: u32, pace: Pace, now: i64) -> u32 {
        let state = self.clone().at(max, pace, now);
        let left = match state.smooth {
            Some(used) => {
                let interval = interval(max, pace);
                (state.seen * 1000 + i64::from(pace.burst) * interval - used) / interval
            }
            None => i64::from(max) - state.begun.iter().map(|(_, many)| i64::from(*many)).sum::<i64>(),
        };
        u32::try_from(left.max(0)).unwrap_or(u32::MAX)
    }

    /// Begins an attempt that costs so much, and answers the state after that.
    ///
    /// # Errors
    ///
    /// When it may begin.
    pub fn take(&self, max: u32, pace: Pace, now: i64, cost: u32) -> Result<Self, i64> {
        let mut state = self.clone().at(max, pace, now);
        let (now, cost_64) = (state.seen, i64::from(cost));
        if let Some(used) = &mut state.smooth {
            let interval = interval(max, pace);
            let after = *used + cost_64 * interval;
            let opens = after - i64::from(pace.burst) * interval;
            if opens > now * 1000 {
                return Err((opens + 999).div_euclid(1000));
            }
            *used = after;
            return Ok(state);
        }
        let total: i64 = state.begun.iter().map(|(_, many)| i64::from(*many)).sum();
        let mut too_many = total + cost_64 - i64::from(max);
        if too_many > 0 {
            for (time, many) in &state.begun {
                too_many -= i64::from(*many);
                if too_many <= 0 {
                    return Err(time + i64::from(pace.window));
                }
            }
            return Err(i64::MAX);
        }
        let time = end_of_part(max, pace, now);
        match state.begun.last_mut() {
            Some((last, many)) if *last == time => *many += cost,
            _ => state.begun.push((time, cost)),
        }
        Ok(state)
    }

    /// An attempt that was to begin at this time has not begun.
    #[must_use]
    pub fn give_back(mut self, max: u32, pace: Pace, since: i64, cost: u32) -> Self {
        if since + i64::from(pace.window) <= self.seen {
            // It does not count any more.
            return self;
        }
        if let Some(used) = &mut self.smooth {
            *used -= i64::from(cost) * interval(max, pace);
            return self;
        }
        let time = end_of_part(max, pace, since);
        // A clock that had gone back was read as a later time, and clocks of nodes differ a little.
        let found = self.begun.iter().position(|(known, _)| *known >= time);
        let found = found.or_else(|| self.begun.len().checked_sub(1));
        if let Some((_, many)) = found.and_then(|place| self.begun.get_mut(place)) {
            *many = many.saturating_sub(cost);
        }
        self.begun.retain(|(_, many)| *many > 0);
        self
    }

    /// When nothing is left to be known: the state is as if there had never been an attempt.
    pub fn idle_at(&self, pace: Pace) -> i64 {
        let begun = self.begun.last().map_or(i64::MIN, |(time, _)| time + i64::from(pace.window));
        self.smooth.map_or(begun, |used| (used + 999).div_euclid(1000))
    }

    /// For a store: as text.
    pub fn text(&self) -> String {
        let mut text = self.seen.to_string();
        if let Some(used) = self.smooth {
            write!(text, " ~{used}").unwrap_or_default();
        }
        for (time, many) in &self.begun {
            write!(text, " {time}x{many}").unwrap_or_default();
        }
        text
    }

    /// For a store: from a [text](Self::text); what cannot be read counts as nothing.
    pub fn read(text: &str) -> Self {
        let mut words = text.split(' ');
        let seen = words.next().and_then(|seen| seen.parse().ok()).unwrap_or_default();
        let mut state = Self { seen, ..Self::default() };
        for word in words {
            if let Some(used) = word.strip_prefix('~') {
                state.smooth = used.parse().ok();
            } else if let Some((time, many)) = word.split_once('x') {
                state.begun.extend(time.parse().ok().zip(many.parse().ok()));
            }
        }
        state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(seed: &mut u64, most: u64) -> u64 {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*seed >> 33) % most
    }

    /// Asks at random times, some of them earlier than before, and whenever the rate says; answers when attempts began, and what they cost.
    fn begun(max: u32, pace: Pace, most_cost: u32, seed: u64) -> Vec<(i64, u32)> {
        let (mut state, mut begun, mut seed) = (RateState::default(), Vec::new(), seed);
        let mut clock = 1_000_000_i64;
        for _ in 0..600 {
            let back = random(&mut seed, 10) == 0;
            let step = random(&mut seed, u64::from(2 * pace.window / max).max(2)) as i64;
            clock += if back { -(pace.window as i64) } else { step };
            let cost = 1 + random(&mut seed, most_cost.into()) as u32;
            match state.take(max, pace, clock, cost) {
                Ok(after) => {
                    assert_eq!(RateState::read(&after.text()), after);
                    begun.push((after.seen, cost));
                    state = after;
                }
                Err(opens) => {
                    assert!(opens > state.seen.max(clock), "it is not open");
                    assert!(state.take(max, pace, opens, cost).is_ok(), "it opens when it says");
                    assert!(state.take(max, pace, opens - 1, cost).is_err(), "and not before");
                    clock = if random(&mut seed, 2) == 0 { opens } else { clock };
                }
            }
        }
        begun
    }

    fn most_in_a_window(begun: &[(i64, u32)], window: i64) -> u32 {
        let of = |from: i64| begun.iter().filter(move |(time, _)| (from..from + window).contains(time));
        begun.iter().map(|(from, _)| of(*from).map(|(_, cost)| cost).sum()).max().unwrap_or_default()
    }

    #[test]
    fn in_no_window_do_more_begin_than_the_rate_allows() {
        for (max, window, burst) in [
            (1, 1000, 0),
            (5, 1000, 0),
            (32, 700, 0),
            (33, 999, 0),
            (100, 60_000, 0),
            (10, 1000, 1),
            (10, 1000, 4),
            (7, 333, 7),
            (90, 7, 0),
        ] {
            for seed in 0..20 {
                let pace = Pace::new(window, burst);
                let most_cost = if burst == 0 { max.min(3) } else { burst.min(3) };
                let begun = begun(max, pace, most_cost, seed);
                let most = most_in_a_window(&begun, window.into());
                assert!(most <= max, "{most} of {max} in {window} ms with burst {burst}, seed {seed}");
                let least = if max > EXACT { max - max / 10 - 3 } else { max.saturating_sub(3) };
                assert!(burst > 0 || most >= least, "{most} of {max}: it is not used up");
            }
        }
    }

    #[test]
    fn a_smooth_rate_spreads_attempts() {
        let (pace, mut state, mut times) = (Pace::new(1000, 1), RateState::default(), Vec::new());
        let mut now = 0;
        for _ in 0..5 {
            state = state.take(10, pace, now, 1).unwrap();
            times.push(now);
            now = state.take(10, pace, now, 1).unwrap_err();
        }
        assert_eq!(times, [0, 100, 200, 300, 400]);
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        for pace in [Pace::new(1000, 0), Pace::new(1000, 2)] {
            let first = RateState::default().take(2, pace, 5, 2).unwrap();
            assert_eq!(first.left(2, pace, 5), 0);
            let back = first.give_back(2, pace, 5, 1);
            assert_eq!(back.left(2, pace, 5), 1, "{back:?}");
            assert!(back.take(2, pace, 5, 1).is_ok());
        }
    }

    #[test]
    fn another_kind_of_rate_counts_all_as_used() {
        let (plain, smooth) = (Pace::new(1000, 0), Pace::new(1000, 1));
        let state = RateState::default().take(4, plain, 0, 1).unwrap();
        assert_eq!(state.take(4, smooth, 10, 1), Err(1000));
        let state = RateState::default().take(4, smooth, 0, 1).unwrap();
        assert_eq!(state.take(4, plain, 10, 1), Err(1000));
    }
}
