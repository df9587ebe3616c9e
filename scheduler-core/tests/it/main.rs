//! The scheduler from outside, on a manual clock unless a test says why not.

mod building;
mod clock;
mod ending;
mod firing;
mod store;
