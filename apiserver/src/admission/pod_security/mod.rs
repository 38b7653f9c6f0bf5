//! Pods keep to the Pod Security Standards that the labels of their namespace ask for.
//!
//! What always holds: a pod that breaks what is enforced is not written, and nothing else is refused for what it would do;
//! who makes pods, or what makes them, is warned. Nobody and nothing is exempt but for what a file says. What is to be audited
//! is judged like the rest, and noted in the audit log, as is by which standard a pod was judged.

mod checks;
mod configuration;
mod existing;
mod levels;
mod significant;

use std::time::Duration;

use api::field::ErrorList;
use api::status::{GroupKind, Status};
use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{Namespace, Pod, PodSpec, PodTemplate, PodTemplateSpec, ReplicationController};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use tokio::time::Instant;

use self::configuration::Exemptions;
use self::levels::{Level, PREFIX, Policy, Standard};
use super::{Operation, Plugin, Review, typed};
use crate::object::Object;

const NAMESPACES: &str = "core/namespaces";
const PODS: &str = "core/pods";
/// What makes pods of a template that it has.
const TEMPLATES: [&str; 8] = [
    "apps/daemonsets",
    "apps/deployments",
    "apps/replicasets",
    "apps/statefulsets",
    "batch/cronjobs",
    "batch/jobs",
    "core/podtemplates",
    "core/replicationcontrollers",
];
/// The parts of a pod that do not say what it may do.
const HARMLESS: [&str; 8] = ["attach", "binding", "eviction", "exec", "log", "portforward", "proxy", "status"];
/// The annotations of audit events that say by which standard a pod was judged, and what breaks what is to be audited.
const ENFORCED: &str = "enforce-policy";
const VIOLATIONS: &str = "audit-violations";
/// The annotation that says why a pod was not judged, and what it says of a pod whose RuntimeClass is exempt.
const EXEMPT: &str = "exempt";
const RUNTIME_CLASS: &str = "runtimeClass";
/// How long the pods of a namespace are looked through when its labels change (upstream's number).
const MAX_TIME: Duration = Duration::from_secs(1);

/// Without more, nothing is asked of pods where no label does, and nothing is exempt.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct PodSecurity {
    /// What is asked where labels do not say.
    defaults: Policy,
    exemptions: Exemptions,
}

impl Plugin for PodSecurity {
    fn handles(&self, review: &Review<'_>) -> bool {
        match &*review.call.resource.storage.path {
            PODS => !HARMLESS.contains(&review.subresource),
            path => review.subresource.is_empty() && (path == NAMESPACES || TEMPLATES.contains(&path)),
        }
    }

    fn validate<'a>(
        &'a self,
        review: &'a Review<'a>,
        object: &'a dyn Object,
        old: Option<&'a dyn Object>,
    ) -> BoxFuture<'a, Result<(), Status>> {
        async move {
            if let Some(namespace) = typed::<Namespace>(object) {
                return self.check_namespace(review, namespace, old.and_then(typed)).await;
            }
            if let Some(pod) = typed::<Pod>(object) {
                return self.check_pod(review, pod, old.and_then(typed)).await;
            }
            match template(object) {
                Some(template) => self.check_template(review, template).await,
                None => Ok(()),
            }
        }
        .boxed()
    }
}

