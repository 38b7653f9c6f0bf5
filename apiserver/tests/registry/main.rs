//! Walks the registry: whatever kind is registered answers to every verb as all do, shown on its example in
//! `manifests/examples`. A kind is tested by registering it; what is particular to it is tested beside it.

// The lint's leave for tests does not reach their helpers.
#![allow(clippy::unwrap_used)]

mod addresses;
mod api_services;
mod born;
mod cluster_dns;
mod deletion;
mod devices;
mod dynamic;
mod encodings;
mod encryption;
mod eviction;
mod fields;
mod harness;
mod hostile;
mod kubernetes_service;
mod nodes;
mod pod_admission;
mod quota;
mod reading;
mod scaling;
mod tokens;
mod unstored;
mod writing;

use std::collections::BTreeSet;

use harness::{Subject, examples};

#[test]
fn every_kind_has_an_example_and_every_example_a_kind() {
    let expected: BTreeSet<String> = Subject::every().iter().map(|subject| Subject::file(&subject.resource)).collect();
    let found = std::fs::read_dir(examples()).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    assert_eq!(found.collect::<BTreeSet<String>>(), expected);
}

#[test]
fn examples_say_what_they_are() {
    for subject in Subject::every() {
        let (title, names) = (subject.title(), subject.names());
        assert_eq!(subject.example["kind"], *names.kind, "{title}");
        assert_eq!(subject.example["apiVersion"], *names.api_version(), "{title}");
    }
}
