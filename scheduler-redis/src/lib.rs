//! The clustered job store.
