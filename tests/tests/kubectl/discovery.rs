//! What kubectl finds: every kind that a v1.37 server serves, and an explanation of each.

use tests::kubectl::Kubectl;

use crate::on_each_store;

on_each_store!(every_kind_of_a_server_is_listed, every_kind_is_explained);

/// What `kubectl api-resources -o wide` prints of upstream's v1.37: names, short names, versions, scopes, verbs, categories.
/// Written by hand, and compared with those of upstream's discovery documents that could be had: not with all of them.
const LISTED: &str = include_str!("api-resources.txt");

fn without_trailing_space(text: &str) -> Vec<&str> {
    text.lines().map(str::trim_end).collect()
}

fn every_kind_of_a_server_is_listed(kubectl: &Kubectl) {
    let listed = kubectl.run("api-resources -o wide");
    assert_eq!(without_trailing_space(&listed).join("\n"), without_trailing_space(LISTED).join("\n"));
}

fn every_kind_is_explained(kubectl: &Kubectl) {
    let mut lines = LISTED.lines();
    let header = lines.next().unwrap_or_default();
    let column = |line: &str, name: &str| {
        let at = header.find(name).expect("the list has this column");
        line[at..].split_whitespace().next().unwrap_or_default().to_owned()
    };
    for line in lines {
        let (resource, version) = (column(line, "NAME"), column(line, "APIVERSION"));
        let explained = kubectl.run(&format!("explain {resource} --api-version={version} --recursive"));
        let fields = ["KIND:", "VERSION:", "  metadata\t<ObjectMeta>"];
        assert!(fields.iter().all(|field| explained.contains(field)), "{resource}: {explained}");
        let described = explained.split("DESCRIPTION:").nth(1).and_then(|rest| rest.split("FIELDS:").next());
        let described = described.unwrap_or_default().trim();
        assert!(described.len() > 20 && !described.contains("<empty>"), "{resource}: {explained}");
    }
}
