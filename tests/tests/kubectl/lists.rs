//! Lists in pages: every page is of one state, and tokens lead on.

use std::collections::BTreeSet;

use serde_json::Value;
use tests::kubectl::Kubectl;

use crate::on_each_store;

on_each_store!(pages_are_of_one_state, kubectl_pages_through_everything);

const PATH: &str = "/api/v1/namespaces/default/configmaps";

fn list(kubectl: &Kubectl, query: &str) -> Value {
    let output = kubectl.output(&format!("get --raw {PATH}?{query}"));
    assert!(output.status.success(), "{query}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("a list is JSON")
}

fn names(list: &Value) -> Vec<String> {
    let items = list["items"].as_array().expect("a list has items");
    items.iter().map(|item| item["metadata"]["name"].as_str().expect("a name").to_owned()).collect()
}

fn pages_are_of_one_state(kubectl: &Kubectl) {
    for name in ["a", "b", "c", "d", "e"] {
        assert!(kubectl.output(&format!("create configmap {name}")).status.success());
    }
    let first = list(kubectl, "limit=2");
    assert_eq!(first["metadata"]["remainingItemCount"], 3);
    // What happens between two pages is not in the list.
    assert!(kubectl.output("delete configmap d").status.success());
    assert!(kubectl.output("create configmap cc").status.success());
    let mut all = names(&first);
    let mut page = first.clone();
    let mut pages = 1;
    while let Some(token) = page["metadata"]["continue"].as_str().map(str::to_owned) {
        page = list(kubectl, &format!("limit=2&continue={token}"));
        assert_eq!(page["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"]);
        all.extend(names(&page));
        pages += 1;
    }
    assert_eq!((all.join(" ").as_str(), pages), ("a b c d e", 3));
    assert_eq!(page["metadata"]["remainingItemCount"], Value::Null);

    let version = first["metadata"]["resourceVersion"].as_str().expect("a version");
    let exact = list(kubectl, &format!("resourceVersion={version}&resourceVersionMatch=Exact"));
    assert_eq!(names(&exact).join(" "), "a b c d e");
    let newer = list(kubectl, &format!("resourceVersion={version}&resourceVersionMatch=NotOlderThan"));
    assert_eq!(names(&newer).join(" "), "a b c cc e");
    assert_eq!(names(&list(kubectl, "resourceVersion=0&limit=1")).len(), 5, "from memory lists are whole");
}

fn kubectl_pages_through_everything(kubectl: &Kubectl) {
    let wanted: BTreeSet<String> = (0..7).map(|number| format!("configmap/c{number}")).collect();
    for name in &wanted {
        assert!(kubectl.output(&format!("create configmap {}", &name["configmap/".len()..])).status.success());
    }
    let shown = kubectl.run("get configmaps --chunk-size=2 -o name");
    assert_eq!(shown.lines().map(str::to_owned).collect::<BTreeSet<_>>(), wanted);
}
