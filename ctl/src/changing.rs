//! Follows one object from what it is now, change after change.

use std::time::Duration;

use futures::TryStreamExt;
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::io::AsyncBufReadExt;

use crate::session::Ask;
use crate::target::Target;
use crate::{Error, Session};

/// How long it takes until a watch that has ended is started again.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// Shows the line that `see` has of every state of an object, until it says that this was all. An object that is deleted is an
/// error: another one of its name is another one.
pub(crate) async fn follow(
    session: &mut Session<'_>,
    target: &Target,
    mut see: impl FnMut(&Value) -> Result<(String, bool), Error>,
) -> Result<(), Error> {
    let path = target.resource.path(Some(&target.namespace));
    let field = format!("metadata.name={}", target.name);
    let mut seen = String::new();
    loop {
        let list = session.json(Ask::get(&path).query("fieldSelector", field.as_str())).await?;
        let Some(object) = list["items"].as_array().and_then(|items| items.first()) else {
            return Err(Error::said("object has been deleted"));
        };
        let version = object["metadata"]["resourceVersion"].as_str().unwrap_or_default();
        if version != seen && show(session, see(object)?)? {
            return Ok(());
        }
        version.clone_into(&mut seen);
        let from = list["metadata"]["resourceVersion"].as_str().unwrap_or_default();
        let ask = Ask::get(&path).query("fieldSelector", field.as_str()).query("watch", "true");
        let body = session.open(ask.query("resourceVersion", from)).await?;
        let frames = body.into_data_stream().map_err(std::io::Error::other);
        let mut lines = tokio_util::io::StreamReader::new(frames).lines();
        // A connection that breaks is made anew.
        while let Ok(Some(line)) = lines.next_line().await {
            let Ok(event) = serde_json::from_str::<Value>(&line) else { continue };
            let object = &event["object"];
            match event["type"].as_str() {
                Some("ADDED" | "MODIFIED") => {
                    object["metadata"]["resourceVersion"].as_str().unwrap_or_default().clone_into(&mut seen);
                    if show(session, see(object)?)? {
                        return Ok(());
                    }
                }
                Some("DELETED") => return Err(Error::said("object has been deleted")),
                // What it started from is too old: it starts again from what there is now.
                Some("ERROR") => break,
                _ => {}
            }
        }
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

fn show(session: &mut Session<'_>, (line, is_all): (String, bool)) -> Result<bool, Error> {
    session.say(&line)?;
    session.flush()?;
    Ok(is_all)
}