impl PodSecurity {
    /// The labels of a namespace are to be understood, and whoever makes them stricter is told which pods are not so strict.
    async fn check_namespace(
        &self,
        review: &Review<'_>,
        new: &Namespace,
        old: Option<&Namespace>,
    ) -> Result<(), Status> {
        let (policy, errors) = self.policy_of(new);
        let name = new.metadata.name.as_deref().unwrap_or_default();
        let invalid = || Err(Status::invalid(&GroupKind::new("", "Namespace"), name, &errors));
        let warn_if_exempt = || {
            let warning =
                self.exemptions.has_namespace(name).then(|| self.warning_if_ignored(name, policy, new)).flatten();
            warning.into_iter().for_each(|warning| review.call.warn(warning));
            Ok(())
        };
        let Some(old) = old.filter(|_| review.operation == Operation::Update) else {
            return if errors.is_empty() { warn_if_exempt() } else { invalid() };
        };
        let (was, old_errors) = self.policy_of(old);
        // What was wrong before is no reason to refuse another change.
        if !errors.is_empty() && errors.to_string() != old_errors.to_string() {
            return invalid();
        }
        let relaxed = policy.enforce.version == was.enforce.version && policy.enforce.level <= was.enforce.level;
        if relaxed || policy.enforce.level == Level::Privileged {
            return Ok(());
        }
        if self.exemptions.has_namespace(name) {
            return warn_if_exempt();
        }
        let until = Instant::now() + MAX_TIME;
        let warnings = match review.list::<Pod>(PODS, name).await {
            Ok(pods) => {
                let is_exempt = |spec: &PodSpec| self.exemptions.has_runtime_class(spec);
                existing::warnings(name, policy.enforce, pods, is_exempt, || Instant::now() >= until)
            }
            Err(_) => vec!["failed to list pods while checking new PodSecurity enforce level".to_owned()],
        };
        warnings.into_iter().for_each(|warning| review.call.warn(warning));
        Ok(())
    }

    async fn check_pod(&self, review: &Review<'_>, pod: &Pod, old: Option<&Pod>) -> Result<(), Status> {
        if let Some(what) = self.exemptions.of(review.call) {
            annotate(review, EXEMPT, what.to_owned());
            return Ok(());
        }
        let Some((policy, errors)) = self.policy(review).await? else {
            let name = review.call.namespace();
            let status = Status::internal_error(format!("failed to lookup namespace \"{name}\""));
            annotate(review, "error", format!("{}: namespaces \"{name}\" not found", status.message));
            return Err(status);
        };
        if policy.is_privileged() && errors.is_empty() {
            annotate(review, ENFORCED, Standard::NONE.to_string());
            return Ok(());
        }
        if old.is_some_and(|old| !significant::differs(pod, old)) {
            return Ok(());
        }
        let (none, meta) = (PodSpec::default(), &pod.metadata);
        let spec = pod.spec.as_ref().unwrap_or(&none);
        if self.exemptions.has_runtime_class(spec) {
            annotate(review, EXEMPT, RUNTIME_CLASS.to_owned());
            return Ok(());
        }
        annotate(review, ENFORCED, policy.enforce.to_string());
        audit(review, policy, &errors, meta, spec);
        let found = checks::evaluate(policy.enforce, meta, spec);
        if !found.is_empty() {
            let why = format!("violates PodSecurity \"{}\": {}", policy.enforce, found.details());
            return Err(review.forbidden(pod, why));
        }
        warn(review, policy, meta, spec);
        Ok(())
    }

    /// What would make pods is told that these would be refused, or are not as they should be.
    async fn check_template(&self, review: &Review<'_>, template: &PodTemplateSpec) -> Result<(), Status> {
        if let Some(what) = self.exemptions.of(review.call) {
            annotate(review, EXEMPT, what.to_owned());
            return Ok(());
        }
        // Upstream lets it pass, too, if it cannot know of the namespace: the pods themselves do not pass.
        let why = match self.policy(review).await {
            Ok(Some((policy, errors))) => {
                if !policy.asks_nothing_of_templates() || !errors.is_empty() {
                    self.judge_template(review, policy, &errors, template);
                }
                return Ok(());
            }
            Ok(None) => format!("namespaces \"{}\" not found", review.call.namespace()),
            Err(status) => status.message,
        };
        annotate(review, "error", format!("failed to lookup namespace \"{}\": {why}", review.call.namespace()));
        Ok(())
    }

