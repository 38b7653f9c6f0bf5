//! What a completed configuration must keep to, in upstream's words.

use api::field::{BadValue, Error, ErrorList, Path};
use api::names;
use serde::Serialize;
use serde_json::{Value, json};

use super::arguments::Arguments;
use super::duration::GoDuration;
use super::types::{Configuration, Extender, ExtensionPoint, LeaderElection, Plugin, PluginSet, Profile};
use super::validate_arguments::validate_arguments;

/// Plugins that there were once.
const REMOVED: [&str; 4] = ["AzureDiskLimits", "CinderLimits", "EBSLimits", "GCEPDLimits"];
const REMOVED_DETAIL: &str =
    "was invalid in version \"v1\" (KubeSchedulerConfiguration is version \"kubescheduler.config.k8s.io/v1\")";

/// Everything that is wrong.
pub(super) fn validate(configuration: &Configuration) -> ErrorList {
    let mut errors = ErrorList::new();
    let burst = configuration.client_connection.burst;
    if burst < 0 {
        let path = Path::new("clientConnection").child("burst");
        errors.push(Error::invalid(&path, burst, "must be non-negative"));
    }
    errors.extend(validate_election(&configuration.leader_election, &Path::new("leaderElection")));
    if configuration.parallelism <= 0 {
        let detail = "should be an integer value greater than zero";
        errors.push(Error::invalid(&Path::new("parallelism"), configuration.parallelism, detail));
    }
    errors.extend(validate_profiles(&configuration.profiles, &Path::new("profiles")));
    let percentage = configuration.percentage_of_nodes_to_score;
    errors.extend(validate_percentage(percentage, &Path::new("percentageOfNodesToScore")));
    let (initial, max) = (configuration.pod_initial_backoff_seconds, configuration.pod_max_backoff_seconds);
    if initial <= 0 {
        errors.push(Error::invalid(&Path::new("podInitialBackoffSeconds"), initial, "must be greater than 0"));
    }
    if max < initial {
        let detail = "must be greater than or equal to PodInitialBackoffSeconds";
        errors.push(Error::invalid(&Path::new("podMaxBackoffSeconds"), max, detail));
    }
    errors.extend(validate_extenders(&configuration.extenders, &Path::new("extenders")));
    errors
}

/// A duration as errors show it.
pub(super) fn shown(duration: GoDuration) -> BadValue {
    BadValue::Text(duration.to_string())
}

fn validate_election(election: &LeaderElection, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if election.leader_elect != Some(true) {
        return errors;
    }
    let zero = GoDuration::default();
    let durations = [
        ("leaseDuration", election.lease_duration),
        ("renewDeadline", election.renew_deadline),
        ("retryPeriod", election.retry_period),
    ];
    for (field, duration) in durations.into_iter().filter(|(_, duration)| *duration <= zero) {
        errors.push(Error::invalid(&path.child(field), shown(duration), "must be greater than zero"));
    }
    if election.lease_duration <= election.renew_deadline {
        let detail = "must be greater than `RenewDeadline`";
        errors.push(Error::invalid(&path.child("leaseDuration"), shown(election.renew_deadline), detail));
    }
    if election.resource_lock != "leases" {
        let detail = "resourceLock value must be \"leases\"";
        errors.push(Error::invalid(&path.child("resourceLock"), &election.resource_lock, detail));
    }
    errors
}

fn validate_profiles(profiles: &[Profile], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (i, profile) in profiles.iter().enumerate() {
        let place = path.index(i);
        errors.extend(validate_profile(profile, &place));
        // The last before it, as upstream remembers one index a name.
        let earlier = profiles[..i].iter().rposition(|other| other.scheduler_name == profile.scheduler_name);
        if let Some(earlier) = earlier {
            let other = path.index(earlier).child("schedulerName").to_string();
            errors.push(Error::duplicate(&place.child("schedulerName"), other));
        }
    }
    errors.extend(validate_queue_sort(profiles, path));
    errors
}

fn validate_profile(profile: &Profile, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if profile.scheduler_name.is_empty() {
        errors.push(Error::required(&path.child("schedulerName"), ""));
    }
    if let Some(percentage) = profile.percentage_of_nodes_to_score {
        errors.extend(validate_percentage(percentage, &path.child("percentageOfNodesToScore")));
    }
    for point in ExtensionPoint::ALL {
        let path = path.child("plugins").child(point.field()).child("enabled");
        for (i, plugin) in profile.plugins.at(point).enabled.iter().enumerate() {
            if REMOVED.contains(&plugin.name.as_str()) {
                errors.push(Error::invalid(&path.index(i), &plugin.name, REMOVED_DETAIL));
            }
        }
    }
    for (i, config) in profile.plugin_config.iter().enumerate() {
        let path = path.child("pluginConfig").index(i);
        if profile.plugin_config[..i].iter().any(|other| other.name == config.name) {
            errors.push(Error::duplicate(&path, &config.name));
        }
        if REMOVED.contains(&config.name.as_str()) {
            errors.push(Error::invalid(&path, &config.name, REMOVED_DETAIL));
        }
        errors.extend(validate_arguments(&config.args, &path.child("args")));
    }
    errors
}

