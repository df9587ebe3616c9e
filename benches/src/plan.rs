//! What is measured, of whom, and which figures count.

/// Who carries a workload out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// This project; with `peer=` it is the judge of another's processes.
    Ours,
    /// Quartz for Java, its store in memory.
    Quartz,
    /// tokio-cron-scheduler.
    TokioCron,
}

/// One row of a table.
#[derive(Debug, Clone)]
pub struct Subject {
    /// As people know it, with its settings.
    pub name: &'static str,
    /// Who carries it out.
    pub program: Program,
    /// The name of the peer it needs, if it is not ours.
    pub peer: Option<&'static str>,
    /// The command line.
    pub words: String,
}

/// A figure that a workload gives.
#[derive(Debug, Clone, Copy)]
pub struct Figure {
    /// Its name in what a program prints.
    pub field: &'static str,
    /// What it is, with its unit.
    pub title: &'static str,
    /// Whether less is better.
    pub less: bool,
}

/// One table.
#[derive(Debug, Clone)]
pub struct Measure {
    /// `W1` to `W7`, or `growth`.
    pub workload: &'static str,
    /// What is done.
    pub title: String,
    /// Ours first.
    pub subjects: Vec<Subject>,
    /// What counts.
    pub figures: Vec<Figure>,
}

const fn more(field: &'static str, title: &'static str) -> Figure {
    Figure { field, title, less: false }
}

const fn less(field: &'static str, title: &'static str) -> Figure {
    Figure { field, title, less: true }
}

fn ours(words: String) -> Subject {
    Subject { name: "this project", program: Program::Ours, peer: None, words }
}

const QUARTZ_TUNED: &str = "threads=10 batch=1 idle=1000 simplefactory=1";

fn quartz(name: &'static str, words: String) -> Subject {
    Subject { name, program: Program::Quartz, peer: Some("quartz"), words }
}

fn tokio_cron(name: &'static str, words: String) -> Subject {
    Subject { name, program: Program::TokioCron, peer: Some("tokio-cron-scheduler"), words }
}

/// How large the workloads are.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    burst: &'static [usize],
    recurring: &'static [usize],
    seconds: usize,
    far: usize,
    window: usize,
    leases: &'static [usize],
    added: usize,
    durable: usize,
    processes: &'static [usize],
    lists: usize,
    idle: usize,
    growth: &'static [usize],
}

/// As the results page has them.
pub const FULL: Sizes = Sizes {
    burst: &[100_000, 1_000_000],
    recurring: &[10_000, 100_000],
    seconds: 20,
    far: 100_000,
    window: 10_000,
    leases: &[9000, 1000],
    added: 100_000,
    durable: 300_000,
    processes: &[1, 2, 4],
    lists: 7_000,
    idle: 30,
    growth: &[1_000, 10_000, 100_000, 1_000_000],
};

/// To see that everything runs.
pub const SMALL: Sizes = Sizes {
    burst: &[2_000],
    recurring: &[200],
    seconds: 2,
    far: 1_000,
    window: 1_000,
    leases: &[1000],
    added: 2_000,
    durable: 2_000,
    processes: &[1, 2],
    lists: 2_000,
    idle: 2,
    growth: &[1_000, 4_000],
};

