//! `list`: a collection, or a page of one.
//!
//! The body is a frame around the stored bytes: nothing is parsed or serialised for JSON.

use api::partial::ListMeta;
use api::status::Status;
use bytes::{BufMut, Bytes, BytesMut};
use http::StatusCode;
use store::{At, Key, Prefix, Revision, Scope, Snapshot, Stored};

use super::answer::{self, content_type};
use super::read::served;
use super::selection::Selection;
use super::{Answer, Call, Payload, read_failed, unreadable};
use crate::entry::{self, Entry};
use crate::request::{Continuation, Encoding, Form, ListOptions, VersionMatch, negotiate};

/// How much of a list is put together before it is sent: large enough for few system calls, small enough that a list of
/// any size takes little memory.
const PIECE_BYTES: usize = 128 * 1024;

/// Answers a list.
pub(crate) async fn list(call: &Call<'_>, options: ListOptions) -> Result<Answer, Status> {
    negotiate(call.headers, true, call.has_protobuf())?;
    answer_page(call, &page(call, options).await?)
}

/// A page as the client wants it.
pub(crate) fn answer_page(call: &Call<'_>, page: &Page) -> Result<Answer, Status> {
    let (encoding, form) = negotiate(call.headers, true, call.has_protobuf())?;
    let meta = page.meta();
    let pieces = match form {
        Form::Object => frame(call, &meta, page.objects(call)?)?,
        Form::Table => {
            let objects = page.entries.iter().map(|(_, stored)| served(call, stored.entry.bytes()));
            vec![answer::table(call, &objects.collect::<Result<Vec<_>, _>>()?, meta)?.into()]
        }
        Form::Metadata => vec![partial_list(page, &meta)?],
    };
    let payload = if encoding == Encoding::Json {
        Payload::Pieces(pieces)
    } else {
        Payload::Whole(answer::encode(encoding, &answer::join(&pieces))?.into())
    };
    Ok(Answer { code: StatusCode::OK, content_type: content_type(encoding, form, true), payload })
}

/// A page of a collection.
pub(crate) struct Page {
    pub(crate) revision: Revision,
    pub(crate) entries: Vec<(Key, Stored<Entry>)>,
    next: Option<String>,
    remaining: Option<usize>,
}

impl Page {
    fn meta(&self) -> ListMeta {
        ListMeta {
            resource_version: self.revision.to_string(),
            continue_token: self.next.clone().unwrap_or_default(),
            remaining_item_count: self.remaining.and_then(|count| i64::try_from(count).ok()),
            ..ListMeta::default()
        }
    }

    /// The objects as items of a list: without their kind and version, as upstream's lists have them.
    fn objects(&self, call: &Call<'_>) -> Result<Vec<Item>, Status> {
        let names = call.names();
        let type_prefix = entry::type_prefix(&names.kind, &names.api_version());
        let item = |stored: &Stored<Entry>| match (call.resource.storage.conversion, stored.entry.item()) {
            (None, Some(rest)) => Ok(Item::Rest(rest)),
            _ => served(call, stored.entry.bytes()).map(|whole| match whole.starts_with(type_prefix.as_bytes()) {
                true => Item::Rest(whole.slice(type_prefix.len()..)),
                false => Item::Whole(whole),
            }),
        };
        self.entries.iter().map(|(_, stored)| item(stored)).collect()
    }
}

enum Item {
    /// What follows `{`.
    Rest(Bytes),
    Whole(Bytes),
}

/// Reads the page that the options ask for.
pub(crate) async fn page(call: &Call<'_>, options: ListOptions) -> Result<Page, Status> {
    let ListOptions { labels, fields, limit, .. } = options.clone();
    let selection = Selection::new(call, labels, fields)?;
    let collection = call.prefix(call.namespace())?;
    let prefix = match &selection.scope {
        Scope::Prefix(prefix) => prefix.clone(),
        Scope::Key(key) => Prefix::of_parent(key),
    };
    let continuation = match &options.continue_token {
        Some(token) => Some(Continuation::decode(token, &collection)?),
        None => None,
    };
    let at = state(&options, continuation.as_ref())?;
    let snapshot = match call.engine.store.snapshot(&prefix, at).await {
        Ok(snapshot) => snapshot,
        Err(store::ReadError::Compacted { .. }) => return Err(expired(continuation, &collection)),
        Err(error) => return Err(read_failed(error)),
    };
    // From the cache upstream answers whole lists.
    let limit = if at == At::Known || limit == 0 { usize::MAX } else { limit };
    let after = continuation.map(|continuation| continuation.after);
    let page = select_page(&selection, &snapshot, &prefix, &collection, after.as_ref(), limit);
    for (key, stored) in &page.entries {
        unreadable::check(&call.engine.store, key, &stored.entry)?;
    }
    Ok(page)
}

