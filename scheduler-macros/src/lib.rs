//! `#[job]` and `#[derive(Job)]`.
