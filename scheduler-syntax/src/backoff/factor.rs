//! The factor by which an exponential backoff grows.

use std::fmt;

const ONE: u32 = 1_000;
const LARGEST: u32 = 100 * ONE;

/// By how much each delay of an exponential backoff is longer than the one before: a number from 1 to 100 with at most three
/// decimals. By default 2.
///
/// A factor is kept as a whole number of thousandths, so that two factors are equal or not, and every node computes the same
/// delays.
///
/// ```
/// use scheduler_syntax::Factor;
///
/// assert_eq!(Factor::new(1.5).unwrap().thousandths(), 1_500);
/// assert_eq!(Factor::new(0.5), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Factor(u32);

impl Default for Factor {
    fn default() -> Self {
        Self(2 * ONE)
    }
}

impl Factor {
    /// The factor of this value; none if the value is less than 1, more than 100, or has more than three decimals.
    pub fn new(factor: f64) -> Option<Self> {
        let thousandths = factor * f64::from(ONE);
        let whole = thousandths.round();
        let is_exact = (thousandths - whole).abs() < 1e-6;
        let is_in_range = (f64::from(ONE)..=f64::from(LARGEST)).contains(&whole);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked")]
        (is_exact && is_in_range).then_some(Self(whole as u32))
    }

    /// The factor in thousandths: 2000 for a factor of 2.
    pub fn thousandths(self) -> u32 {
        self.0
    }

    /// The factor as a number.
    pub fn value(self) -> f64 {
        f64::from(self.0) / f64::from(ONE)
    }

    /// The factor of a text, or what is wrong with it.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        const WAY: &str = "write a number from 1 to 100, such as `1.5`";
        if text.is_empty() {
            return Err(format!("the factor is empty; {WAY}"));
        }
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
        let are_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !are_digits(whole) || !are_digits(decimals) {
            return Err(format!("the factor `{text}` is no number; {WAY}"));
        }
        if decimals.len() > 3 {
            return Err(format!("the factor `{text}` has more than three decimals; leave out the others"));
        }
        let range = || format!("the factor `{text}` is not between 1 and 100; {WAY}");
        let whole = whole.parse::<u32>().ok().filter(|whole| *whole <= LARGEST / ONE).ok_or_else(range)?;
        let thousandths = whole * ONE + format!("{decimals:0<3}").parse::<u32>().unwrap_or_default();
        Some(Self(thousandths)).filter(|factor| (ONE..=LARGEST).contains(&factor.0)).ok_or_else(range)
    }
}

impl fmt::Display for Factor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, decimals) = (self.0 / ONE, format!("{:03}", self.0 % ONE));
        match decimals.trim_end_matches('0') {
            "" => write!(f, "{whole}"),
            decimals => write!(f, "{whole}.{decimals}"),
        }
    }
}
