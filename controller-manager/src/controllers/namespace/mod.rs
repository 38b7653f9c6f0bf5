//! Empties namespaces that are deleted, and then lets them go.
//!
//! Pods go first and everything else after the last of them, so that what pods need is there as long as they are. A
//! namespace is let go of when every resource was confirmed to be empty at the server, not before all servers can have
//! learned that nothing may be created in it any longer. Only the finalizer `kubernetes` is removed: who put others there
//! removes them. What the namespace waits for is in its conditions.

mod conditions;
mod content;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use client::cache::{Cache, Change};
use client::resource::{Key, Resource};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Namespace, NamespaceSpec, Pod};

use crate::controller::{Controller, Moment, Watches};
use crate::plan::{Effect, Failure, Plan, Target, to_json};
use crate::pods::is_terminal;
use conditions::Findings;
use content::Content;

/// The finalizer of this controller.
const FINALIZER: &str = "kubernetes";
const TERMINATING: &str = "Terminating";
/// How long it may take until every server refuses to create objects in the namespace (upstream's time).
const SPREADING: Duration = Duration::from_secs(5);
/// How long objects with finalizers are expected to take to go, in seconds (upstream's time).
const FINALIZERS_TAKE: i64 = 15;
/// When to look again for what the server serves.
const SOON: Duration = Duration::from_secs(1);

/// The controller.
pub struct Namespaces;

/// A namespace that is being deleted.
pub struct Observed {
    namespace: Arc<Namespace>,
    since: Timestamp,
    /// What there can be in it, by resource. Pods come first. Empty if it is not known.
    contents: Vec<Content>,
    /// The longest grace period of a pod in it that runs, in seconds.
    grace: i64,
}

impl Controller for Namespaces {
    const NAME: &'static str = "namespace-controller";
    // As many as upstream has.
    const WORKERS: usize = 10;
    type Observed = Observed;

    fn watches(&self) -> Watches {
        Watches::on::<Namespace>().reading::<Pod>().and_everything(concerned)
    }

    fn observe(&self, cache: &Cache, key: &Key) -> Option<Observed> {
        let namespace = cache.get::<Namespace>("", &key.name)?;
        let since = namespace.metadata.deletion_timestamp.as_ref()?.0;
        if !finalizers(&namespace).any(|finalizer| finalizer == FINALIZER) {
            return None;
        }
        let pods = cache.list::<Pod>(Some(&key.name));
        let grace = pods.iter().map(|pod| grace_of(pod)).max().unwrap_or(0);
        Some(Observed { contents: content::of(cache, &key.name), namespace, since, grace })
    }

    fn reconcile(&self, observed: &Observed, moment: &Moment) -> Plan {
        let mut plan = Plan::new();
        observed.decide(&mut plan, moment);
        plan
    }
}

/// The namespace that an object is in, if it is being deleted, and something is to be done there: an object is new, or was
/// the last pod, or the last of all.
fn concerned(cache: &Cache, change: &Change) -> Vec<Key> {
    let Some(name) = change.latest().and_then(|object| object.meta().namespace.clone()) else { return Vec::new() };
    let is_deleted = |namespace: &Namespace| namespace.metadata.deletion_timestamp.is_some();
    if !cache.get::<Namespace>("", &name).is_some_and(|namespace| is_deleted(&namespace)) {
        return Vec::new();
    }
    let concerns = match (&change.old, &change.new) {
        (None, Some(_)) => true,
        (Some(_), Some(_)) | (None, None) => false,
        (Some(_), None) => {
            let is_last_of_all = || cache.occupied(&name).is_empty();
            let is_of_pods = change.resource == Resource::of::<Pod>().name();
            (is_of_pods && cache.list::<Pod>(Some(&name)).is_empty()) || is_last_of_all()
        }
    };
    if concerns { vec![Key::of::<Namespace>("", &name)] } else { Vec::new() }
}

fn finalizers(namespace: &Namespace) -> impl Iterator<Item = &String> {
    namespace.spec.iter().flat_map(|spec| spec.finalizers.iter().flatten())
}

/// How many seconds a pod may take to end.
fn grace_of(pod: &Pod) -> i64 {
    let stated = pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds);
    if is_terminal(pod) { 0 } else { stated.unwrap_or(0) }
}

impl Observed {
    fn decide(&self, plan: &mut Plan, moment: &Moment) {
        if self.mark(plan) {
            return;
        }
        if self.contents.is_empty() {
            plan.look_again(SOON);
            return;
        }
        let pods = self.contents.iter().take_while(|content| content.is_of_pods()).count();
        let pods = &self.contents[..pods];
        let first = if pods.iter().any(|content| content.remaining > 0) { pods } else { &self.contents };
        let first = behind_failure(first, moment.failure.as_ref());
        let living = first.iter().any(|content| content.living > 0);
        let remain = first.iter().any(|content| content.remaining > 0);
        let findings = self.findings(&first, moment);
        if living {
            if moment.failure.is_some() {
                self.say(plan, &findings, moment);
            }
            self.sweep(plan, &first);
        } else if remain {
            self.say(plan, &findings, moment);
            plan.look_again(Duration::from_secs(findings.seconds.unsigned_abs() / 2 + 1));
        } else {
            self.finish(plan, &first, &findings, moment);
        }
    }

