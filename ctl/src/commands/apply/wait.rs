//! Waiting until what was applied is ready, and showing how far it has come: on a terminal one line an object that is written
//! anew, otherwise a line a change.

use std::time::Duration;

use futures::FutureExt;
use futures::future::select_all;
use serde_json::Value;

use crate::follow::{Change, Follow};
use crate::manifest::Placed;
use crate::progress::Progress;
use crate::readiness::{self, Readiness};
use crate::{Error, Session};

/// An object that is waited for.
struct Awaited {
    follow: Follow,
    readiness: Readiness,
}

/// Waits until all are ready, one is not to become so, or the time is up.
pub(super) async fn until_ready(
    session: &mut Session<'_>,
    applied: &[Placed],
    timeout: Option<Duration>,
) -> Result<(), Error> {
    let mut all: Vec<Awaited> = Vec::new();
    for placed in applied {
        let (resource, name) = (placed.resource.clone(), placed.name().to_owned());
        // An object may be in a file twice.
        let is_known = all.iter().any(|awaited| {
            awaited.follow.resource == resource
                && awaited.follow.namespace == placed.namespace
                && awaited.follow.name == name
        });
        if readiness::has_readiness(&resource.group, &resource.kind) && !is_known {
            let follow = Follow::new(resource, placed.namespace.clone(), name);
            all.push(Awaited { follow, readiness: Readiness::Waiting("not seen yet".to_owned()) });
        }
    }
    let mut progress = Progress::new(session);
    let waiting = until_settled(session, &mut all, &mut progress);
    let is_late = match timeout {
        None => {
            waiting.await?;
            false
        }
        Some(timeout) => match tokio::time::timeout(timeout, waiting).await {
            Ok(result) => {
                result?;
                false
            }
            Err(_) => true,
        },
    };
    let of = |awaited: &Awaited| awaited.follow.resource.object(&awaited.follow.name);
    let unready = all.iter().filter(|awaited| awaited.readiness != Readiness::Ready);
    let unready: Vec<String> =
        unready.map(|awaited| format!("{}: {}", of(awaited), awaited.readiness.words())).collect();
    match (&unready[..], is_late) {
        ([], _) => Ok(()),
        (unready, true) => Err(Error::said(format!("timed out waiting until it is ready: {}", unready.join("; ")))),
        (unready, false) => Err(Error::said(unready.join("; "))),
    }
}

/// Follows them until none is waited for any more.
async fn until_settled(session: &mut Session<'_>, all: &mut [Awaited], progress: &mut Progress) -> Result<(), Error> {
    progress.redraw(session, all.iter().map(Awaited::line))?;
    loop {
        for at in 0..all.len() {
            if all[at].is_settled() || !all[at].follow.is_closed() {
                continue;
            }
            let now = all[at].follow.open(session).await?;
            all[at].see(now.as_ref(), session, progress)?;
            progress.redraw(session, all.iter().map(Awaited::line))?;
        }
        let open = all.iter_mut().enumerate().filter(|(_, awaited)| !awaited.is_settled());
        let changes: Vec<_> =
            open.map(|(at, awaited)| awaited.follow.change().map(move |change| (at, change)).boxed()).collect();
        if changes.is_empty() {
            return Ok(());
        }
        let ((at, change), _, others) = select_all(changes).await;
        drop(others);
        match change {
            Change::Now(object) => all[at].see(Some(&object), session, progress)?,
            Change::Gone => all[at].see(None, session, progress)?,
            Change::Unknown => continue,
        }
        progress.redraw(session, all.iter().map(Awaited::line))?;
    }
}

impl Awaited {
    fn is_settled(&self) -> bool {
        !matches!(self.readiness, Readiness::Waiting(_))
    }

    fn line(&self) -> String {
        format!("{}: {}", self.follow.resource.object(&self.follow.name), self.readiness.words())
    }

    /// Takes note of what it is now.
    fn see(&mut self, object: Option<&Value>, session: &mut Session<'_>, progress: &Progress) -> Result<(), Error> {
        let resource = &self.follow.resource;
        let readiness = match object {
            Some(object) => readiness::of(&resource.group, &resource.kind, object),
            None => Readiness::Failed("was deleted".to_owned()),
        };
        if readiness == self.readiness {
            return Ok(());
        }
        self.readiness = readiness;
        // Where nothing can be written anew.
        if !progress.is_shown() {
            session.say(&self.line())?;
            session.flush()?;
        }
        Ok(())
    }
}
