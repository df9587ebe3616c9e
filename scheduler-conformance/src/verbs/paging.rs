//! Lists, page by page.

use std::collections::BTreeSet;

use scheduler_core::TriggerKey;
use scheduler_core::run::RunId;
use scheduler_core::store::*;

use crate::bench::*;

impl Bench {
    async fn put_triggers(&self, names: impl IntoIterator<Item = String>) {
        let work = job("work").durable(true).build();
        self.put(&work, names.into_iter().map(|name| every_minute(&name, 0))).await;
    }

    async fn page(&self, query: &TriggerQuery) -> Page<TriggerStatus, TriggerKey> {
        let page = self.store.triggers(query.clone()).await.unwrap();
        assert!(page.complete || page.next.is_some(), "a page that is not complete says where it goes on");
        page
    }

    /// All pages, each as the names that it shows.
    async fn pages(&self, mut query: TriggerQuery) -> Vec<Vec<String>> {
        let mut pages = Vec::new();
        loop {
            let page = self.page(&query).await;
            pages.push(names(&page));
            let Some(next) = page.next else { return pages };
            assert!(query.after.is_none_or(|after| after < next), "each page goes on from a later key");
            query.after = Some(next);
        }
    }
}

fn names(page: &Page<TriggerStatus, TriggerKey>) -> Vec<String> {
    page.items.iter().map(|status| status.trigger.key().to_string()).collect()
}

fn limited(limit: usize) -> TriggerQuery {
    TriggerQuery { limit: Some(limit), ..TriggerQuery::default() }
}

fn numbered(numbers: std::ops::Range<u32>) -> impl Iterator<Item = String> {
    numbers.map(|number| format!("t{number:04}"))
}

fn runs(numbers: std::ops::Range<u64>) -> Vec<NewRun> {
    let work = job("work").build();
    numbers.map(|number| NewRun::of(RunId::new(7, number), &work, at(1))).collect()
}

