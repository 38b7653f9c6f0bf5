//! `gantry certs`: the certificates of a data directory, whether a server uses it or not.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use apiserver::serve::{AuthorityError, Entry, Keeper, inventory, renew, system_clock, system_random};
use clap::{Args, Subcommand, ValueEnum};
use k8s_openapi::jiff::{Timestamp, Unit};
use serde_json::{Value, json};

use crate::process;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long certificates are good that the authority issues: it must last longer.
const YEAR: Duration = DAY.saturating_mul(365);

/// The subcommands of `gantry certs`.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List certificates: whose they are, for what, until when, and who renews them.
    #[command(visible_alias = "ls")]
    List {
        #[command(flatten)]
        place: Place,
        /// How: a table, or json.
        #[arg(short, long, value_name = "FORMAT")]
        output: Option<Shown>,
    },
    /// Issue certificates anew, for the same holders and with the same keys. A server that runs shows them to new connections
    /// after a minute or two, without a restart. The authority is never replaced.
    Renew {
        /// Which ones, as `list` calls them without what is behind the dot.
        #[arg(value_name = "NAME", required_unless_present = "all", conflicts_with = "all")]
        names: Vec<String>,
        /// All that the authority issued.
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        place: Place,
    },
}

/// Whose certificates.
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// Where the cluster, or the node, keeps its files [default: /var/lib/gantry, and for others than root
    /// ~/.local/share/gantry].
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shown {
    Json,
}

/// Does what was asked for.
pub(crate) fn run(command: Command) -> Result<(), Box<dyn Error>> {
    match command {
        Command::List { place, output } => {
            let data_dir = place.data_dir.map_or_else(process::data_directory, Ok)?;
            list(&data_dir, output)
        }
        Command::Renew { names, place, all: _ } => {
            let data_dir = place.data_dir.map_or_else(process::data_directory, Ok)?;
            for path in renew(&data_dir, &names, &system_clock(), &system_random())? {
                process::announce(&format!("wrote {}", path.display()));
            }
            Ok(())
        }
    }
}

fn list(data_dir: &Path, output: Option<Shown>) -> Result<(), Box<dyn Error>> {
    let now = SystemTime::now();
    let (mut entries, mut broken) = (Vec::new(), Vec::new());
    for found in inventory(data_dir)? {
        match found {
            Ok(entry) => entries.push(entry),
            Err(error @ (AuthorityError::Broken { .. } | AuthorityError::Io { .. })) => broken.push(error.to_string()),
            Err(error) => return Err(error.into()),
        }
    }
    match output {
        Some(Shown::Json) => process::announce(&format!("{:#}", as_json(&entries, &broken, now))),
        None => process::announce(table(&entries, now).trim_end()),
    }
    for entry in entries.iter().filter(|entry| entry.is_authority) {
        let left = entry.valid_until.duration_since(now).unwrap_or_default();
        if left < YEAR {
            process::report(&format!(
                "warning: the authority in {} ends in {}, and every certificate with it; nothing renews an authority: plan a \
                 new cluster directory before that",
                entry.path.display(),
                span(left)
            ));
        }
    }
    if broken.is_empty() { Ok(()) } else { Err(broken.join("\ngantry: ").into()) }
}

fn purpose(entry: &Entry) -> String {
    let all = [("authority", entry.is_authority), ("server", entry.is_server), ("client", entry.is_client)];
    let those: Vec<&str> = all.iter().filter(|(_, is)| *is).map(|(name, _)| *name).collect();
    if those.is_empty() { "any".to_owned() } else { those.join(",") }
}

const fn keeper(entry: &Entry) -> &'static str {
    match entry.keeper {
        Keeper::Server => "by the server",
        Keeper::Agent => "by the node's agent",
        Keeper::Nobody => "no",
    }
}

fn date(time: SystemTime) -> String {
    let time = Timestamp::try_from(time).and_then(|time| time.round(Unit::Second));
    time.map_or_else(|_| "unknown".to_owned(), |time| time.to_string())
}

/// How long it is, in the unit that says enough.
fn span(time: Duration) -> String {
    match time.as_secs() {
        0 => "expired".to_owned(),
        seconds if time >= DAY => format!("{}d", seconds / DAY.as_secs()),
        seconds if seconds >= 3600 => format!("{}h", seconds / 3600),
        seconds => format!("{}m", seconds / 60),
    }
}

fn left(entry: &Entry, now: SystemTime) -> String {
    if now < entry.valid_from {
        return "not yet valid".to_owned();
    }
    span(entry.valid_until.duration_since(now).unwrap_or_default())
}

