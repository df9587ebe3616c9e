//! Every step of CI as a command.
fn main() {}