    /// Says that the namespace ends, if the server that took the request did not. Returns whether that was to be said.
    fn mark(&self, plan: &mut Plan) -> bool {
        let mut new = Namespace::clone(&self.namespace);
        new.status.get_or_insert_default().phase = Some(TERMINATING.to_owned());
        plan.update_status(&*self.namespace, &new).is_some()
    }

    /// Deletes what is there as far as it is not going already, and what cannot be seen.
    fn sweep(&self, plan: &mut Plan, contents: &[&Content]) {
        for content in contents {
            if content.living > 0 || !content.is_kept {
                content.delete(plan, self.name());
            }
        }
    }

    /// What is to be said of contents.
    fn findings(&self, contents: &[&Content], moment: &Moment) -> Findings {
        let elapsed = moment.now.duration_since(self.since);
        let grace = if elapsed >= SignedDuration::from_secs(self.grace) { 0 } else { self.grace };
        let mut findings = Findings::default();
        // What is not being deleted yet is not what remains after its deletion.
        for content in contents.iter().filter(|content| content.remaining > 0 && content.living == 0) {
            let seconds = match (content.is_of_pods(), content.finalizers.is_empty()) {
                (true, _) if grace > 0 => grace,
                (_, false) => FINALIZERS_TAKE,
                _ => {
                    findings.unexpected(self.name(), &content.resource);
                    FINALIZERS_TAKE
                }
            };
            findings.remains(content, seconds);
        }
        if let Some(failure) = moment.failure.as_ref().filter(|failure| self.is_about_content(failure)) {
            findings.failed(&failure.message);
        }
        findings
    }

    fn is_about_content(&self, failure: &Failure) -> bool {
        self.contents.iter().any(|content| content.is_target(failure))
    }

    /// Writes down what was found. Returns whether there was something to write.
    fn say(&self, plan: &mut Plan, findings: &Findings, moment: &Moment) -> bool {
        let mut new = Namespace::clone(&self.namespace);
        findings.write(new.status.get_or_insert_default(), moment.now);
        plan.update_status(&*self.namespace, &new).is_some()
    }

    /// Lets the namespace go, of which nothing is to be seen any longer.
    fn finish(&self, plan: &mut Plan, contents: &[&Content], findings: &Findings, moment: &Moment) {
        let elapsed = Duration::try_from(moment.now.duration_since(self.since)).unwrap_or_default();
        if let Some(rest) = SPREADING.checked_sub(elapsed).filter(|rest| !rest.is_zero()) {
            plan.look_again(rest);
            return;
        }
        let has_failed = moment.failure.is_some() && self.say(plan, findings, moment);
        let (kept, unseen): (Vec<&Content>, Vec<&Content>) = contents.iter().partition(|content| content.is_kept);
        if 2 * unseen.len() + 2 > plan.room() {
            // They are about to be seen.
            plan.look_again(SOON);
            return;
        }
        for content in unseen {
            content.delete(plan, self.name());
            content.confirm(plan, self.name());
        }
        if has_failed || self.say(plan, findings, moment) {
            return;
        }
        // Of more resources than a plan can ask for, the cache has to be believed.
        for content in kept.into_iter().take(plan.room() - 1) {
            content.confirm(plan, self.name());
        }
        let effect = Effect::Replace { subresource: "finalize", body: to_json(&self.without_finalizer()) };
        plan.act(Target::of(&*self.namespace), effect);
    }

    fn without_finalizer(&self) -> Namespace {
        let mut rest: Vec<String> = finalizers(&self.namespace).filter(|it| *it != FINALIZER).cloned().collect();
        rest.sort();
        rest.dedup();
        let spec = Some(NamespaceSpec { finalizers: Some(rest) });
        Namespace { metadata: self.namespace.metadata.clone(), spec, status: None }
    }

    fn name(&self) -> &str {
        self.namespace.metadata.name.as_deref().unwrap_or_default()
    }
}

/// The contents in an order in which what failed comes last, so that each gets its turn.
fn behind_failure<'a>(contents: &'a [Content], failure: Option<&Failure>) -> Vec<&'a Content> {
    let failed = failure.and_then(|failure| contents.iter().position(|content| content.is_target(failure)));
    let (before, after) = contents.split_at(failed.map_or(0, |position| position + 1));
    after.iter().chain(before).collect()
}
