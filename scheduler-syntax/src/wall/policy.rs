//! What a fixed time does on a day on which clocks are set: the choices, and nothing else.

/// What a fixed time does that a day does not have, because clocks are set forward over it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Gap {
    /// It fires at the first instant after the gap; several in one gap fire once.
    #[default]
    RunAfter,
    /// It fires later by the length of the gap: 02:30 at 03:30. The rule of Quartz.NET.
    Shift,
    /// It does not fire on that day. The rule of Quartz for Java.
    Skip,
}

/// What a fixed time does that a day has twice, because clocks are set back over it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Overlap {
    /// It fires at the first of the two.
    #[default]
    First,
    /// It fires at the second. The rule of Quartz for Java.
    Second,
    /// It fires at both.
    Both,
}

/// What a fixed time does where clocks change. By default it happens exactly once.
///
/// A rule that fires within the day, such as a cron expression with a `*`, range or step in second, minute or hour, is
/// not asked: it follows real time, which is what [`REAL_TIME`](Self::REAL_TIME) says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct DstPolicy {
    /// In a gap.
    pub gap: Gap,
    /// In an overlap.
    pub overlap: Overlap,
}

impl DstPolicy {
    /// Nothing is owed for a gap, and both passes of an overlap count.
    pub const REAL_TIME: Self = Self { gap: Gap::Skip, overlap: Overlap::Both };

    /// As RFC 5545 (3.3.5) resolves a local time: in a gap later by its length, in an overlap the first.
    pub const RFC_5545: Self = Self { gap: Gap::Shift, overlap: Overlap::First };

    /// As Quartz for Java treats fixed times: skipped in a gap, at the second occurrence in an overlap.
    pub const QUARTZ_JAVA: Self = Self { gap: Gap::Skip, overlap: Overlap::Second };
}
