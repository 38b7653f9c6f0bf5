//! What containers get, as data.

use serde_json::{Value, json};

use super::*;

fn volume(path: &str, inner: &str) -> Mounted {
    Mounted {
        path: path.into(),
        inner: inner.to_owned(),
        read_only: false,
        is_block: false,
        claim: None,
        group: None,
        measure: Measure::Content,
        is_ephemeral: false,
    }
}

fn volumes() -> BTreeMap<String, Mounted> {
    let config = Mounted { read_only: true, ..volume("/pods/u/config", "config") };
    let disk = Mounted { is_block: true, ..volume("/dev/sdx", "pv-disk") };
    let frozen = Mounted { is_block: true, read_only: true, ..volume("/dev/sdy", "pv-frozen") };
    let all = [
        ("data", volume("/pods/u/data", "pv-1")),
        ("config", config),
        ("disk", disk),
        ("frozen", frozen),
        ("host", Mounted { measure: Measure::Nothing, ..volume("/etc", "host") }),
    ];
    all.map(|(name, volume)| (name.to_owned(), volume)).into()
}

fn container(mounts: Value, devices: Value) -> Container {
    serde_json::from_value(json!({"name": "app", "volumeMounts": mounts, "volumeDevices": devices})).unwrap()
}

fn shown(mount: Value, recursive: bool) -> String {
    let variable = |name: &str| (name == "POD").then(|| "web-0".to_owned());
    let container = container(json!([{"name": "host", "mountPath": "/first"}, mount]), Value::Null);
    match wanted(&container, &volumes(), Path::new("/sub"), recursive, &variable) {
        Err(problem) => problem.message,
        Ok(wanted) => {
            let v1::Mount { container_path, host_path, readonly, propagation, recursive_read_only, .. } =
                &wanted[1].mount;
            let mut shown = format!("{host_path} > {container_path}");
            for (says, word) in [
                (*readonly, " ro"),
                (*recursive_read_only, " rro"),
                (*propagation == 1, " from-host"),
                (*propagation == 2, " both-ways"),
            ] {
                shown.push_str(if says { word } else { "" });
            }
            if let Some(sharing) = &wanted[1].sharing {
                shown.push_str(&format!(" by sharing {}", sharing.display()));
            }
            match &wanted[1].part {
                Some(part) => format!("{shown} of {}/{}", part.within.display(), part.path.display()),
                None => shown,
            }
        }
    }
}

#[test]
fn mounts_are_told_to_the_runtime() {
    let check = |mount: Value, expected: &str| assert_eq!(shown(mount, true), expected);
    check(json!({"name": "data", "mountPath": "/data"}), "/pods/u/data > /data");
    check(json!({"name": "data", "mountPath": "data"}), "/pods/u/data > /data");
    check(json!({"name": "data", "mountPath": "/d", "readOnly": true}), "/pods/u/data > /d ro");
    check(json!({"name": "config", "mountPath": "/c"}), "/pods/u/config > /c ro");
    let propagating = |mode: &str| json!({"name": "data", "mountPath": "/d", "mountPropagation": mode});
    check(propagating("None"), "/pods/u/data > /d");
    check(propagating("HostToContainer"), "/pods/u/data > /d from-host by sharing /pods/u/data");
    check(propagating("Bidirectional"), "/pods/u/data > /d both-ways by sharing /pods/u/data");
    let of_node = json!({"name": "host", "mountPath": "/d", "mountPropagation": "HostToContainer"});
    check(of_node, "/etc > /d from-host");
    let part = json!({"name": "data", "mountPath": "/d", "mountPropagation": "HostToContainer", "subPath": "a"});
    check(part, "/sub/pv-1/app/1 > /d from-host of /pods/u/data/a");
    check(propagating("Sideways"), "invalid MountPropagation mode: \"Sideways\"");
    check(json!({"name": "no", "mountPath": "/n"}), "cannot find volume \"no\" to mount into container \"app\"");
    check(json!({"name": "disk", "mountPath": "/n"}), "cannot find volume \"disk\" to mount into container \"app\"");
}

#[test]
fn parts_of_volumes_have_places() {
    let check = |key: &str, path: &str, expected: &str| {
        assert_eq!(shown(json!({"name": "data", "mountPath": "/d", key: path}), true), expected, "{path}");
    };
    check("subPath", "a/b", "/sub/pv-1/app/1 > /d of /pods/u/data/a/b");
    check("subPath", "a..b", "/sub/pv-1/app/1 > /d of /pods/u/data/a..b");
    check("subPath", "", "/pods/u/data > /d");
    check("subPath", "/etc", "error SubPath `/etc` must not be an absolute path");
    check("subPath", "a/../../b", "unable to provision SubPath `a/../../b`: must not contain '..'");
    check("subPathExpr", "logs/$(POD)", "/sub/pv-1/app/1 > /d of /pods/u/data/logs/web-0");
    check("subPathExpr", "$$(POD)$x$", "/sub/pv-1/app/1 > /d of /pods/u/data/$(POD)$x$");
    check("subPathExpr", "$(POD)$(POD", "/sub/pv-1/app/1 > /d of /pods/u/data/web-0$(POD");
    check("subPathExpr", "$(NONE)", "missing value for \"NONE\"");
}

#[test]
fn read_only_may_go_all_the_way_down() {
    let check = |mount: Value, supported: bool, expected: &str| {
        let mut whole = json!({"name": "data", "mountPath": "/d"});
        mount.as_object().unwrap().iter().for_each(|(key, value)| whole[key] = value.clone());
        assert_eq!(shown(whole, supported), expected, "{mount}");
    };
    let asks = |mode: &str| json!({"readOnly": true, "recursiveReadOnly": mode});
    check(asks("Disabled"), true, "/pods/u/data > /d ro");
    check(asks("IfPossible"), true, "/pods/u/data > /d ro rro");
    check(asks("IfPossible"), false, "/pods/u/data > /d ro");
    check(asks("Enabled"), true, "/pods/u/data > /d ro rro");
    let refusal = |why: &str| format!("volume \"data\" requested recursive read-only mode, but it is {why}");
    check(asks("Enabled"), false, &refusal("not supported by the runtime"));
    check(json!({"recursiveReadOnly": "Enabled"}), true, &refusal("not read-only"));
    let both = json!({"readOnly": true, "recursiveReadOnly": "Enabled", "mountPropagation": "HostToContainer"});
    check(both, true, &refusal("not compatible with propagation \"HostToContainer\""));
    check(asks("Perhaps"), true, "unknown recursive read-only mode \"Perhaps\"");
}

#[test]
fn devices_are_told_to_the_runtime() {
    let check = |name: &str, expected: &str| {
        let container = container(Value::Null, json!([{"name": name, "devicePath": "/dev/x"}]));
        let shown = devices(&container, &volumes()).map_or_else(
            |problem| problem.message,
            |devices| {
                let v1::Device { container_path, host_path, permissions } = &devices[0];
                format!("{host_path} > {container_path} {permissions}")
            },
        );
        assert_eq!(shown, expected);
    };
    check("disk", "/dev/sdx > /dev/x mrw");
    check("frozen", "/dev/sdy > /dev/x r");
    check("data", "cannot find volume \"data\" to pass into container \"app\"");
}
