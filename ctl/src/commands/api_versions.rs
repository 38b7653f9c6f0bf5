//! `gantry api-versions`.

use clap::Args;
use serde_json::Value;

use crate::session::Ask;
use crate::{Error, Session};

/// The arguments.
#[derive(Clone, Debug, Args)]
pub struct Arguments {}

/// Lists the versions of the groups that the server has.
pub(crate) async fn run(_: Arguments, session: &mut Session<'_>) -> Result<(), Error> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let core = session.json(Ask::get("/api")).await?;
    let mut all: Vec<String> = core["versions"].as_array().into_iter().flatten().filter_map(text).collect();
    let groups = session.json(Ask::get("/apis")).await?;
    for group in groups["groups"].as_array().into_iter().flatten() {
        let versions = group["versions"].as_array().into_iter().flatten();
        all.extend(versions.filter_map(|version| text(&version["groupVersion"])));
    }
    all.sort();
    session.write(&all.iter().map(|version| format!("{version}\n")).collect::<String>())
}