/// All tables.
#[must_use]
pub fn plan(sizes: Sizes) -> Vec<Measure> {
    let mut all = Vec::new();
    for count in sizes.burst {
        all.push(Measure {
            workload: "W1",
            title: format!("{count} one-shot triggers that are due at once, in memory"),
            subjects: vec![
                ours(format!("W1 n={count}")),
                quartz("Quartz, tuned", format!("W1 n={count} {QUARTZ_TUNED}")),
                quartz("Quartz, as it comes", format!("W1 n={count}")),
                tokio_cron("tokio-cron-scheduler, large channel", format!("W1 n={count} channel=4194304")),
                tokio_cron("tokio-cron-scheduler, as it comes", format!("W1 n={count}")),
                Subject {
                    name: "limit: tokio tasks, spawned and awaited",
                    program: Program::Ours,
                    peer: None,
                    words: format!("spawn n={count}"),
                },
            ],
            figures: vec![
                more("per_s", "fired/s"),
                less("cpu_us_per_fire", "µs of CPU each"),
                less("lost", "lost"),
                less("twice", "twice"),
            ],
        });
    }
    for count in sizes.recurring {
        for shape in ["spread", "burst"] {
            let burst = u8::from(shape == "burst");
            let seconds = sizes.seconds;
            all.push(Measure {
                workload: "W2",
                title: format!("{count} triggers every second, {shape}, for {seconds} s"),
                subjects: vec![
                    ours(format!("W2 k={count} shape={shape} seconds={seconds}")),
                    quartz(
                        "Quartz, tuned",
                        format!("W2 k={count} burst={burst} seconds={seconds} {QUARTZ_TUNED}"),
                    ),
                    tokio_cron(
                        "tokio-cron-scheduler, large channel (burst only)",
                        format!("W2 k={count} seconds={seconds} channel=4194304"),
                    ),
                ],
                figures: vec![
                    more("achieved", "fired of expected"),
                    less("p50_ms", "ms late, half"),
                    less("p99_ms", "ms late, 99 %"),
                    less("min_ms", "ms late, earliest"),
                    less("cpu_us_per_fire", "µs of CPU each"),
                ],
            });
        }
    }
    for far in [0, sizes.far] {
        all.push(Measure {
            workload: "W3",
            title: format!("100 one-shot triggers at odd moments beside {far} far ones"),
            subjects: vec![
                ours(format!("W3 far={far} window={}", sizes.window)),
                quartz("Quartz, as it comes", format!("W3 far={far}")),
                tokio_cron("tokio-cron-scheduler, as it comes", format!("W3 far={far}")),
            ],
            figures: vec![
                less("p50_ms", "ms late, half"),
                less("p99_ms", "ms late, 99 %"),
                less("max_ms", "ms late, worst"),
                less("min_ms", "ms late, earliest"),
            ],
        });
    }
    let count = sizes.added;
    all.push(Measure {
        workload: "W4",
        title: format!("adding {count} jobs with a trigger each, in memory"),
        subjects: vec![
            ours(format!("W4 n={count}")),
            quartz("Quartz, tuned", format!("W4 n={count} {QUARTZ_TUNED}")),
            tokio_cron("tokio-cron-scheduler", format!("W4 n={count}")),
        ],
        figures: vec![
            more("one_per_s", "one by one/s"),
            more("bulk_per_s", "by the thousand/s"),
            less("bytes", "bytes each"),
        ],
    });
    durable(sizes, &mut all);
    growth(sizes, &mut all);
    all
}

fn durable(sizes: Sizes, all: &mut Vec<Measure>) {
    let peer = |name, peer, words: String| Subject { name, program: Program::Ours, peer: Some(peer), words };
    let (count, lists) = (sizes.durable, sizes.lists);
    for p in sizes.processes {
        all.push(Measure {
            workload: "W5",
            title: format!("{count} stored one-shot jobs that are due, one Redis, {p} processes"),
            subjects: vec![
                ours(format!("W5 n={count} p={p}")),
                Subject {
                    name: "this project, appendonly everysec",
                    ..ours(format!("W5 n={count} p={p} aof=everysec"))
                },
                peer(
                    "BullMQ, concurrency 100",
                    "bullmq",
                    format!("W5 n={} p={p} peer=bullmq concurrency=100", count.min(50_000)),
                ),
                peer(
                    "apalis-redis, batch 500, locks and events",
                    "apalis",
                    format!("W5 n={lists} p={p} peer=apalis batch=500"),
                ),
                peer(
                    "apalis-redis, batch 500, without",
                    "apalis",
                    format!("W5 n={lists} p={p} peer=apalis batch=500 lean=1"),
                ),
            ],
            figures: vec![
                more("per_s", "run and acknowledged/s"),
                more("one_per_s", "added one by one/s"),
                more("bulk_per_s", "added by the thousand/s"),
                less("commands_per_job", "commands each"),
                less("server_us", "µs of Redis each"),
                less("worker_us", "µs of workers each"),
                less("lost", "lost"),
                less("twice", "twice"),
            ],
        });
    }
    for far in [0, sizes.far.min(10_000)] {
        all.push(Measure {
            workload: "W6",
            title: format!("a node with nothing to do and {far} far triggers, {} s", sizes.idle),
            subjects: vec![ours(format!("W6 far={far} seconds={}", sizes.idle))],
            figures: vec![
                less("calls_per_s", "script calls/s"),
                less("worker_ms_per_s", "ms of CPU/s, node"),
                less("server_ms_per_s", "ms of CPU/s, Redis"),
            ],
        });
    }
    for lease in sizes.leases {
        all.push(Measure {
            workload: "W7",
            title: format!("a node killed with its 20 runs, lease {lease} ms"),
            subjects: vec![ours(format!("W7 lease={lease}"))],
            figures: vec![
                less("first_s", "s until the first runs again"),
                less("last_s", "s until the last"),
                less("spurious", "repeated without need"),
            ],
        });
    }
}

fn growth(sizes: Sizes, all: &mut Vec<Measure>) {
    for far in sizes.growth {
        all.push(Measure {
            workload: "growth",
            title: format!("firing beside {far} stored triggers, in memory"),
            subjects: vec![ours(format!("W1 n={} far={far}", sizes.added))],
            figures: vec![less("cpu_us_per_fire", "µs of CPU each"), more("per_s", "fired/s")],
        });
        all.push(Measure {
            workload: "growth",
            title: format!("adding {far} jobs with a trigger each, in memory"),
            subjects: vec![ours(format!("W4 n={far}"))],
            figures: vec![more("one_per_s", "one by one/s"), less("bytes", "bytes each")],
        });
    }
}
