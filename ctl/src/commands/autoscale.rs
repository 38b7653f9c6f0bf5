//! `gantry autoscale`.

use api::quantity::Quantity;
use clap::Args;
use serde_json::{Value, json};

use crate::create::create;
use crate::dry_run::DryRun;
use crate::manifest::Files;
use crate::outcome::Outcome;
use crate::output::Printing;
use crate::target::{Found, Wanted, find, finish};
use crate::{Error, Session};

/// The arguments.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// What: TYPE NAME or TYPE/NAME.
    #[arg(value_name = "WHAT")]
    what: Vec<String>,
    #[command(flatten)]
    files: Files,
    /// The autoscaler's name; unless it is said, that of what it scales.
    #[arg(long, value_name = "NAME", default_value = "")]
    name: String,
    /// The least number of pods; the server decides if it is negative.
    #[arg(long, value_name = "NUMBER", default_value_t = -1, allow_negative_numbers = true)]
    min: i64,
    /// The greatest number of pods.
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    max: Option<i64>,
    /// How much CPU pods are to use: 70% of what they ask for, or 500m.
    #[arg(long, value_name = "AMOUNT", default_value = "")]
    cpu: String,
    /// How much memory pods are to use: 70% of what they ask for, or 200Mi.
    #[arg(long, value_name = "AMOUNT", default_value = "")]
    memory: String,
    /// As --cpu, in percent.
    #[arg(long, value_name = "PERCENT", default_value_t = -1, allow_negative_numbers = true, hide = true)]
    cpu_percent: i64,
    /// Do not do it: show only what would be done (client), or have the server check it too (server).
    #[arg(long, value_name = "HOW", default_value = "none", num_args = 0..=1, require_equals = true, default_missing_value = "client")]
    dry_run: DryRun,
    /// Who is to own the fields.
    #[arg(long, value_name = "NAME", default_value = "kubectl-autoscale")]
    field_manager: String,
    #[command(flatten)]
    output: Printing,
}

/// Makes an autoscaler for what is there.
pub(crate) async fn run(arguments: Arguments, session: &mut Session<'_>) -> Result<(), Error> {
    let Some(max) = arguments.max else { return Err(Error::said("required flag(s) \"max\" not set")) };
    if max < 1 {
        return Err(Error::said(
            "--max=MAXPODS is required and must be at least 1, max: ".to_owned() + &max.to_string(),
        ));
    }
    if max < arguments.min {
        return Err(Error::said(format!(
            "--max=MAXPODS must be larger or equal to --min=MINPODS, max: {max}, min: {}",
            arguments.min
        )));
    }
    if arguments.cpu_percent != -1 {
        session.remark(
            "Flag --cpu-percent has been deprecated, Use --cpu with percentage or resource quantity format (e.g., '70%' for \
             utilization or '500m' for milliCPU).",
        )?;
    }
    let metrics = arguments.metrics().map_err(Error::said)?;
    let mut outcome = Outcome::new(&arguments.output, arguments.dry_run)?;
    let wanted = Wanted {
        what: &arguments.what,
        files: &arguments.files,
        selector: "",
        field_selector: "",
        all: false,
        all_namespaces: false,
        local: false,
    };
    let Found { targets, mut errors } = find(session, wanted).await?;
    for target in &targets {
        let resource = &target.resource;
        if !resource.subresources.iter().any(|name| name == "scale") {
            errors.push(Error::said(format!(
                "cannot autoscale a {}: could not find scale subresource for {}/{}, Resource={} in discovery information",
                resource.kind, resource.group, resource.version, resource.plural
            )));
            continue;
        }
        let reference = json!({"apiVersion": resource.api_version(), "kind": resource.kind, "name": target.name});
        let mut spec = json!({"maxReplicas": max, "scaleTargetRef": reference});
        if arguments.min > 0 {
            spec["minReplicas"] = json!(arguments.min);
        }
        if !metrics.is_empty() {
            spec["metrics"] = json!(metrics);
        }
        let name = if arguments.name.is_empty() { &target.name } else { &arguments.name };
        let autoscaler = json!({
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": name},
            "spec": spec,
            "status": {"currentMetrics": null, "desiredReplicas": 0},
        });
        let how = (arguments.dry_run, arguments.field_manager.as_str());
        match create(session, autoscaler, how, &mut outcome, "autoscaled").await {
            Ok(()) => {}
            Err(error @ Error::Server(_)) => errors.push(error),
            Err(error) => return Err(error),
        }
    }
    finish(session, errors)
}

impl Arguments {
    fn metrics(&self) -> Result<Vec<Value>, String> {
        let cpu = match self.cpu_percent {
            percent if percent > 0 && self.cpu.is_empty() => format!("{percent}%"),
            _ => self.cpu.clone(),
        };
        let named = [("cpu", cpu.as_str(), "m"), ("memory", self.memory.as_str(), "Mi")];
        let said = named.into_iter().filter(|(_, amount, _)| !amount.is_empty());
        said.map(|(name, amount, unit)| {
            Ok(json!({"type": "Resource", "resource": {"name": name, "target": target(name, amount, unit)?}}))
        })
        .collect()
    }
}

/// How much is to be used; a number alone is in the unit.
fn target(name: &str, amount: &str, unit: &str) -> Result<Value, String> {
    let wrong = |why: &str| format!("invalid {name} target {amount:?}: {why}");
    if let Some(percent) = amount.strip_suffix('%') {
        let percent: u32 = percent.parse().map_err(|_| wrong("a percentage is a whole number before %"))?;
        return Ok(json!({"type": "Utilization", "averageUtilization": percent}));
    }
    let text =
        if amount.bytes().all(|byte| byte.is_ascii_digit()) { format!("{amount}{unit}") } else { amount.to_owned() };
    let quantity = Quantity::parse(&text).map_err(|error| wrong(&error.to_string()))?;
    Ok(json!({"type": "AverageValue", "averageValue": quantity.canonical()}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_shares_or_amounts() {
        assert_eq!(target("cpu", "70%", "m").unwrap(), json!({"type": "Utilization", "averageUtilization": 70}));
        assert_eq!(target("cpu", "500", "m").unwrap(), json!({"type": "AverageValue", "averageValue": "500m"}));
        assert_eq!(target("memory", "1Gi", "Mi").unwrap(), json!({"type": "AverageValue", "averageValue": "1Gi"}));
        assert!(target("cpu", "x%", "m").unwrap_err().starts_with("invalid cpu target \"x%\""));
    }
}
