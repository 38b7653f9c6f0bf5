//! No more Events are written than a number each second (upstream's EventRateLimit, which is not enabled by default): by
//! anybody, in a namespace, by a user, or of a source about an object.
//!
//! What always holds: a limit knows as many of those that it tells apart as it is told to, and forgets who has been silent for
//! longest. Upstream's knows Events of the core group only; who wrote them in `events.k8s.io` would not be limited.

use std::num::NonZeroUsize;

use api::field::{Error, ErrorList, Path};
use api::status::Status;
use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::{Event as CoreEvent, ObjectReference};
use k8s_openapi::api::events::v1::Event;
use lru::LruCache;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

use super::configuration::{decode, refuse_if_any};
use super::{Operation, Plugin, Review, typed};
use crate::object::Object;

const VERSIONS: [&str; 1] = ["eventratelimit.admission.k8s.io/v1alpha1"];
const KIND: &str = "Configuration";
/// How many a limit tells apart if it is not told (upstream's number).
const USUAL_SIZE: usize = 4096;
/// After how many seconds a client is told to try again.
const RETRY_AFTER: i32 = 1;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    limits: Vec<WrittenLimit>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WrittenLimit {
    #[serde(default)]
    r#type: String,
    #[serde(default)]
    qps: i32,
    #[serde(default)]
    burst: i32,
    #[serde(default)]
    cache_size: i32,
}

/// What is told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Server,
    Namespace,
    User,
    SourceAndObject,
}

impl By {
    const ALL: [By; 4] = [By::Server, By::Namespace, By::User, By::SourceAndObject];

    fn as_str(self) -> &'static str {
        match self {
            By::Server => "Server",
            By::Namespace => "Namespace",
            By::User => "User",
            By::SourceAndObject => "SourceAndObject",
        }
    }
}

/// Without more, it limits nothing.
#[derive(Default)]
pub(super) struct EventRateLimit {
    limits: Vec<Limit>,
}

struct Limit {
    by: By,
    /// How many a second.
    rate: f64,
    /// How many at once.
    burst: f64,
    buckets: Mutex<LruCache<String, Bucket>>,
}

/// How many may be written still.
#[derive(Clone, Copy)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl EventRateLimit {
    pub(super) fn of(configuration: Value) -> Result<EventRateLimit, String> {
        let Written { limits } = decode(configuration, &VERSIONS, KIND)?;
        let (mut errors, root) = (ErrorList::new(), Path::new("limits"));
        if limits.is_empty() {
            errors.push(Error::invalid(&root, "null", "must not be empty"));
        }
        let mut read = Vec::new();
        for (i, limit) in limits.into_iter().enumerate() {
            let path = root.index(i);
            let by = By::ALL.into_iter().find(|by| by.as_str() == limit.r#type);
            if by.is_none() {
                errors.push(Error::not_supported(&path.child("type"), &limit.r#type, &By::ALL.map(By::as_str)));
            }
            for (name, value) in [("burst", limit.burst), ("qps", limit.qps)] {
                if value <= 0 {
                    errors.push(Error::invalid(&path.child(name), i64::from(value), "must be positive"));
                }
            }
            if limit.cache_size < 0 && by != Some(By::Server) {
                let detail = "must not be negative";
                errors.push(Error::invalid(&path.child("cacheSize"), i64::from(limit.cache_size), detail));
            }
            if let Some(by) = by {
                let size = usize::try_from(limit.cache_size).unwrap_or_default();
                read.push(Limit::new(by, limit.qps, limit.burst, size));
            }
        }
        refuse_if_any(&errors).map(|()| EventRateLimit { limits: read })
    }
}

impl Limit {
    fn new(by: By, qps: i32, burst: i32, size: usize) -> Limit {
        let size = NonZeroUsize::new(size).or(NonZeroUsize::new(USUAL_SIZE)).unwrap_or(NonZeroUsize::MIN);
        Limit { by, rate: f64::from(qps), burst: f64::from(burst), buckets: Mutex::new(LruCache::new(size)) }
    }

    /// Takes one from what is left for `key`, or says that none is.
    fn accepts(&self, key: &str, now: Instant) -> bool {
        let mut buckets = self.buckets.lock();
        let bucket = buckets.get_or_insert_mut(key.to_owned(), || Bucket { left: self.burst, at: now });
        let since = now.saturating_duration_since(bucket.at).as_secs_f64();
        bucket.left = (bucket.left + since * self.rate).min(self.burst);
        bucket.at = now;
        let accepts = bucket.left >= 1.0;
        if accepts {
            bucket.left -= 1.0;
        }
        accepts
    }
}

impl Plugin for EventRateLimit {
    fn handles(&self, review: &Review<'_>) -> bool {
        let written = matches!(review.operation, Operation::Create | Operation::Update);
        // What is only tried out costs the store nothing.
        written && review.is_of("core/events") && !review.call.query.has("dryRun")
    }

    fn validate<'a>(
        &'a self,
        review: &'a Review<'a>,
        object: &'a dyn Object,
        _: Option<&'a dyn Object>,
    ) -> BoxFuture<'a, Result<(), Status>> {
        let now = Instant::now();
        // Every limit is asked, and counts the Event.
        let refused = self.limits.iter().filter_map(|limit| {
            let key = match limit.by {
                By::Server => String::new(),
                By::Namespace => review.call.namespace().to_owned(),
                By::User => review.call.identity.map(|identity| identity.user.clone()).unwrap_or_default(),
                By::SourceAndObject => source_and_object(object),
            };
            let why = || format!("limit reached on type {} for key {key}", limit.by.as_str());
            if limit.accepts(&key, now) { None } else { Some(why()) }
        });
        let refused: Vec<String> = refused.collect();
        let refuse = |why: &str| Err(Status::too_many_requests(format!("Too many requests: {why}"), RETRY_AFTER));
        let decided = match refused.as_slice() {
            [] => Ok(()),
            [one] => refuse(one),
            several => refuse(&format!("[{}]", several.join(", "))),
        };
        async { decided }.boxed()
    }
}

