//! Security contexts of pods and containers, merged.

use serde_json::{Value, json};

use super::*;

fn pod(of_pod: Value, own: Value) -> Pod {
    let mut spec = json!({"containers": [{"name": "c", "securityContext": own}]});
    spec.as_object_mut().unwrap().extend(of_pod.as_object().unwrap().clone());
    serde_json::from_value(json!({"metadata": {"name": "web", "namespace": "ns", "uid": "u"}, "spec": spec})).unwrap()
}

fn made(of_pod: Value, own: Value, image: Image<'_>) -> Result<LinuxContainerSecurityContext, String> {
    let pod = pod(of_pod, own);
    let container = &pod.spec.as_ref().unwrap().containers[0];
    let made = of_container(&pod, container, &image, &[9], &Node::default(), &Paths::new("/root"));
    made.map_err(|invalid| invalid.message)
}

const ROOT: Image<'_> = Image { reference: "i", uid: None, username: "" };

#[test]
fn users_are_the_containers_or_the_pods_or_the_images() {
    let check = |of_pod: Value, own: Value, image: (Option<i64>, &str), expected: (Option<i64>, &str, Option<i64>)| {
        let image = Image { reference: "i", uid: image.0, username: image.1 };
        let found = made(json!({"securityContext": of_pod}), own, image).unwrap();
        let number = |value: Option<Int64Value>| value.map(|value| value.value);
        let found = (number(found.run_as_user), found.run_as_username, number(found.run_as_group));
        assert_eq!((found.0, found.1.as_str(), found.2), expected);
    };
    check(json!({}), json!({}), (None, ""), (Some(0), "", None));
    check(json!({}), json!({}), (Some(5), ""), (Some(5), "", None));
    check(json!({}), json!({}), (None, "www"), (None, "www", None));
    check(json!({"runAsUser": 1, "runAsGroup": 2}), json!({}), (None, "www"), (Some(1), "", Some(2)));
    check(
        json!({"runAsUser": 1, "runAsGroup": 2}),
        json!({"runAsUser": 3, "runAsGroup": 4}),
        (Some(5), ""),
        (Some(3), "", Some(4)),
    );
}

#[test]
fn who_must_not_be_root_is_not() {
    let check = |of_pod: Value, own: Value, image: (Option<i64>, &str), expected: Option<&str>| {
        let image = Image { reference: "i", uid: image.0, username: image.1 };
        let found = made(json!({"securityContext": of_pod}), own, image).err();
        let expected = expected.map(|problem| format!("{problem} (pod: \"web_ns(u)\", container: c)"));
        assert_eq!(found, expected);
    };
    let (not_root, nothing) = (json!({"runAsNonRoot": true}), json!({}));
    let will = Some("container has runAsNonRoot and image will run as root");
    check(nothing.clone(), nothing.clone(), (Some(0), ""), None);
    check(not_root.clone(), nothing.clone(), (Some(0), ""), will);
    check(nothing.clone(), not_root.clone(), (None, ""), will);
    check(not_root.clone(), json!({"runAsNonRoot": false}), (Some(0), ""), None);
    check(not_root.clone(), nothing.clone(), (Some(7), ""), None);
    let unknown = "container has runAsNonRoot and image has non-numeric user (www), cannot verify user is non-root";
    check(not_root.clone(), nothing.clone(), (None, "www"), Some(unknown));
    check(not_root.clone(), json!({"runAsUser": 5}), (None, "www"), None);
    let breaks = Some("container's runAsUser breaks non-root policy");
    check(not_root, json!({"runAsUser": 0}), (Some(7), ""), breaks);
}

#[test]
fn groups_are_gathered() {
    let context = json!({"fsGroup": 1, "supplementalGroups": [2, 3], "supplementalGroupsPolicy": "Strict"});
    let found = made(json!({"securityContext": context}), json!({}), ROOT).unwrap();
    assert_eq!(found.supplemental_groups, [1, 2, 3, 9]);
    assert_eq!(found.supplemental_groups_policy(), SupplementalGroupsPolicy::Strict);
    let sandbox = of_sandbox(&pod(json!({"securityContext": context}), json!({})));
    assert_eq!(sandbox.supplemental_groups, [1, 2, 3]);
}

#[test]
fn what_is_shared_with_whom() {
    let check = |spec: Value, expected: [NamespaceMode; 3]| {
        let found = namespaces(&pod(spec, json!({})));
        assert_eq!([found.network(), found.pid(), found.ipc()], expected);
    };
    use NamespaceMode::{Container, Node, Pod};
    check(json!({}), [Pod, Container, Pod]);
    check(json!({"hostNetwork": true}), [Node, Container, Pod]);
    check(json!({"hostPID": true, "shareProcessNamespace": false}), [Pod, Node, Pod]);
    check(json!({"hostIPC": true, "shareProcessNamespace": true}), [Pod, Pod, Node]);
}

