//! One binary per task a user has.