/// What tells one sort of Events from another, of either form of them.
fn source_and_object(object: &dyn Object) -> String {
    let nothing = ObjectReference::default();
    let (source, about) = if let Some(event) = typed::<CoreEvent>(object) {
        (event.source.as_ref(), &event.involved_object)
    } else if let Some(event) = typed::<Event>(object) {
        (event.deprecated_source.as_ref(), event.regarding.as_ref().unwrap_or(&nothing))
    } else {
        (None, &nothing)
    };
    let (component, host) = source.map_or((&None, &None), |source| (&source.component, &source.host));
    let parts = [component, host, &about.kind, &about.namespace, &about.name, &about.uid, &about.api_version];
    parts.into_iter().flatten().map(String::as_str).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    fn of(limits: Value) -> Result<EventRateLimit, String> {
        EventRateLimit::of(json!({"apiVersion": VERSIONS[0], "kind": KIND, "limits": limits}))
    }

    #[test]
    fn limits_are_read() {
        let read = of(json!([
            {"type": "Server", "qps": 5, "burst": 10},
            {"type": "SourceAndObject", "qps": 1, "burst": 2, "cacheSize": 3},
        ]));
        let read: Vec<_> =
            read.unwrap().limits.iter().map(|limit| (limit.by, limit.buckets.lock().cap().get())).collect();
        assert_eq!(read, [(By::Server, USUAL_SIZE), (By::SourceAndObject, 3)]);
        let check = |limits: Value, expected: &str| assert_eq!(of(limits).map(drop).unwrap_err(), expected);
        check(json!([]), "limits: Invalid value: \"null\": must not be empty");
        check(
            json!([{"type": "User", "qps": 1, "burst": 1, "cache": 1}]),
            "unknown field `cache`, expected one of `type`, `qps`, `burst`, `cacheSize`",
        );
        check(
            json!([{"type": "Pod", "cacheSize": -1}]),
            "[limits[0].type: Unsupported value: \"Pod\": supported values: \"Server\", \"Namespace\", \"User\", \
             \"SourceAndObject\", limits[0].burst: Invalid value: 0: must be positive, limits[0].qps: Invalid value: 0: must be \
             positive, limits[0].cacheSize: Invalid value: -1: must not be negative]",
        );
    }

    #[test]
    fn buckets_are_filled_as_time_passes() {
        let limit = Limit::new(By::User, 2, 3, 2);
        let start = Instant::now();
        let at = |millis: u64| start + Duration::from_millis(millis);
        let taken = |key: &str, millis: u64| {
            std::iter::repeat_with(|| limit.accepts(key, at(millis))).take(9).filter(|it| *it).count()
        };
        assert_eq!(taken("ann", 0), 3);
        assert_eq!(taken("ann", 499), 0);
        assert_eq!(taken("ann", 500), 1);
        assert_eq!(taken("bob", 500), 3);
        // No more than the burst, however long nothing comes.
        assert_eq!(taken("ann", 60_000), 3);
        // A third pushes out who has been silent for longest, and is full when it is back.
        assert_eq!(taken("eve", 60_000), 3);
        assert_eq!((taken("ann", 60_000), taken("bob", 60_000)), (0, 3));
    }
}
