//! The scheduler from outside, on a manual clock unless a test says why not.

mod firing;