fn select_page(
    selection: &Selection,
    snapshot: &Snapshot<Entry>,
    prefix: &Prefix,
    collection: &Prefix,
    after: Option<&Key>,
    limit: usize,
) -> Page {
    let revision = snapshot.revision();
    if let Scope::Key(key) = &selection.scope {
        let found = snapshot.get(key).filter(|stored| selection.matches(key, &stored.entry));
        let entries = found.map(|stored| (key.clone(), stored.clone())).into_iter().collect();
        return Page { revision, entries, next: None, remaining: None };
    }
    let mut matching = snapshot.range(prefix, after).filter(|(key, stored)| selection.matches(key, &stored.entry));
    let entries: Vec<_> = matching.by_ref().take(limit).map(|(key, stored)| (key.clone(), stored.clone())).collect();
    let mut page = Page { revision, entries, next: None, remaining: None };
    if page.entries.len() == limit && matching.next().is_some() {
        // With selectors upstream does not say how many there are left.
        page.remaining = selection.is_everything().then(|| 1 + matching.count());
        let last = page.entries.last().map(|(key, _)| key.clone());
        page.next = last.map(|after| Continuation { revision: Some(revision), after }.encode(collection));
    }
    page
}

/// Which state of the store the options ask for (the table of semantics in upstream's API concepts).
fn state(options: &ListOptions, continuation: Option<&Continuation>) -> Result<At, Status> {
    if let Some(continuation) = continuation {
        if options.resource_version.is_some_and(|version| version != Revision::ZERO) {
            return Err(Status::bad_request("specifying resource version is not allowed when using continue"));
        }
        return Ok(continuation.revision.map_or(At::Latest, At::Exactly));
    }
    Ok(match (options.resource_version, options.version_match) {
        (None, _) => At::Latest,
        (Some(Revision::ZERO), _) => At::Known,
        (Some(version), Some(VersionMatch::Exact)) => At::Exactly(version),
        (Some(version), Some(VersionMatch::NotOlderThan)) => At::NotBefore(version),
        // What a version meant before there was a match: with a limit it was exact.
        (Some(version), None) if options.limit > 0 => At::Exactly(version),
        (Some(version), None) => At::NotBefore(version),
    })
}

/// A list whose revision is no longer known: the client may go on in the newest state, or begin again.
fn expired(continuation: Option<Continuation>, collection: &Prefix) -> Status {
    let Some(continuation) = continuation else {
        return Status::resource_expired("The resourceVersion for the provided list is too old.");
    };
    let mut status = Status::resource_expired(
        "The provided continue parameter is too old to display a consistent list result. You can start a new list \
         without the continue parameter, or use the continue token in this response to retrieve the remainder of the \
         results. Continuing with the provided token results in an inconsistent list - objects that were created, \
         modified, or deleted between the time the first chunk was returned and now may show up in the list.",
    );
    let token = Continuation { revision: None, ..continuation };
    status.metadata.continue_token = token.encode(collection);
    status
}

/// The JSON of a list, in pieces.
fn frame(call: &Call<'_>, meta: &ListMeta, items: Vec<Item>) -> Result<Vec<Bytes>, Status> {
    let names = call.names();
    let mut pieces = Vec::new();
    let mut piece = BytesMut::with_capacity(PIECE_BYTES);
    piece.put_slice(
        format!(r#"{{"kind":"{}List","apiVersion":"{}","metadata":"#, names.kind, names.api_version()).as_bytes(),
    );
    piece.put_slice(&serde_json::to_vec(meta).map_err(Status::internal_error)?);
    piece.put_slice(br#","items":["#);
    for (at, item) in items.into_iter().enumerate() {
        if at > 0 {
            piece.put_u8(b',');
        }
        let body = match item {
            Item::Rest(rest) => {
                piece.put_u8(b'{');
                rest
            }
            Item::Whole(whole) => whole,
        };
        if body.len() >= PIECE_BYTES {
            // Large objects go out as they are.
            pieces.push(piece.split().freeze());
            pieces.push(body);
        } else {
            piece.put_slice(&body);
        }
        if piece.len() >= PIECE_BYTES {
            pieces.push(piece.split().freeze());
        }
    }
    piece.put_slice(b"]}");
    pieces.push(piece.freeze());
    Ok(pieces)
}

fn partial_list(page: &Page, meta: &ListMeta) -> Result<Bytes, Status> {
    let items = page.entries.iter().map(|(_, stored)| answer::metadata(stored.entry.bytes()));
    let items = items.collect::<Result<Vec<_>, _>>()?;
    let list = api::partial::PartialObjectMetadataList::new(meta.clone(), items);
    Ok(serde_json::to_vec(&list).map_err(Status::internal_error)?.into())
}
