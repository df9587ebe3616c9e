//! One binary per task a user has, and what they share.

use std::fmt::Arguments;
use std::io::{Write, stdout};
use std::process;

/// As that of the standard library, but a closed pipe ends the process quietly: `cargo run --bin misfire | head -1`.
#[macro_export]
macro_rules! println {
    () => { $crate::print_line(format_args!("")) };
    ($($text:tt)+) => { $crate::print_line(format_args!($($text)+)) };
}

/// Prints a line for [`println!`].
pub fn print_line(text: Arguments<'_>) {
    if writeln!(stdout(), "{text}").is_err() {
        process::exit(0);
    }
}
