//! `gantry version`.

use clap::{Args, ValueEnum};
use serde_json::json;

use crate::output::Format;
use crate::session::Ask;
use crate::{Error, Session};

/// The arguments.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// Only that of this program: do not ask the server.
    #[arg(long)]
    client: bool,
    /// How they are shown.
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<Shown>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Shown {
    Json,
    Yaml,
}

/// This program's version.
pub(crate) fn own() -> String {
    format!("v{}", env!("CARGO_PKG_VERSION"))
}

/// Shows the versions of this program and of the server.
pub(crate) async fn run(arguments: Arguments, session: &mut Session<'_>) -> Result<(), Error> {
    let own = own();
    let server = if arguments.client { None } else { Some(session.json(Ask::get("/version")).await) };
    let (server, error) = match server {
        None => (None, None),
        Some(Ok(server)) => (Some(server), None),
        // This program's version is shown in any case.
        Some(Err(error)) => (None, Some(error)),
    };
    match arguments.output {
        None => {
            session.say(&format!("Client Version: {own}"))?;
            if let Some(version) = server.as_ref().and_then(|server| server["gitVersion"].as_str()) {
                session.say(&format!("Server Version: {version}"))?;
            }
        }
        Some(shown) => {
            let format = if shown == Shown::Json { Format::Json } else { Format::Yaml };
            let mut all = json!({"clientVersion": {"gitVersion": own}});
            if let Some(server) = server {
                all["serverVersion"] = server;
            }
            session.write(&format.show(&all, &|_| String::new())?)?;
        }
    }
    error.map_or(Ok(()), Err)
}
