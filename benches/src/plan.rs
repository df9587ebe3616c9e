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
    /// apalis, its queue in memory.
    Apalis,
    /// This project, its instructions counted.
    Counted,
}

/// One row of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// As people know it, with its settings.
    pub name: &'static str,
    /// Who carries it out.
    pub program: Program,
    /// The name of the peer it needs, if it is not ours.
    pub peer: Option<&'static str>,
    /// The command line.
    pub words: String,
    /// It takes so long that it is measured no more often than this.
    pub most: usize,
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
    /// `W1` to `W7`, `growth` or `instructions`.
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
    Subject { name: "this project", program: Program::Ours, peer: None, words, most: usize::MAX }
}

fn limit(name: &'static str, words: String) -> Subject {
    Subject { name, ..ours(words) }
}

/// Another one whose processes are judged by this project.
fn judged(name: &'static str, peer: &'static str, words: String) -> Subject {
    Subject { name, peer: Some(peer), ..ours(words) }
}

const QUARTZ_TUNED: &str = "threads=10 batch=1 idle=1000 simplefactory=1";

fn quartz(name: &'static str, words: String) -> Subject {
    Subject { name, program: Program::Quartz, peer: Some("quartz"), ..ours(words) }
}

fn tokio_cron(name: &'static str, words: String) -> Subject {
    Subject { name, program: Program::TokioCron, peer: Some("tokio-cron-scheduler"), ..ours(words) }
}

/// How large the workloads are.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    burst: &'static [usize],
    queued: usize,
    recurring: &'static [usize],
    seconds: usize,
    far: usize,
    window: usize,
    leases: &'static [usize],
    added: usize,
    durable: usize,
    relational: usize,
    processes: &'static [usize],
    lists: usize,
    idle: usize,
    growth: &'static [usize],
    stored: &'static [usize],
    counted: usize,
}

/// As the results page has them.
pub const FULL: Sizes = Sizes {
    burst: &[100_000, 1_000_000],
    queued: 1_000_000,
    recurring: &[10_000, 100_000],
    seconds: 20,
    far: 100_000,
    window: 10_000,
    leases: &[9000, 1000],
    added: 100_000,
    durable: 300_000,
    relational: 3_000,
    processes: &[1, 2, 4, 8],
    lists: 7_000,
    idle: 30,
    growth: &[1_000, 10_000, 100_000, 1_000_000, 10_000_000],
    stored: &[1_000, 10_000, 100_000, 1_000_000],
    counted: 10_000,
};

/// To see that everything runs.
pub const SMALL: Sizes = Sizes {
    burst: &[2_000],
    queued: 2_000,
    recurring: &[200],
    seconds: 2,
    far: 1_000,
    window: 1_000,
    leases: &[1000],
    added: 2_000,
    durable: 2_000,
    relational: 200,
    processes: &[1, 2],
    lists: 2_000,
    idle: 2,
    growth: &[1_000, 4_000],
    stored: &[1_000, 4_000],
    counted: 500,
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
                limit("limit: tokio tasks, spawned and awaited", format!("spawn n={count}")),
            ],
            figures: vec![
                more("per_s", "fired/s"),
                less("cpu_us_per_fire", "µs of CPU each"),
                less("lost", "lost"),
                less("twice", "twice"),
            ],
        });
    }
    let queued = sizes.queued;
    all.push(Measure {
        workload: "W1",
        title: format!("{queued} jobs in a queue in memory, without time and store"),
        subjects: vec![
            ours(format!("queue n={queued}")),
            Subject {
                name: "apalis, in place",
                program: Program::Apalis,
                peer: Some("apalis"),
                ..ours(format!("memory n={queued}"))
            },
        ],
        figures: vec![
            more("per_s", "run/s"),
            more("added_per_s", "added/s"),
            less("lost", "lost"),
            less("twice", "twice"),
        ],
    });
    let alone = sizes.burst[0];
    all.push(Measure {
        workload: "W1",
        title: format!("{alone} one-shot triggers of 1,000 jobs that run one at a time, in memory"),
        subjects: vec![ours(format!("W1 n={alone} alone=1000"))],
        figures: vec![more("per_s", "fired/s"), less("lost", "lost"), less("twice", "twice")],
    });
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
    instructions(sizes, &mut all);
    all
}

const DURABLE: &[Figure] = &[
    more("per_s", "run and acknowledged/s"),
    more("one_per_s", "added one by one/s"),
    more("bulk_per_s", "added by the thousand/s"),
    less("commands_per_job", "commands or statements each"),
    less("server_us", "µs of the server each"),
    less("worker_us", "µs of workers each"),
    less("lost", "lost"),
    less("twice", "twice"),
];

