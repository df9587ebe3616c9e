//! Lists are answered page by page.

use serde::Serialize;

/// The number of items of a page whose query has no limit.
pub const PAGE_SIZE: usize = 100;

/// The largest number of items of a page. A query with a higher limit is answered with a page of this size.
pub const MAX_PAGE_SIZE: usize = 500;

/// A page of a list.
///
/// A store looks at a limited number of rows for each page, so that no query delays the work of the nodes. A page of a rare
/// filter may therefore be short, or even empty, although the list goes on: only [`next`](Self::next) says whether it does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Page<T, C> {
    /// What was found, in the order of the list.
    pub items: Vec<T>,
    /// Where the list goes on: the field `after` of the next query. None at the end of the list. The next page may be empty.
    pub next: Option<C>,
    /// How many rows the store has looked at.
    pub looked_at: usize,
    /// Whether the page is full or the list ends. Otherwise the store has stopped looking before, and `next` says where.
    pub complete: bool,
}

impl<T, C> Page<T, C> {
    /// A page that is full, or the last of its list.
    pub fn new(items: Vec<T>, next: Option<C>, looked_at: usize) -> Self {
        Self { items, next, looked_at, complete: true }
    }

    /// The answer to a limit of 0.
    pub fn empty() -> Self {
        Self::new(Vec::new(), None, 0)
    }

    /// A page for which the store has looked at as many rows as it may.
    pub fn unfinished(items: Vec<T>, next: C, looked_at: usize) -> Self {
        Self { complete: false, ..Self::new(items, Some(next), looked_at) }
    }

    /// The same page of other items.
    pub(super) fn map<U>(self, item: impl FnMut(T) -> U) -> Page<U, C> {
        let Self { items, next, looked_at, complete } = self;
        Page { items: items.into_iter().map(item).collect(), next, looked_at, complete }
    }

    /// The same page, with another kind of cursor.
    pub(super) fn on_from<D>(self, cursor: impl FnOnce(C) -> D) -> Page<T, D> {
        let Self { items, next, looked_at, complete } = self;
        Page { items, next: next.map(cursor), looked_at, complete }
    }

    /// The first `limit` of all that was found in the list, which is in order; `key` is the place of an item in it.
    pub fn first(mut found: Vec<T>, limit: usize, looked_at: usize, key: impl Fn(&T) -> C) -> Self {
        let goes_on = found.len() > limit && limit > 0;
        found.truncate(limit);
        let next = found.last().filter(|_| goes_on).map(key);
        Self::new(found, next, looked_at)
    }
}

/// The number of items of a page: what the query asks for, within bounds.
pub(super) fn page_size(limit: Option<usize>) -> usize {
    limit.unwrap_or(PAGE_SIZE).min(MAX_PAGE_SIZE)
}