#[test]
fn switches_are_passed_on() {
    let own = json!({"privileged": true, "readOnlyRootFilesystem": true, "allowPrivilegeEscalation": false,
        "procMount": "Unmasked", "capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]},
        "seLinuxOptions": {"type": "t"}});
    let found = made(json!({"securityContext": {"seLinuxOptions": {"level": "l"}}}), own.clone(), ROOT).unwrap();
    assert!(found.privileged && found.readonly_rootfs && found.no_new_privs);
    assert!(found.masked_paths.is_empty() && found.readonly_paths.is_empty());
    let capabilities = found.capabilities.unwrap();
    assert_eq!(
        (capabilities.add_capabilities, capabilities.drop_capabilities),
        (vec!["NET_ADMIN".to_owned()], vec!["ALL".to_owned()])
    );
    let selinux = found.selinux_options.unwrap();
    assert_eq!((selinux.r#type.as_str(), selinux.level.as_str()), ("t", ""));
    let found = made(json!({"securityContext": {"seLinuxOptions": {"level": "l"}}}), json!({}), ROOT).unwrap();
    assert!(!found.privileged && !found.readonly_rootfs && !found.no_new_privs && found.capabilities.is_none());
    assert_eq!((found.masked_paths.len(), found.readonly_paths.len()), (12, 5));
    assert_eq!(found.selinux_options.unwrap().level, "l");
    assert!(of_sandbox(&pod(json!({}), own)).privileged);
    assert!(!of_sandbox(&pod(json!({}), json!({}))).privileged);
}

#[test]
fn seccomp_profiles() {
    let check = |of_pod: Value, own: Value, expected: Result<(ProfileType, &str), &str>| {
        let wrap = |profile| json!({"seccompProfile": profile});
        let found = made(json!({"securityContext": wrap(of_pod)}), wrap(own), ROOT).map(|found| found.seccomp.unwrap());
        let found = found.as_ref().map(|found| (found.profile_type(), found.localhost_ref.as_str()));
        assert_eq!(found.map_err(String::as_str), expected);
    };
    let (default, none) = (json!({"type": "RuntimeDefault"}), json!(null));
    check(none.clone(), none.clone(), Ok((ProfileType::Unconfined, "")));
    check(default.clone(), none.clone(), Ok((ProfileType::RuntimeDefault, "")));
    check(default.clone(), json!({"type": "Unconfined"}), Ok((ProfileType::Unconfined, "")));
    let file = json!({"type": "Localhost", "localhostProfile": "a/b.json"});
    check(default, file, Ok((ProfileType::Localhost, "/root/seccomp/a/b.json")));
    let out = json!({"type": "Localhost", "localhostProfile": "../a.json"});
    let message = "seccompProfile.localhostProfile \"../a.json\" must be a relative path without `..` below the node's \
        directory of seccomp profiles";
    check(none.clone(), out, Err(message));
    let message = "localhostProfile must be set if seccompProfile type is Localhost.";
    check(none, json!({"type": "Localhost"}), Err(message));
}

#[test]
fn apparmor_profiles() {
    let check = |of_pod: Value, annotation: Option<&str>, own: Value, expected: Option<(ProfileType, &str)>| {
        let wrap = |profile| json!({"appArmorProfile": profile});
        let mut pod = pod(json!({"securityContext": wrap(of_pod)}), wrap(own));
        let annotation = annotation.map(|value| (format!("{APPARMOR_ANNOTATION}c"), value.to_owned()));
        pod.metadata.annotations = Some(annotation.into_iter().collect());
        let found = apparmor(&pod, &pod.spec.as_ref().unwrap().containers[0]).unwrap();
        let found = found.as_ref().map(|found| (found.profile_type(), found.localhost_ref.as_str()));
        assert_eq!(found, expected);
        let confined = expected.is_some_and(|(kind, _)| kind != ProfileType::Unconfined);
        assert_eq!(wants_apparmor(&pod), confined);
    };
    let (default, none) = (json!({"type": "RuntimeDefault"}), json!(null));
    check(none.clone(), None, none.clone(), None);
    check(default.clone(), None, none.clone(), Some((ProfileType::RuntimeDefault, "")));
    check(default.clone(), Some("localhost/p"), none.clone(), Some((ProfileType::Localhost, "p")));
    check(default, Some("localhost/p"), json!({"type": "Unconfined"}), Some((ProfileType::Unconfined, "")));
    check(none.clone(), Some("unconfined"), none.clone(), Some((ProfileType::Unconfined, "")));
    check(
        none.clone(),
        None,
        json!({"type": "Localhost", "localhostProfile": "q"}),
        Some((ProfileType::Localhost, "q")),
    );
    let broken = pod(json!({}), json!({"appArmorProfile": {"type": "Localhost"}}));
    let found = apparmor(&broken, &broken.spec.as_ref().unwrap().containers[0]).unwrap_err();
    assert_eq!(found.message, "missing localhost apparmor profile name");
}