checks! { ($) paging, __store_checks_of_paging;

async fn pages_show_each_trigger_once_and_in_order_while_others_change(bench) {
    bench.put_triggers(numbered(10..30)).await;
    let (mut query, mut shown) = (limited(4), Vec::new());
    for round in 0.. {
        let page = bench.page(&query).await;
        assert!(page.items.len() <= 4 && page.looked_at >= page.items.len());
        shown.extend(names(&page));
        let Some(next) = page.next else { break };
        query.after = Some(next);
        if round == 1 {
            bench.put_triggers(["t0005".into(), "t0025a".into(), "t0040".into()]).await;
            let removed = ["t0011", "t0028"].map(key).to_vec();
            bench.store.remove_triggers(removed).await.unwrap();
        }
    }
    let mut expected: BTreeSet<_> = numbered(10..30).collect();
    expected.remove("t0028");
    expected.extend(["t0025a".to_owned(), "t0040".to_owned()]);
    assert_eq!(shown, expected.into_iter().collect::<Vec<_>>());
}

async fn pages_show_each_job_once_and_in_order_while_others_change(bench) {
    let put = async |numbers| for name in numbered(numbers) {
        bench.put(&job(&name).durable(true).build(), []).await;
    };
    put(10..20).await;
    let (mut query, mut shown) = (JobQuery { limit: Some(3), ..JobQuery::default() }, Vec::new());
    loop {
        let page = bench.store.jobs(query.clone()).await.unwrap();
        assert!(page.items.len() <= 3);
        shown.extend(page.items.iter().map(|job| job.key().to_string()));
        let Some(next) = page.next else { break };
        if query.after.is_none() {
            put(0..5).await;
            put(20..22).await;
            bench.store.remove_jobs(vec!["t0019".parse().unwrap()]).await.unwrap();
        }
        query.after = Some(next);
    }
    assert_eq!(shown, numbered(10..19).chain(numbered(20..22)).collect::<Vec<_>>());
}

async fn pages_show_each_run_once_while_others_come(bench) {
    bench.store.enqueue(runs(0..40)).await.unwrap();
    let mut query = RunQuery::default();
    query.limit = Some(7);
    let mut shown = Vec::new();
    loop {
        let page = bench.store.runs(query.clone()).await.unwrap();
        assert!(page.items.len() <= 7 && (page.complete || page.next.is_some()));
        shown.extend(page.items.iter().map(|run| run.id.count()));
        let Some(next) = page.next else { break };
        if query.after.is_none() {
            bench.store.enqueue(runs(100..110)).await.unwrap();
        }
        query.after = Some(next);
    }
    shown.retain(|number| *number < 100);
    shown.sort_unstable();
    assert_eq!(shown, (0..40).collect::<Vec<_>>());
    let all = bench.store.all_runs(RunQuery::default()).await.unwrap();
    let all: Vec<_> = all.iter().map(|run| run.id.count()).collect();
    assert_eq!(all, (0..40).chain(100..110).collect::<Vec<_>>());
}

async fn a_rare_filter_reaches_its_end(bench) {
    bench.put_triggers(numbered(0..1_000)).await;
    bench.pause(Selection::Trigger(key("t0990"))).await;
    let rare = TriggerQuery { state: Some(TriggerState::Paused), ..limited(10) };
    assert_eq!(bench.pages(rare.clone()).await.concat(), ["t0990"]);
    assert_eq!(bench.listed(rare).await, ["t0990"]);
    let none = TriggerQuery { declared_by: Some("nobody".into()), ..TriggerQuery::default() };
    assert!(bench.pages(none).await.concat().is_empty());
}

async fn a_group_is_a_list_of_its_own(bench) {
    bench.put_triggers(["a", "f/z", "g/a", "g/b", "g/c", "ga/a", "h/a"].map(str::to_owned)).await;
    let group = |group: &str| TriggerQuery { group: scheduler_core::Text::is(group), ..limited(2) };
    let pages = bench.pages(group("g")).await;
    assert_eq!(pages[..2], [vec!["g/a", "g/b"], vec!["g/c"]]);
    assert_eq!(bench.pages(group("DEFAULT")).await.concat(), ["a"]);
    assert_eq!(bench.pages(TriggerQuery { after: Some(key("a")), ..group("g") }).await.concat().len(), 3);
    assert!(bench.pages(TriggerQuery { after: Some(key("ga/a")), ..group("g") }).await.concat().is_empty());
}

async fn a_limit_of_zero_shows_nothing(bench) {
    bench.put_triggers(numbered(0..3)).await;
    bench.store.enqueue(runs(0..3)).await.unwrap();
    for query in [limited(0), TriggerQuery { keys: vec![key("t0001")], ..limited(0) }] {
        let page = bench.page(&query).await;
        assert!(page.items.is_empty() && page.next.is_none());
        assert!(bench.listed(query).await.is_empty());
    }
    let page = bench.store.jobs(JobQuery { limit: Some(0), ..JobQuery::default() }).await.unwrap();
    assert!(page.items.is_empty() && page.next.is_none());
    let mut query = RunQuery::default();
    query.limit = Some(0);
    let page = bench.store.runs(query).await.unwrap();
    assert!(page.items.is_empty() && page.next.is_none());
}

async fn there_is_nothing_behind_the_last(bench) {
    bench.put_triggers(numbered(0..3)).await;
    let page = bench.page(&TriggerQuery { after: Some(key("z/z")), ..limited(2) }).await;
    assert!(page.items.is_empty() && page.next.is_none());
    let after = Some("work".parse().unwrap());
    let page = bench.store.jobs(JobQuery { after, ..JobQuery::default() }).await.unwrap();
    assert!(page.items.is_empty() && page.next.is_none());
    bench.store.enqueue(runs(0..3)).await.unwrap();
    let mut query = RunQuery::default();
    query.after = Some(RunId::new(u64::MAX, u64::MAX).into());
    let page = bench.store.runs(query).await.unwrap();
    assert!(page.items.is_empty() && page.next.is_none());
}

async fn a_page_has_a_size_without_a_limit_and_whatever_the_limit(bench) {
    let most = u32::try_from(MAX_PAGE_SIZE).unwrap();
    bench.put_triggers(numbered(0..most + 20)).await;
    let page = bench.page(&TriggerQuery::default()).await;
    assert_eq!((page.items.len(), page.next), (PAGE_SIZE, Some(key("t0099"))));
    let page = bench.page(&limited(usize::MAX)).await;
    assert_eq!((page.items.len(), page.next), (MAX_PAGE_SIZE, Some(key("t0499"))));
    let keys = numbered(0..most + 20).map(|name| key(&name)).collect();
    let page = bench.page(&TriggerQuery { keys, ..TriggerQuery::default() }).await;
    assert_eq!((page.items.len(), page.next), (MAX_PAGE_SIZE + 20, None), "what is named is not cut");
    assert_eq!(bench.triggers().await.len(), MAX_PAGE_SIZE + 20);
    assert_eq!(bench.listed(limited(MAX_PAGE_SIZE + 10)).await.len(), MAX_PAGE_SIZE + 10);
}
}
