//! Runs that are limited by key and by a rate, and tenants that take turns.
//!
//! ```text
//! cargo run --bin limits
//! cargo run --bin limits -- --store redis://localhost:6379
//! ```
//!
//! One tenant enqueues 200 imports at once, and four others ten each. All of them call an API that allows 60 calls a second. What you see: at
//! most two imports of a tenant are under way at a time, tenants take turns, so the small ones do not wait for the large one, no second has more
//! calls than the API allows, a limit that is lowered while its runs wait, and the account of all runs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::ensure;
use clap::Parser;
use examples::{StoreOption, println};
use scheduler_core::job::JobDefinition;
use scheduler_core::prelude::*;
use scheduler_core::run::Limit;
use scheduler_core::store::{LimitOverride, LimitQuery, RunQuery};
use scheduler_core::time::{Clock, SystemClock};
use serde::{Deserialize, Serialize};

const TENANTS: [(&str, usize); 5] = [(LARGE, 200), ("north", 10), ("east", 10), ("south", 10), ("west", 10)];
const LARGE: &str = "large";
const AT_ONCE: u32 = 2;
const CALLS: u32 = 60;
const SECOND: Duration = Duration::from_secs(1);

/// Limits by key and a rate
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    store: StoreOption,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Import {
    tenant: String,
    file: usize,
}

/// What has happened to the imports of a tenant.
#[derive(Debug, Clone, Default)]
struct Account {
    under_way: u32,
    most: u32,
    /// When each began and the last one ended, since the start of the program.
    begun: Vec<Duration>,
    over: Duration,
}

#[derive(Clone, Default)]
struct Ledger(Arc<Mutex<BTreeMap<String, Account>>>);

impl Ledger {
    fn with<T>(&self, tenant: &str, change: impl FnOnce(&mut Account) -> T) -> T {
        let mut accounts = self.0.lock().expect("nobody panics with the lock");
        change(accounts.entry(tenant.to_owned()).or_default())
    }
}

/// Imports a file of a tenant.
#[job]
async fn import(import: Import, State(ledger): State<Ledger>) {
    ledger.with(&import.tenant, |account| {
        account.under_way += 1;
        account.most = account.most.max(account.under_way);
        account.begun.push(SystemClock.monotonic());
    });
    SystemClock.sleep(Duration::from_millis(20)).await;
    ledger.with(&import.tenant, |account| {
        account.under_way -= 1;
        account.over = SystemClock.monotonic();
    });
}

/// The import with its limits. Tenants take turns at the calls that the API allows.
fn limited() -> JobDefinition {
    import::definition()
        .limit(|import: &Import| Limit::new("imports", AT_ONCE).key(&import.tenant))
        .limit(|_: &Import| Limit::rate("api", CALLS, SECOND))
        .fair(|import: &Import| import.tenant.clone())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_env_filter("off").init();
    let store = Args::parse().store.open("limits").await?;
    let ledger = Ledger::default();
    let scheduler = Scheduler::builder().store(store).provide(ledger.clone()).register(limited()).build()?;
    scheduler.start().await?;
    // What an earlier run of this example has left.
    scheduler.clear().await?;
    scheduler.reset_limit("imports", Some(LARGE)).await?;

    let started = SystemClock.monotonic();
    let of_tenant = |(tenant, many): &(&str, usize)| {
        let tenant = (*tenant).to_owned();
        (0..*many).map(move |file| import::with(Import { tenant: tenant.clone(), file })).collect::<Vec<_>>()
    };
    let runs = scheduler.enqueue_all(TENANTS.iter().flat_map(of_tenant)).await?;
    // An operator slows the large tenant down, without a new release.
    let slower = LimitOverride::of(1).because("their files fill the disk").by("ada");
    scheduler.set_limit("imports", Some(LARGE), slower).await?;
    for limit in scheduler.limits(LimitQuery::one("imports", Some(LARGE))).await?.items {
        let set = limit.overridden.map(|set| set.to_string()).unwrap_or_default();
        println!("the cap of tenant {LARGE} is {set}");
    }
    while !scheduler.all_runs(RunQuery::default()).await?.is_empty() {
        SystemClock.sleep(Duration::from_millis(20)).await;
    }

    let (mut done, mut begun, mut small) = (0, Vec::new(), started);
    for (tenant, many) in TENANTS {
        let account = ledger.with(tenant, |account| account.clone());
        let over = account.over.saturating_sub(started);
        println!("{tenant:<6} {many:>4} imports, at most {} at once, done after {over:.1?}", account.most);
        ensure!(account.most <= AT_ONCE, "{} imports of {tenant} were under way at once", account.most);
        if tenant != LARGE {
            small = account.begun.iter().copied().fold(small, Duration::max);
        }
        done += account.begun.len();
        begun.extend(account.begun);
    }
    let large = ledger.with(LARGE, |account| account.begun.iter().filter(|at| **at < small).count());
    println!("{large} imports of tenant {LARGE} had begun when the last one of the others began");
    ensure!(large < 60, "the small tenants have waited for the large one");
    begun.sort_unstable();
    // A run begins some moments after its node has claimed it, so a bound on what is seen here is a little longer than a second.
    let window = SECOND - Duration::from_millis(100);
    let most =
        begun.iter().map(|from| begun.iter().filter(|at| (*from..*from + window).contains(at)).count()).max();
    println!(
        "at most {} calls in nine tenths of a second; {CALLS} a second are allowed",
        most.unwrap_or_default()
    );
    scheduler.reset_limit("imports", Some(LARGE)).await?;
    println!("account: {} runs enqueued = {done} done", runs.len());
    ensure!(runs.len() == done, "some are missing");
    scheduler.shutdown(Duration::from_secs(5)).await;
    Ok(())
}
