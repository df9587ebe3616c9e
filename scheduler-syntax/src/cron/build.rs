//! Everyday expressions without writing one.

use chrono::Weekday;

use super::error::CronError;
use super::expr::CronExpr;
use super::field::WEEKDAYS;

impl CronExpr {
    /// Every day at this hour and minute.
    ///
    /// ```
    /// use scheduler_syntax::cron::CronExpr;
    ///
    /// assert_eq!(CronExpr::daily_at(2, 30)?.as_str(), "0 30 2 * * ?");
    /// # Ok::<(), scheduler_syntax::cron::CronError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// A number is out of range; the error shows it at its column in the text that was built.
    pub fn daily_at(hour: u32, minute: u32) -> Result<Self, CronError> {
        Self::parse(&format!("0 {minute} {hour} * * ?"))
    }

    /// On these days of the week at this hour and minute.
    ///
    /// # Errors
    ///
    /// A number is out of range, or no day is given.
    pub fn weekly_on(days: &[Weekday], hour: u32, minute: u32) -> Result<Self, CronError> {
        let names: Vec<_> = days.iter().map(|day| WEEKDAYS[day.num_days_from_sunday() as usize]).collect();
        Self::parse(&format!("0 {minute} {hour} ? * {}", names.join(",")))
    }

    /// On this day of every month at this hour and minute. Months without the day are left out.
    ///
    /// # Errors
    ///
    /// A number is out of range.
    pub fn monthly_on(day: u32, hour: u32, minute: u32) -> Result<Self, CronError> {
        Self::parse(&format!("0 {minute} {hour} {day} * ?"))
    }
}