fn validate_percentage(percentage: i32, path: &Path) -> Option<Error> {
    let valid = (0..=100).contains(&percentage);
    (!valid).then(|| Error::invalid(path, percentage, "not in valid range [0-100]"))
}

/// There is one queue for all profiles, which can be sorted in one way only.
fn validate_queue_sort(profiles: &[Profile], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let Some(first) = profiles.first() else {
        errors.push(Error::required(path, ""));
        return errors;
    };
    let canon = &first.plugins.queue_sort;
    if canon.enabled.len() > 1 {
        let path = path.index(0).child("plugins").child("queueSort").child("Enabled");
        errors.push(Error::invalid(&path, canon.enabled.len(), "only one queue sort plugin can be enabled"));
    }
    let sorter = canon.enabled.first().map(|plugin| plugin.name.as_str());
    let args = |profile: &Profile| -> Option<Arguments> {
        let mut configs = profile.plugin_config.iter();
        configs.find(|config| Some(config.name.as_str()) == sorter).map(|config| config.args.clone())
    };
    let expected = args(first);
    for (i, profile) in profiles.iter().enumerate().skip(1) {
        let set = &profile.plugins.queue_sort;
        if set != canon {
            let path = path.index(i).child("plugins").child("queueSort");
            errors.push(Error::invalid(&path, shown_set(set), "must be the same for all profiles"));
        }
        if let Some(args) = args(profile).filter(|args| Some(args) != expected.as_ref()) {
            let path = path.index(i).child("pluginConfig").child("args");
            let detail = "queueSort must be the same for all profiles";
            errors.push(Error::invalid(&path, BadValue::json(&args), detail));
        }
    }
    errors
}

/// Plugins as upstream's errors show them, whose internal types have other names for the fields.
fn shown_set(set: &PluginSet) -> BadValue {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Shown {
        enabled: Option<Vec<Value>>,
        disabled: Option<Vec<Value>>,
    }
    let plugins = |plugins: &[Plugin]| {
        let shown = plugins.iter().map(|plugin| json!({"Name": plugin.name, "Weight": plugin.weight}));
        Some(shown.collect::<Vec<_>>()).filter(|shown| !shown.is_empty())
    };
    BadValue::json(&Shown { enabled: plugins(&set.enabled), disabled: plugins(&set.disabled) })
}

fn validate_extenders(extenders: &[Extender], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen: Vec<&str> = Vec::new();
    for (i, extender) in extenders.iter().enumerate() {
        let path = path.index(i);
        if !extender.prioritize_verb.is_empty() && extender.weight <= 0 {
            let detail = "must have a positive weight applied to it";
            errors.push(Error::invalid(&path.child("weight"), extender.weight, detail));
        }
        for (j, resource) in extender.managed_resources.iter().enumerate() {
            let path = path.child("managedResources").index(j).child("name");
            let messages = names::label_key(&resource.name);
            if messages.is_empty() && !is_extended(&resource.name) {
                errors.push(Error::invalid(&path, &resource.name, "is an invalid extended resource name"));
            }
            errors.push_invalid(&path, &resource.name, messages);
            if seen.contains(&resource.name.as_str()) {
                errors.push(Error::invalid(&path, &resource.name, "duplicate extender managed resource name"));
            }
            seen.push(&resource.name);
        }
    }
    let binders = extenders.iter().filter(|extender| !extender.bind_verb.is_empty()).count();
    if binders > 1 {
        let found = format!("found {binders} extenders implementing bind");
        errors.push(Error::invalid(path, found, "only one extender can implement bind"));
    }
    errors
}

/// Whether a name is that of an extended resource: one with a domain that is not Kubernetes' own, and short enough for a
/// quota to name it.
fn is_extended(name: &str) -> bool {
    let is_native = !name.contains('/') || name.contains("kubernetes.io/");
    let in_quotas = format!("requests.{name}");
    !is_native && !name.starts_with("requests.") && names::label_key(&in_quotas).is_empty()
}
