//! Workloads, ours and those of the peers, side by side.
