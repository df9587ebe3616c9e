//! The set of years.

use super::field::Field;
use crate::bits::{highest, lowest};

/// The years that an expression may name.
pub(super) const FIRST_YEAR: i32 = Field::Year.first() as i32;
pub(super) const LAST_YEAR: i32 = Field::Year.last() as i32;

/// Some of the years from 1970 to 2199, one bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Years([u64; 4]);

impl Years {
    /// No wish: every year.
    pub(super) const ALL: Self = Self([u64::MAX; 4]);
    pub(super) const NONE: Self = Self([0; 4]);

    /// Adds a year of the field's range.
    pub(super) fn insert(&mut self, year: u16) {
        let index = usize::from(year) - FIRST_YEAR as usize;
        self.0[index / 64] |= 1 << (index % 64);
    }

    /// The first year of the set that is not before `year`.
    pub(super) fn at_or_after(&self, year: i32) -> Option<i32> {
        let from = (year.max(FIRST_YEAR) - FIRST_YEAR) as usize;
        let found = (from / 64..4).find_map(|word| {
            let least = if word == from / 64 { from % 64 } else { 0 };
            lowest(self.0[word], least as u32).map(|bit| word as i32 * 64 + bit as i32)
        })?;
        Some(FIRST_YEAR + found).filter(|year| *year <= LAST_YEAR)
    }

    /// The last year of the set that is not after `year`.
    pub(super) fn at_or_before(&self, year: i32) -> Option<i32> {
        let from = usize::try_from(year.min(LAST_YEAR) - FIRST_YEAR).ok()?;
        let found = (0..=from / 64).rev().find_map(|word| {
            let most = if word == from / 64 { from % 64 } else { 63 };
            highest(self.0[word], most as u32).map(|bit| word as i32 * 64 + bit as i32)
        })?;
        Some(FIRST_YEAR + found)
    }

    /// All years of the set, in order.
    pub(super) fn iter(self) -> impl Iterator<Item = i32> {
        std::iter::successors(self.at_or_after(FIRST_YEAR), move |year| self.at_or_after(year + 1))
    }
}
