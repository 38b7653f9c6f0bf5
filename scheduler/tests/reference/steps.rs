//! What happens in a case: changes, and decisions in between.
//!
//! Pods are made of a few templates, so that many are alike.

use std::fmt;
use std::ops::Range;

use k8s_openapi::api::core::v1::Pod;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::events::{self, Change, Object};
use crate::generate::{self, ANYTHING, COMPANY};

/// Something that happens, shown on one line.
#[derive(Clone)]
pub(crate) struct Step(pub(crate) Action);

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format!("{:?}", self.0))
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Action {
    Change(Change),
    /// So many pods of a template are decided on, one after the other.
    Decide {
        template: usize,
        times: usize,
        /// Whether what they ask is kept counted from then on.
        watch: bool,
        /// The node that the pods name, if they do. They then go nowhere.
        named: Option<&'static str>,
        /// The node on which room was made for the first.
        nominated: Option<&'static str>,
        /// Whether room that can be made is made.
        preempt: bool,
    },
}

/// The templates of pods, and what happens.
pub(crate) type Case = (Vec<Object<Pod>>, Vec<Step>);

/// Anything.
pub(crate) fn anything() -> BoxedStrategy<Case> {
    const TEMPLATES: usize = 4;
    let times = prop_oneof![2 => Just(1), 1 => 2..7usize];
    let rest = prop_oneof![
        3 => events::change(TEMPLATES).prop_map(Action::Change),
        2 => decide(0..TEMPLATES, times),
    ];
    let pods = vec(generate::pod(ANYTHING).prop_map(Object::new), TEMPLATES);
    (pods, start(events::set_pod(0..TEMPLATES, 0..12), 0..16), vec(rest, 1..16)).prop_map(case).boxed()
}

/// Nodes are full of unimportant pods when important ones come.
pub(crate) fn crowds() -> BoxedStrategy<Case> {
    let important = (generate::pod(ANYTHING), any::<bool>()).prop_map(|(mut pod, demanding)| {
        generate::make_welcome(&mut pod);
        if demanding {
            generate::make_demanding(&mut pod);
        }
        pod.spec.as_mut().unwrap().priority = Some(9);
        Object::new(pod)
    });
    let rest = prop_oneof![1 => events::change(4).prop_map(Action::Change), 2 => decide(0..1, Just(1))];
    let pods = (important, vec(generate::pod(ANYTHING).prop_map(Object::new), 3));
    let pods = pods.prop_map(|(important, others)| std::iter::once(important).chain(others).collect());
    (pods, start(events::set_pod(1..4, 0..40), 16..40), vec(rest, 1..8)).prop_map(case).boxed()
}

/// Pods want others near or far, or to be spread, and little else.
pub(crate) fn company() -> BoxedStrategy<Case> {
    const TEMPLATES: usize = 4;
    let rest = prop_oneof![
        2 => events::surroundings(TEMPLATES).prop_map(Action::Change),
        3 => decide(0..TEMPLATES, 1..3usize),
    ];
    let pods = vec(generate::pod(COMPANY).prop_map(Object::new), TEMPLATES);
    (pods, start(events::set_pod(0..TEMPLATES, 0..12), 0..12), vec(rest, 4..24)).prop_map(case).boxed()
}

/// Many pods that are alike, or differ in one aspect, come one after the other, and little happens in between.
pub(crate) fn runs() -> BoxedStrategy<Case> {
    let modest = (generate::pod(ANYTHING), any::<bool>()).prop_map(|(mut pod, welcome)| {
        generate::make_modest(&mut pod);
        if welcome {
            generate::make_welcome(&mut pod);
        }
        pod
    });
    let pods = (modest, generate::pod(ANYTHING), 0..generate::ASPECTS, 0..generate::ASPECTS).prop_map(
        |(pod, other, one, two)| {
            let differing = [one, two].map(|aspect| generate::differing(&pod, &other, aspect));
            std::iter::once(pod).chain(differing).map(Object::new).collect()
        },
    );
    let round = (vec(events::change(3).prop_map(Action::Change), 0..3), decide(0..3, 1..6usize));
    let round = round.prop_map(|(changes, decide)| changes.into_iter().chain([decide]).collect::<Vec<_>>());
    let rest = vec(round, 1..10).prop_map(|rounds| rounds.into_iter().flatten().collect());
    (pods, start(events::set_pod(0..3, 0..12), 0..6), rest).prop_map(case).boxed()
}

fn decide(templates: Range<usize>, times: impl Strategy<Value = usize> + 'static) -> BoxedStrategy<Action> {
    let node = |weight| proptest::option::weighted(weight, events::node_name());
    (templates, times, any::<bool>(), node(0.02), node(0.2), any::<bool>())
        .prop_map(|(template, times, watch, named, nominated, preempt)| Action::Decide {
            template,
            times,
            watch,
            named,
            nominated,
            preempt,
        })
        .boxed()
}

/// What is there when the first pod comes.
fn start(pod: BoxedStrategy<Change>, count: Range<usize>) -> BoxedStrategy<Vec<Change>> {
    let (namespaces, budgets) = (vec(events::set_namespace(), 0..4), vec(events::set_budget(), 0..4));
    (events::set_nodes(), namespaces, vec(events::set_owner(), 0..6), vec(pod, count), budgets)
        .prop_map(|(nodes, namespaces, owners, pods, budgets)| {
            nodes.into_iter().chain(namespaces).chain(owners).chain(pods).chain(budgets).collect()
        })
        .boxed()
}

fn case((pods, start, rest): (Vec<Object<Pod>>, Vec<Change>, Vec<Action>)) -> Case {
    (pods, start.into_iter().map(Action::Change).chain(rest).map(Step).collect())
}
