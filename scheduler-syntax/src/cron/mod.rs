//! Cron expressions in the dialect of Quartz.
//!
//! Six or seven fields: second, minute, hour, day of month, month, day of week (1 = Sunday) and an optional year.
//!
//! | written | means | where |
//! |---|---|---|
//! | `*` | every value | everywhere |
//! | `?` | no wish | exactly one of the two day fields |
//! | `a`, `a,b`, `a-b` | a value, several, a range, which may wrap around (`22-2`, `FRI-MON`) but for years | everywhere |
//! | `*/n`, `/n`, `a/n`, `a-b/n` | every n-th value of all, from `a` on, of the range | everywhere |
//! | `JAN`–`DEC`, `SUN`–`SAT` | names, in any case | month, day of week |
//! | `L`, `L-n` | the last day of the month, n days before it | day of month |
//! | `LW`, `L-nW`, `nW` | the weekday (Monday to Friday) nearest to that day, within its month | day of month |
//! | `nL`, `L` | the last such day of the month; `L` alone is Saturday | day of week |
//! | `n#k` | the k-th such day of the month; months without one are left out | day of week |
//! | `H`, `H(a-b)`, `H/n` | a value of the trigger's own, the same every time | all but year |
//!
//! Years are 1970 to 2199. The macros `@hourly`, `@daily`, `@midnight`, `@weekly`, `@monthly`, `@yearly` and
//! `@annually` stand for what they say. `@unix` before five fields reads them as a crontab does; without it five
//! fields are refused, because nobody can know which of the two is meant. `@both` before six or seven fields fires on days
//! that match both day fields: `@both 0 0 9 13 * FRI` on a Friday the 13th.
//!
//! # Where Quartz is vague
//!
//! * `L` and `W` days may stand in lists, each counted by itself (`1,15,L`, `2W,16`); days with `#` and `nL` may not.
//! * A month without a 31st has no `31W`, as it has no `31`.
//! * Steps after a range of names are obeyed (`MON-FRI/2`); after a single name they are refused, since versions of
//!   Quartz disagree about them.
//! * Several blanks or tabs between fields, leading zeros (`05`), and `*` among the items of a list are fine.
//! * Text that Quartz passes over in silence is refused: stray letters, empty items, steps of 0, an eighth field.
//!
//! # Searching
//!
//! ```
//! use scheduler_syntax::cron::{CronExpr, DstPolicy};
//! use chrono_tz::Europe::Berlin;
//!
//! let nightly = CronExpr::parse("0 30 2 * * ?")?;
//! assert_eq!(nightly.describe(), "at 02:30");
//!
//! // There is no 02:30 on the last Sunday of March in Berlin; by default it runs right after the gap.
//! let before = "2026-03-28T12:00:00Z".parse().unwrap();
//! let next = nightly.next_after(before, Berlin, DstPolicy::default()).unwrap();
//! assert_eq!(next.with_timezone(&Berlin).to_rfc3339(), "2026-03-29T03:00:00+02:00");
//!
//! // As Quartz for Java does it:
//! let next = nightly.next_after(before, Berlin, DstPolicy::QUARTZ_JAVA).unwrap();
//! assert_eq!(next.with_timezone(&Berlin).to_rfc3339(), "2026-03-30T02:30:00+02:00");
//! # Ok::<(), scheduler_syntax::cron::CronError>(())
//! ```
//!
//! # Where clocks change
//!
//! | | in a gap | in an overlap |
//! |---|---|---|
//! | fixed time: no `*`, range or step in second, minute, hour | once, at the first instant after the gap | once, at the first occurrence |
//! | anything else | nothing is owed | in both passes, in order |
//!
//! [`DstPolicy`] has other choices for fixed times. A date that does not exist at all in a zone has no fire.
//! Milliseconds are cut off: the search begins at the next whole second.

mod build;
mod days;
mod describe;
mod error;
mod expr;
mod field;
mod hash;
mod parse;
mod search;
mod years;
mod zoned;

pub use error::CronError;
pub use expr::CronExpr;
pub use field::Field;

pub use crate::wall::{DstPolicy, Gap, Overlap};
