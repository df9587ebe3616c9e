//! The rows of a transaction that stands elsewhere: what was read of it, and what is to be written.
//!
//! A driver whose rows are behind a connection gives the rules a [`View`]. Whatever a rule asks for and the view does not have is
//! [`Missing`]; the view notes it in [`wants`](View::wants). The driver loads that and runs the rule again. A rule that comes to
//! its end leaves in the view the versions of what it has gone by, and the rows to write. The driver commits them as a whole if all
//! versions are still the same; if not, it loads what has changed, and the rule runs once more, in the same loop:
//!
//! ```text
//! loop {
//!     match rule(&mut view) {
//!         Ok(answer) => if commit(&view) { return answer } else { view.forget(what has changed) },
//!         Err(Missing) => {}
//!     }
//!     view.reset();
//!     load(view.wants());
//! }
//! ```
//!
//! A row that is removed without a look at it is not checked. What a driver derives from rows (places, names, groups, alarms)
//! it keeps in line in its commit.

mod bytes;
mod counting;
mod firing;
mod parts;
pub mod record;
mod seam;
mod shelf;
mod tallies;
mod transaction;

pub use firing::{firing, read_firing};
pub use parts::{Members, Missing, Names, Rest, Set, Wants};
pub use shelf::{Change, Shelf, Version};
pub use transaction::View;