fn table(entries: &[Entry], now: SystemTime) -> String {
    let row = |entry: &Entry| {
        [
            entry.path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            purpose(entry),
            date(entry.valid_until),
            left(entry, now),
            keeper(entry).to_owned(),
            entry.issuer.clone(),
            entry.subject.clone(),
            if entry.names.is_empty() { "<none>".to_owned() } else { entry.names.join(",") },
        ]
    };
    let header = ["FILE", "PURPOSE", "EXPIRES", "LEFT", "RENEWED", "ISSUER", "SUBJECT", "NAMES"].map(str::to_owned);
    let rows: Vec<_> = std::iter::once(header).chain(entries.iter().map(row)).collect();
    let mut widths = [0; 8];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |row: &[String; 8]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("   ").trim_end())
    };
    rows.iter().map(line).collect()
}

fn as_json(entries: &[Entry], broken: &[String], now: SystemTime) -> Value {
    let one = |entry: &Entry| {
        let left = entry.valid_until.duration_since(now).unwrap_or_default();
        json!({
            "file": entry.path,
            "name": entry.name,
            "subject": entry.subject,
            "names": entry.names,
            "purpose": purpose(entry),
            "issuer": entry.issuer,
            "validFrom": date(entry.valid_from),
            "expires": date(entry.valid_until),
            "secondsLeft": left.as_secs(),
            "renewed": match entry.keeper {
                Keeper::Server => "server",
                Keeper::Agent => "agent",
                Keeper::Nobody => "no",
            },
        })
    };
    json!({"certificates": entries.iter().map(one).collect::<Vec<_>>(), "broken": broken})
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use apiserver::serve::Authority;

    use super::*;

    fn entry(name: &str, days: u64, keeper: Keeper) -> Entry {
        Entry {
            name: name.to_owned(),
            path: format!("/d/pki/{name}.crt").into(),
            subject: format!("CN={name}"),
            issuer: "CN=gantry".to_owned(),
            names: if keeper == Keeper::Server { vec!["localhost".to_owned(), "::1".to_owned()] } else { Vec::new() },
            is_server: keeper == Keeper::Server,
            is_client: keeper == Keeper::Agent,
            is_authority: keeper == Keeper::Nobody,
            valid_from: SystemTime::UNIX_EPOCH + DAY,
            valid_until: SystemTime::UNIX_EPOCH + DAY * u32::try_from(days).unwrap(),
            keeper,
        }
    }

    #[test]
    fn certificates_are_shown_with_what_is_left_of_them() {
        let entries = [entry("ca", 3650, Keeper::Nobody), entry("apiserver", 3, Keeper::Server)];
        let now = SystemTime::UNIX_EPOCH + DAY + DAY / 2;
        let expected = "\
FILE            PURPOSE     EXPIRES                LEFT    RENEWED         ISSUER      SUBJECT        NAMES
ca.crt          authority   1979-12-30T00:00:00Z   3648d   no              CN=gantry   CN=ca          <none>
apiserver.crt   server      1970-01-04T00:00:00Z   1d      by the server   CN=gantry   CN=apiserver   localhost,::1
";
        assert_eq!(table(&entries, now), expected);
        let shown = as_json(&entries, &["x is broken".to_owned()], now);
        assert_eq!(shown["certificates"][1]["secondsLeft"], 129_600);
        assert_eq!(shown["certificates"][1]["renewed"], "server");
        assert_eq!(shown["broken"][0], "x is broken");
        assert_eq!(left(&entries[1], SystemTime::UNIX_EPOCH), "not yet valid");
        assert_eq!(left(&entries[1], now + DAY * 9), "expired");
        assert_eq!(span(Duration::from_secs(7200)), "2h");
        assert_eq!(span(Duration::from_secs(120)), "2m");
    }

    #[test]
    fn a_broken_file_is_named_beside_the_others() {
        let directory = tempfile::tempdir().unwrap();
        let names = ["localhost".to_owned()];
        Authority::open(directory.path(), &names, Arc::new(SystemTime::now), system_random()).unwrap();
        list(directory.path(), None).unwrap();
        std::fs::write(directory.path().join("pki/admin.crt"), "nothing").unwrap();
        let error = list(directory.path(), Some(Shown::Json)).unwrap_err().to_string();
        assert!(error.contains("pki/admin.crt is not a certificate in PEM"), "{error}");
        let error = list(&directory.path().join("elsewhere"), None).unwrap_err().to_string();
        assert!(error.contains("elsewhere/pki"), "{error}");
    }
}
