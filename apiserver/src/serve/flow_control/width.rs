//! How many seats a request takes: lists as many as the bytes that they read, everything else one.
//!
//! Upstream's estimate, for lists that are answered from memory: a seat for each 100 kB of what is listed, and no more than for
//! a megabyte, as an answer is sent in pieces.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use store::{At, Prefix, Store};
use tokio::time::Instant;

use crate::authz::Attributes;
use crate::entry::{Objects, ROOT};
use crate::registry::Registry;
use crate::request::Query;

const BYTES_PER_SEAT: usize = 100_000;
const MOST_BYTES: usize = 1_000_000;
/// How long it is believed how much is stored (upstream's interval for the same).
const FRESH: Duration = Duration::from_secs(60);

/// How much is stored of a resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Size {
    objects: usize,
    bytes: usize,
}

/// Knows how much is stored of each resource, about.
#[derive(Clone)]
pub(crate) struct StoredSizes {
    store: Store<Objects>,
    registry: Arc<Registry>,
    /// By the path that resources are stored at, and so no more than there are resources.
    known: Arc<Mutex<HashMap<String, (Size, Instant)>>>,
}

impl StoredSizes {
    pub(crate) fn new(store: Store<Objects>, registry: Arc<Registry>) -> StoredSizes {
        StoredSizes { store, registry, known: Arc::default() }
    }

    /// How many seats a request takes.
    pub(super) fn width(&self, attributes: &Attributes, query: Option<&str>) -> usize {
        let Attributes { verb, group, version, resource, .. } = attributes;
        if verb != "list" && verb != "watch" {
            return 1;
        }
        let query = Query::parse(query.unwrap_or_default());
        let initial = query.flag("sendInitialEvents") == Some(true);
        let single = query.text("fieldSelector").is_some_and(|selector| selector.contains("metadata.name="));
        if single || verb == "watch" && !initial {
            return 1;
        }
        let resources = self.registry.resources();
        let Some(found) = resources.find(group, version, resource) else { return 1 };
        let limit = query.text("limit").and_then(|limit| limit.parse::<usize>().ok()).filter(|limit| *limit > 0);
        seats(self.size(&found.storage.path), limit)
    }

    /// What is known of a resource. If that is old, it is counted again for the next who asks.
    fn size(&self, path: &str) -> Size {
        let mut known = self.known.lock();
        let (size, at) = known.get(path).copied().unzip();
        if at.is_none_or(|at| at.elapsed() > FRESH) {
            let size = size.unwrap_or_default();
            known.insert(path.to_owned(), (size, Instant::now()));
            let (sizes, path) = (self.clone(), path.to_owned());
            tokio::spawn(async move {
                if let Some(size) = sizes.count(&path).await {
                    sizes.known.lock().insert(path, (size, Instant::now()));
                }
            });
        }
        size.unwrap_or_default()
    }

    async fn count(&self, path: &str) -> Option<Size> {
        let prefix = Prefix::new(&format!("{ROOT}{path}/")).ok()?;
        let snapshot = self.store.snapshot(&prefix, At::Known).await.ok()?;
        let add = |size: Size, bytes: usize| Size { objects: size.objects + 1, bytes: size.bytes + bytes };
        Some(snapshot.range(&prefix, None).map(|(_, stored)| stored.entry.bytes().len()).fold(Size::default(), add))
    }
}

fn seats(size: Size, limit: Option<usize>) -> usize {
    let listed = limit.map_or(size.objects, |limit| limit.min(size.objects));
    let bytes = size.bytes / size.objects.max(1) * listed;
    bytes.min(MOST_BYTES).div_ceil(BYTES_PER_SEAT).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_as_wide_as_what_they_read() {
        let check = |objects, bytes, limit, expected| assert_eq!(seats(Size { objects, bytes }, limit), expected);
        check(0, 0, None, 1);
        check(10, 10_000, None, 1);
        check(1000, 100_000, None, 1);
        check(1000, 100_000 + 1000, None, 2);
        check(1000, 1_000_000, Some(500), 5);
        check(1000, 1_000_000, Some(5000), 10);
        check(100_000, 1 << 30, None, 10);
        check(100_000, 1 << 30, Some(1), 1);
    }
}
