//! One container of any list: its name, image, policies and ports; the rest is asked of its own module.

use std::collections::HashSet;

use api::field::{BadValue, Error, ErrorList, Path};
use api::names;
use k8s_openapi::api::core::v1::{Container, ContainerPort, ContainerResizePolicy, ContainerRestartRule};

use super::absent::{list, number, text};
use super::containers::Surroundings;
use super::rules::{dns_label, named, one_of, present, supported};
use super::{env, mounts, resources, security};

const PROTOCOLS: &[&str] = &["SCTP", "TCP", "UDP"];
const PULL_POLICIES: &[&str] = &["Always", "IfNotPresent", "Never"];
const MAX_RESTART_RULES: usize = 20;
const MAX_EXIT_CODES: usize = 255;

pub(super) fn validate(container: &Container, context: &Surroundings<'_>, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let name_path = path.child("name");
    match present(&container.name, &name_path) {
        Some(missing) => errors.push(missing),
        None => errors.extend(dns_label(&container.name, &name_path)),
    }
    errors.extend(present(text(&container.image), &path.child("image")));
    let policies = &["File", "FallbackToLogsOnError"];
    let policy = text(&container.termination_message_policy);
    errors.extend(one_of(policy, policies, &path.child("terminationMessagePolicy")));
    errors.extend(validate_ports(list(&container.ports), &path.child("ports")));
    errors.extend(env::validate(list(&container.env), &path.child("env")));
    errors.extend(env::validate_from(list(&container.env_from), &path.child("envFrom")));
    errors.extend(mounts::validate_mounts(container, context.volumes, &path.child("volumeMounts")));
    errors.extend(mounts::validate_devices(container, context.volumes, &path.child("volumeDevices")));
    errors.extend(validate_pull_policy(text(&container.image_pull_policy), &path.child("imagePullPolicy")));
    if let Some(requirements) = &container.resources {
        let resources_path = path.child("resources");
        errors.extend(resources::validate_container(requirements, context.spec, context.options, &resources_path));
    }
    let restart_policy = text(&context.spec.restart_policy);
    let resize_path = path.child("resizePolicy");
    errors.extend(validate_resize_policy(list(&container.resize_policy), restart_policy, &resize_path));
    if let Some(security_context) = &container.security_context {
        let path = path.child("securityContext");
        errors.extend(security::validate_container(security_context, context.host_users(), &path));
    }
    errors
}

/// Demanded of pods but not of templates, where a padded image may stand for something else.
pub(super) fn validate_image_of_pod(container: &Container, path: &Path) -> Option<Error> {
    let image = text(&container.image);
    let padded = image.trim().len() != image.len();
    padded.then(|| Error::invalid(&path.child("image"), image, "must not have leading or trailing whitespace"))
}

pub(super) fn validate_pull_policy(policy: &str, path: &Path) -> Option<Error> {
    one_of(policy, PULL_POLICIES, path)
}

/// The restart policy of a container's own, of an ordinary or an init container.
pub(super) fn validate_restart_policy(container: &Container, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let rules = list(&container.restart_policy_rules);
    let policy_path = path.child("restartPolicy");
    match &container.restart_policy {
        None if rules.is_empty() => return errors,
        None => {
            errors.push(Error::required(&policy_path, "must specify restartPolicy when restart rules are used"));
        }
        Some(policy) => errors.extend(supported(policy, &["Always", "Never", "OnFailure"], &policy_path)),
    }
    let rules_path = path.child("restartPolicyRules");
    if rules.len() > MAX_RESTART_RULES {
        errors.push(Error::too_many(&rules_path, rules.len(), MAX_RESTART_RULES));
    }
    for (i, rule) in rules.iter().enumerate() {
        errors.extend(validate_restart_rule(rule, &rules_path.index(i)));
    }
    errors
}

fn validate_restart_rule(rule: &ContainerRestartRule, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    errors.extend(supported(&rule.action, &["Restart", "RestartAllContainers"], &path.child("action")));
    let path = path.child("exitCodes");
    let Some(exit_codes) = &rule.exit_codes else {
        errors.push(Error::required(&path, "must be specified"));
        return errors;
    };
    errors.extend(supported(&exit_codes.operator, &["In", "NotIn"], &path.child("operator")));
    let values = list(&exit_codes.values);
    if values.len() > MAX_EXIT_CODES {
        errors.push(Error::too_many(&path.child("values"), values.len(), MAX_EXIT_CODES));
    }
    errors
}

fn validate_ports(ports: &[ContainerPort], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut port_names = HashSet::new();
    for (i, port) in ports.iter().enumerate() {
        let path = path.index(i);
        let name = text(&port.name);
        if !name.is_empty() {
            let messages = names::port_name(name);
            if messages.is_empty() && !port_names.insert(name) {
                errors.push(Error::duplicate(&path.child("name"), name));
            }
            errors.extend(named(name, messages, &path.child("name")));
        }
        if port.container_port == 0 {
            errors.push(Error::required(&path.child("containerPort"), ""));
        } else {
            errors.extend(validate_port_number(port.container_port, &path.child("containerPort")));
        }
        if number(port.host_port) != 0 {
            errors.extend(validate_port_number(number(port.host_port), &path.child("hostPort")));
        }
        errors.extend(one_of(text(&port.protocol), PROTOCOLS, &path.child("protocol")));
    }
    errors
}

/// That the number is one of a port.
pub(super) fn validate_port_number(port: i32, path: &Path) -> ErrorList {
    names::port_number(port.into()).into_iter().map(|message| Error::invalid(path, port, message)).collect()
}

fn validate_resize_policy(policies: &[ContainerResizePolicy], restart_policy: &str, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut resources = HashSet::new();
    for (i, policy) in policies.iter().enumerate() {
        if !resources.insert(&policy.resource_name) {
            errors.push(Error::duplicate(&path.index(i), BadValue::json(&policy.resource_name)));
        }
        errors.extend(one_of(&policy.resource_name, &["cpu", "memory"], path));
        errors.extend(one_of(&policy.restart_policy, &["NotRequired", "RestartContainer"], path));
        if restart_policy == "Never" && policy.restart_policy != "NotRequired" {
            let detail = "must be 'NotRequired' when pod `restartPolicy` is 'Never'";
            errors.push(Error::invalid(path, BadValue::json(&policy.restart_policy), detail));
        }
    }
    errors
}
