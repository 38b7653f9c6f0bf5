//! One object and what becomes of it, from a list of one and a watch that goes on from there.
//!
//! Whatever ends the watch, the next look starts anew: nothing that happens is missed for good.

use std::time::Duration;

use futures::TryStreamExt;
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, Lines};

use crate::resources::Resource;
use crate::session::Ask;
use crate::{Error, Session};

/// How long to wait before the server is asked again after it ended a watch.
const PAUSE: Duration = Duration::from_millis(500);

type Events = Lines<Box<dyn AsyncBufRead + Unpin + Send>>;

/// What has become of an object.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Change {
    /// It is there, and so.
    Now(Value),
    /// It is not there any more.
    Gone,
    /// Nobody knows until the server is asked anew.
    Unknown,
}

/// An object that is followed.
pub(crate) struct Follow {
    pub(crate) resource: Resource,
    pub(crate) namespace: String,
    pub(crate) name: String,
    events: Option<Events>,
    starts_anew: bool,
}

impl Follow {
    pub(crate) fn new(resource: Resource, namespace: String, name: String) -> Follow {
        Follow { resource, namespace, name, events: None, starts_anew: false }
    }

    /// Whether the server is to be asked before the next change can be known.
    pub(crate) fn is_closed(&self) -> bool {
        self.events.is_none()
    }

    /// What the object is now; none if it is not there. What it becomes from now on, [`Follow::change`] tells.
    pub(crate) async fn open(&mut self, session: &mut Session<'_>) -> Result<Option<Value>, Error> {
        if std::mem::replace(&mut self.starts_anew, true) {
            tokio::time::sleep(PAUSE).await;
        }
        let path = self.resource.path(Some(&self.namespace));
        let fields = format!("metadata.name={}", self.name);
        let list = session.json(Ask::get(&path).query("fieldSelector", fields.as_str())).await?;
        let version = list["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
        let ask = Ask::get(&path).query("fieldSelector", fields).query("watch", "true");
        let body = session.open(ask.query("resourceVersion", version)).await?;
        let frames = body.into_data_stream().map_err(std::io::Error::other);
        let reader: Box<dyn AsyncBufRead + Unpin + Send> =
            Box::new(tokio_util::io::StreamReader::new(Box::pin(frames)));
        self.events = Some(reader.lines());
        // A list's items do not say what they are.
        let found = list["items"].as_array().and_then(|items| items.first()).map(|item| {
            let mut item = item.clone();
            item["apiVersion"] = self.resource.api_version().into();
            item["kind"] = self.resource.kind.as_str().into();
            item
        });
        Ok(found)
    }

    /// The next change. Whoever stops waiting for it loses none.
    pub(crate) async fn change(&mut self) -> Change {
        while let Some(events) = &mut self.events {
            let Ok(Some(line)) = events.next_line().await else { break };
            let Ok(mut event) = serde_json::from_str::<Value>(&line) else { break };
            match event["type"].as_str() {
                Some("ADDED" | "MODIFIED") => return Change::Now(event["object"].take()),
                Some("DELETED") => return Change::Gone,
                Some("BOOKMARK") => {}
                _ => break,
            }
        }
        self.events = None;
        Change::Unknown
    }

    /// Shows the line that `see` has of every state of the object, until it says that this was all.
    ///
    /// An object that is deleted is an error: another one of its name is another one.
    pub(crate) async fn show(
        &mut self,
        session: &mut Session<'_>,
        mut see: impl FnMut(&Value) -> Result<(String, bool), Error>,
    ) -> Result<(), Error> {
        let gone = || Error::said("object has been deleted");
        let mut seen = Value::Null;
        loop {
            let mut object = self.open(session).await?.ok_or_else(gone)?;
            // What was seen before the watch was made anew is not shown again.
            let mut is_new = object["metadata"]["resourceVersion"] != seen;
            loop {
                if is_new {
                    let (line, is_all) = see(&object)?;
                    session.say(&line)?;
                    session.flush()?;
                    if is_all {
                        return Ok(());
                    }
                }
                seen = object["metadata"]["resourceVersion"].take();
                object = match self.change().await {
                    Change::Now(object) => object,
                    Change::Gone => return Err(gone()),
                    Change::Unknown => break,
                };
                is_new = true;
            }
        }
    }

    /// As it is said: `pods/a`.
    pub(crate) fn plural_name(&self) -> String {
        format!("{}/{}", self.resource.plural, self.name)
    }
}
