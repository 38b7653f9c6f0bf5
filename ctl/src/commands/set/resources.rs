//! `gantry set resources`.

use api::quantity::Quantity;
use clap::Args;
use serde_json::json;

use super::{Which, containers, pod_spec};
use crate::{Error, Session};

/// The arguments.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    which: Which,
    /// The containers, in whose names * stands for anything.
    #[arg(short, long, value_name = "NAME", default_value = "*")]
    containers: String,
    /// What they may have at most, such as cpu=1,memory=1Gi.
    #[arg(long, value_name = "RESOURCES", default_value = "")]
    limits: String,
    /// What they need, such as cpu=1,memory=1Gi.
    #[arg(long, value_name = "RESOURCES", default_value = "")]
    requests: String,
}

/// Sets what containers need and may have.
pub(crate) async fn run(arguments: Arguments, session: &mut Session<'_>) -> Result<(), Error> {
    if arguments.limits.is_empty() && arguments.requests.is_empty() {
        return Err(Error::said(
            "you must specify an update to requests or limits (in the form of --requests/--limits)",
        ));
    }
    let limits = quantities(&arguments.limits).map_err(Error::said)?;
    let requests = quantities(&arguments.requests).map_err(Error::said)?;
    let which = &arguments.which;
    which
        .change(&which.what, "resource requirements updated", session, |target, object| {
            let found = containers(pod_spec(target, object)?, &arguments.containers);
            if found.is_empty() {
                return Err(format!("unable to find container named {}", arguments.containers));
            }
            for container in found {
                for (field, quantities) in [("limits", &limits), ("requests", &requests)] {
                    for (name, quantity) in quantities {
                        container["resources"][field][name] = json!(quantity);
                    }
                }
            }
            Ok(())
        })
        .await
}

fn quantities(text: &str) -> Result<Vec<(String, String)>, String> {
    let one = |pair: &str| {
        let wrong = || format!("Invalid argument syntax {pair}, expected <resource>=<value>");
        let (name, quantity) = pair.split_once('=').ok_or_else(wrong)?;
        let quantity = Quantity::parse(quantity).map_err(|error| error.to_string())?;
        Ok((name.to_owned(), quantity.canonical()))
    };
    text.split(',').filter(|pair| !pair.is_empty()).map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_checked() {
        let pair = |name: &str, quantity: &str| (name.to_owned(), quantity.to_owned());
        assert_eq!(quantities("cpu=1000m,memory=1Gi").unwrap(), [pair("cpu", "1"), pair("memory", "1Gi")]);
        assert_eq!(quantities("").unwrap(), []);
        assert_eq!(quantities("cpu").unwrap_err(), "Invalid argument syntax cpu, expected <resource>=<value>");
        assert!(quantities("cpu=x").unwrap_err().starts_with("quantities must match the regular expression"));
    }
}