fn durable(sizes: Sizes, all: &mut Vec<Measure>) {
    let (count, lists) = (sizes.durable, sizes.lists);
    let w5 = |title: String, subjects| Measure { workload: "W5", title, subjects, figures: DURABLE.to_vec() };
    for p in sizes.processes {
        let subjects = vec![
            ours(format!("W5 n={count} p={p}")),
            limit("this project, appendonly everysec", format!("W5 n={count} p={p} aof=everysec")),
            judged(
                "BullMQ, concurrency 100",
                "bullmq",
                format!("W5 n={} p={p} peer=bullmq concurrency=100", count.min(50_000)),
            ),
            judged(
                "apalis-redis, batch 500, locks and events",
                "apalis",
                format!("W5 n={lists} p={p} peer=apalis batch=500"),
            ),
            judged(
                "apalis-redis, batch 500, without",
                "apalis",
                format!("W5 n={lists} p={p} peer=apalis batch=500 lean=1"),
            ),
            judged(
                "Quartz on PostgreSQL, tuned",
                "quartz-jdbc",
                format!("W5 n={} p={p} peer=quartz-jdbc", sizes.relational),
            ),
            limit("limit: bare scripts, batch 100", format!("scripts n={count}")),
        ];
        all.push(w5(format!("{count} stored one-shot jobs that are due, {p} processes"), subjects));
    }
    for p in sizes.processes.iter().filter(|p| [1, 4].contains(*p)) {
        let subjects = vec![
            ours(format!("W5 n={count} p={p} runs=1")),
            limit("this project, runs with a name", format!("W5 n={count} p={p} runs=1 named=1")),
            limit("this project, with firing records", format!("W5 n={count} p={p} runs=1 history=100000")),
            judged(
                "apalis-redis, batch 500, without locks and events",
                "apalis",
                format!("W5 n={lists} p={p} peer=apalis batch=500 lean=1"),
            ),
            judged("apalis-redis, batch 500", "apalis", format!("W5 n={lists} p={p} peer=apalis batch=500")),
            judged(
                "BullMQ, concurrency 100",
                "bullmq",
                format!("W5 n={} p={p} peer=bullmq concurrency=100", count.min(50_000)),
            ),
            limit("limit: bare scripts, batch 100", format!("scripts n={count}")),
        ];
        let title = format!("{count} enqueued runs, {p} processes");
        let mut figures = DURABLE.to_vec();
        figures.insert(2, more("many_per_s", "added by 64 callers/s"));
        figures.extend([less("stored_bytes", "bytes stored each"), less("above_5_ms", "calls above 5 ms")]);
        all.push(Measure { workload: "W5q", title, subjects, figures });
    }
    all.push(Measure {
        workload: "W5r",
        title: format!(
            "{} stored triggers that fire each second, one process",
            sizes.far.max(sizes.recurring[0])
        ),
        subjects: vec![ours(format!(
            "recurring n={} seconds={}",
            sizes.far.max(sizes.recurring[0]),
            sizes.seconds / 2
        ))],
        figures: vec![
            more("per_s", "firings/s"),
            less("server_us", "µs of the server each"),
            less("worker_us", "µs of workers each"),
            less("above_5_ms", "calls above 5 ms"),
        ],
    });
    let (few, p) = (count.min(100_000), 2);
    let variants = vec![
        ours(format!("W5 n={few} p={p}")),
        limit("a millisecond away in each direction", format!("W5 n={few} p={p} delay=1")),
        limit("1,000 jobs that run one at a time", format!("W5 n={few} p={p} alone=1000")),
    ];
    all.push(w5(format!("{few} stored one-shot triggers, {p} processes, in other circumstances"), variants));
    for far in [0, sizes.far.min(10_000)] {
        // Each looks once a second whether it is to end, so that this is not what it costs.
        let words = |peer: &str| format!("W6 far={far} seconds={} poll=1000{peer}", sizes.idle);
        all.push(Measure {
            workload: "W6",
            title: format!("a node with nothing to do and {far} far triggers, {} s", sizes.idle),
            subjects: vec![
                ours(words("")),
                judged("BullMQ", "bullmq", words(" peer=bullmq concurrency=10")),
                judged("apalis-redis", "apalis", words(" peer=apalis")),
                judged("Quartz on PostgreSQL", "quartz-jdbc", words(" peer=quartz-jdbc lean=1")),
            ],
            figures: vec![
                less("calls_per_s", "script calls or statements/s"),
                less("commands_per_s", "commands or statements/s"),
                less("worker_ms_per_s", "ms of CPU/s, node"),
                less("server_ms_per_s", "ms of CPU/s, server"),
            ],
        });
    }
    failover(sizes, all);
}

fn failover(sizes: Sizes, all: &mut Vec<Measure>) {
    for lease in sizes.leases {
        let is_tight = *lease < 2000;
        let (how, tight) = if is_tight { ("tight", " tight=1") } else { ("as it comes", "") };
        let mut subjects = vec![
            ours(format!("W7 lease={lease}")),
            judged("BullMQ", "bullmq", format!("W7 peer=bullmq concurrency=100{tight}")),
            judged("apalis-redis", "apalis", format!("W7 peer=apalis{tight}")),
            judged("Quartz on PostgreSQL", "quartz-jdbc", format!("W7 peer=quartz-jdbc{tight}")),
        ];
        if !is_tight {
            // A minute and five.
            (subjects[1].most, subjects[2].most) = (1, 1);
        }
        all.push(Measure {
            workload: "W7",
            title: format!("a node killed with its 20 runs, {how}: ours with a lease of {lease} ms"),
            subjects,
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
    for far in sizes.stored {
        all.push(Measure {
            workload: "growth",
            title: format!("firing beside {far} stored triggers, in Redis"),
            subjects: vec![ours(format!("W5 n={} p=1 far={far}", sizes.durable.min(50_000)))],
            figures: vec![
                less("server_us", "µs of Redis each"),
                more("per_s", "run and acknowledged/s"),
                more("far_per_s", "added by the thousand/s"),
                less("stored_bytes", "bytes of Redis each"),
            ],
        });
    }
}

/// The same on every run but for a hundredth, so that a change shows where times do not.
fn instructions(sizes: Sizes, all: &mut Vec<Measure>) {
    let steps = [
        ("put", "adding a job with its trigger"),
        ("turn", "acquiring, firing and ending, a hundred at once beside 10,000"),
        ("next", "the next time of a cron trigger in a zone"),
    ];
    for (step, title) in steps {
        let words = format!("repeat step={step} n={}", sizes.counted);
        let subject = Subject { program: Program::Counted, peer: Some("valgrind"), most: 1, ..ours(words) };
        all.push(Measure {
            workload: "instructions",
            title: title.to_owned(),
            subjects: vec![subject],
            figures: vec![less("instructions", "instructions each")],
        });
    }
}
