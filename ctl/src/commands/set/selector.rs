//! `gantry set selector`.

use clap::Args;
use serde_json::{Map, Value, json};

use super::Which;
use crate::{Error, Session};

/// The arguments.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    which: Which,
    /// Only if this is its version.
    #[arg(long, value_name = "VERSION", default_value = "")]
    resource_version: String,
}

/// Sets which pods a Service has: all others are none of its any more.
pub(crate) async fn run(arguments: Arguments, session: &mut Session<'_>) -> Result<(), Error> {
    let which = &arguments.which;
    let (what, labels) = match which.what.split_last() {
        Some((last, what)) if last.contains('=') => (what, labels(last).map_err(Error::said)?),
        _ => {
            return Err(Error::said("You must provide one or more resources by argument or filename, and a selector."));
        }
    };
    which
        .change(what, "selector updated", session, |target, object| {
            if target.resource.kind != "Service" {
                return Err("setting a selector is only supported for Services".to_owned());
            }
            object["spec"]["selector"] = Value::Object(labels.clone());
            if !arguments.resource_version.is_empty() {
                object["metadata"]["resourceVersion"] = json!(arguments.resource_version);
            }
            Ok(())
        })
        .await
}

fn labels(text: &str) -> Result<Map<String, Value>, String> {
    let one = |pair: &str| {
        let (key, value) = pair.split_once('=').unwrap_or_default();
        if key.is_empty() || key.ends_with(['!', ' ']) {
            return Err(format!("match expression {pair:?} not supported on this object"));
        }
        Ok((key.to_owned(), json!(value.trim_start_matches('='))))
    };
    text.split(',').map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_labels_select_the_pods_of_services() {
        assert_eq!(Value::Object(labels("a=b,c==d").unwrap()), json!({"a": "b", "c": "d"}));
        assert!(labels("a!=b").is_err());
        assert!(labels("a=b,c in (d)").is_err());
    }
}