    fn judge_template(&self, review: &Review<'_>, policy: Policy, errors: &ErrorList, template: &PodTemplateSpec) {
        let (no_meta, no_spec) = (ObjectMeta::default(), PodSpec::default());
        let meta = template.metadata.as_ref().unwrap_or(&no_meta);
        let spec = template.spec.as_ref().unwrap_or(&no_spec);
        if self.exemptions.has_runtime_class(spec) {
            annotate(review, EXEMPT, RUNTIME_CLASS.to_owned());
            return;
        }
        audit(review, policy, errors, meta, spec);
        warn(review, policy, meta, spec);
    }

    /// What the namespace asks for, and what is wrong with how it says so; nothing, if it does not exist.
    async fn policy(&self, review: &Review<'_>) -> Result<Option<(Policy, ErrorList)>, Status> {
        let namespace = review.look_up::<Namespace>(NAMESPACES, "", review.call.namespace()).await?;
        Ok(namespace.map(|namespace| self.policy_of(&namespace)))
    }

    fn policy_of(&self, namespace: &Namespace) -> (Policy, ErrorList) {
        Policy::of(namespace.metadata.labels.as_ref(), &self.defaults)
    }

    /// What is said to who labels a namespace that is exempt, if the labels ask for anything.
    fn warning_if_ignored(&self, name: &str, policy: Policy, namespace: &Namespace) -> Option<String> {
        let modes = [("enforce", policy.enforce), ("audit", policy.audit), ("warn", policy.warn)];
        if policy == self.defaults || modes.iter().all(|(_, standard)| standard.level == Level::Privileged) {
            return None;
        }
        let labels = namespace.metadata.labels.as_ref();
        let has = |label: String| labels.is_some_and(|labels| labels.contains_key(&label));
        let stated = |mode: &str| has(format!("{PREFIX}{mode}")) || has(format!("{PREFIX}{mode}-version"));
        let asked = modes.iter().filter(|(mode, standard)| standard.level != Level::Privileged && stated(mode));
        let asked: Vec<String> = asked.map(|(mode, standard)| format!("{mode}={standard}")).collect();
        let asked = asked.join(", ");
        Some(format!("namespace {name:?} is exempt from Pod Security, and the policy ({asked}) will be ignored"))
    }
}

/// Notes what is to be audited.
fn audit(review: &Review<'_>, policy: Policy, errors: &ErrorList, meta: &ObjectMeta, spec: &PodSpec) {
    if !errors.is_empty() {
        annotate(review, "error", format!("Failed to parse policy: {errors}"));
    }
    let found = checks::evaluate(policy.audit, meta, spec);
    if !found.is_empty() {
        annotate(review, VIOLATIONS, format!("would violate PodSecurity \"{}\": {}", policy.audit, found.details()));
    }
}

fn annotate(review: &Review<'_>, name: &str, value: String) {
    review.call.annotate(format!("{PREFIX}{name}"), value);
}

fn warn(review: &Review<'_>, policy: Policy, meta: &ObjectMeta, spec: &PodSpec) {
    let found = checks::evaluate(policy.warn, meta, spec);
    if !found.is_empty() {
        review.call.warn(format!("would violate PodSecurity \"{}\": {}", policy.warn, found.details()));
    }
}

/// The template that pods are made of.
fn template(object: &dyn Object) -> Option<&PodTemplateSpec> {
    if let Some(object) = typed::<Deployment>(object) {
        return Some(&object.spec.template);
    }
    if let Some(object) = typed::<ReplicaSet>(object) {
        return object.spec.template.as_ref();
    }
    if let Some(object) = typed::<StatefulSet>(object) {
        return Some(&object.spec.template);
    }
    if let Some(object) = typed::<DaemonSet>(object) {
        return Some(&object.spec.template);
    }
    if let Some(object) = typed::<Job>(object) {
        return object.spec.as_ref().map(|spec| &spec.template);
    }
    if let Some(object) = typed::<CronJob>(object) {
        return object.spec.job_template.spec.as_ref().map(|spec| &spec.template);
    }
    if let Some(object) = typed::<PodTemplate>(object) {
        return object.template.as_ref();
    }
    let object = typed::<ReplicationController>(object)?;
    object.spec.as_ref().and_then(|spec| spec.template.as_ref())
}
