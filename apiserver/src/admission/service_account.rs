//! Pods run as a ServiceAccount that exists, and can show a token of it to the API server unless somebody said otherwise.

use std::time::Duration;

use api::status::Status;
use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::{
    ConfigMapProjection, Container, DownwardAPIProjection, DownwardAPIVolumeFile, KeyToPath, ObjectFieldSelector, Pod,
    PodSpec, ProjectedVolumeSource, ServiceAccount, ServiceAccountTokenProjection, Volume, VolumeMount,
    VolumeProjection,
};
use store::{At, Key};

use super::{Operation, Plugin, Review, typed, typed_mut};
use crate::engine::read_failed;
use crate::entry::ROOT;
use crate::object::Object;

/// The ServiceAccount of pods that name none.
const DEFAULT: &str = "default";
/// Where containers look for the token; programs inside of them know the path.
const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// What the volume's name begins with.
const VOLUME: &str = "kube-api-access-";
/// How long tokens hold, in seconds: an hour, and as much as clocks may be apart (upstream's number).
const TOKEN_SECONDS: i64 = 3607;
/// How often the default account is looked for, because whoever makes a namespace and a pod in it is quicker than what makes
/// the account.
const ATTEMPTS: usize = 10;
const PAUSE: Duration = Duration::from_millis(100);
/// Marks the API's picture of a pod that a node has from elsewhere.
const MIRROR: &str = "kubernetes.io/config.mirror";
const ENFORCE: &str = "kubernetes.io/enforce-mountable-secrets";

pub(super) struct ServiceAccounts;

impl Plugin for ServiceAccounts {
    fn handles(&self, review: &Review<'_>) -> bool {
        review.is_of("core/pods") && review.operation == Operation::Create
    }

    fn mutate<'a>(
        &'a self,
        review: &'a Review<'a>,
        object: &'a mut dyn Object,
        _: Option<&'a dyn Object>,
    ) -> BoxFuture<'a, Result<(), Status>> {
        async move {
            let Some(pod) = typed_mut::<Pod>(object).filter(|pod| !is_mirror(pod)) else {
                return Ok(());
            };
            let Some(name) = pod.spec.as_mut().map(name_account) else { return Ok(()) };
            let account = find(review, &name).await?.ok_or_else(|| review.forbidden(pod, absent(review, &name)))?;
            if let Some(spec) = pod.spec.as_mut() {
                let volume = || review.call.engine.new_name(VOLUME);
                complete(spec, &account, volume);
            }
            Ok(())
        }
        .boxed()
    }

    fn validate<'a>(
        &'a self,
        review: &'a Review<'a>,
        object: &'a dyn Object,
        _: Option<&'a dyn Object>,
    ) -> BoxFuture<'a, Result<(), Status>> {
        async move {
            let Some(pod) = typed::<Pod>(object) else { return Ok(()) };
            let Some(spec) = pod.spec.as_ref() else { return Ok(()) };
            if is_mirror(pod) {
                return check_mirror(spec).map_err(|why| review.forbidden(object, why));
            }
            let name = spec.service_account_name.as_deref().unwrap_or_default();
            let account = find(review, name).await?.ok_or_else(|| review.forbidden(object, absent(review, name)))?;
            check_secrets(spec, &account).map_err(|why| review.forbidden(object, why))
        }
        .boxed()
    }
}

fn is_mirror(pod: &Pod) -> bool {
    pod.metadata.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(MIRROR))
}

/// The account that a pod names, which from here on it does.
fn name_account(spec: &mut PodSpec) -> String {
    let named = [&spec.service_account_name, &spec.service_account];
    let name = named.into_iter().flatten().find(|name| !name.is_empty()).map_or(DEFAULT, String::as_str).to_owned();
    spec.service_account_name = Some(name.clone());
    // The old name of the field goes with it.
    spec.service_account = Some(name.clone());
    name
}

fn absent(review: &Review<'_>, name: &str) -> String {
    let namespace = review.call.namespace();
    format!("error looking up service account {namespace}/{name}: serviceaccount \"{name}\" not found")
}

async fn find(review: &Review<'_>, name: &str) -> Result<Option<ServiceAccount>, Status> {
    let namespace = review.call.namespace();
    if let Some(known) = review.get("core/serviceaccounts", namespace, name).await? {
        return Ok(Some(known));
    }
    let Ok(key) = Key::new(&format!("{ROOT}core/serviceaccounts/{namespace}/{name}")) else { return Ok(None) };
    let attempts = if name == DEFAULT { ATTEMPTS } else { 1 };
    for attempt in 0..attempts {
        if attempt > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        if let Some(stored) = review.call.engine.store().get(&key, At::Latest).await.map_err(read_failed)? {
            return serde_json::from_slice(stored.entry.bytes()).map(Some).map_err(Status::internal_error);
        }
    }
    Ok(None)
}

/// Gives a pod what its account has, where it has nothing itself.
fn complete(spec: &mut PodSpec, account: &ServiceAccount, volume: impl FnOnce() -> String) {
    let wants = spec.automount_service_account_token.or(account.automount_service_account_token).unwrap_or(true);
    if wants {
        mount_token(spec, volume);
    }
    if spec.image_pull_secrets.as_ref().is_none_or(Vec::is_empty) {
        spec.image_pull_secrets.clone_from(&account.image_pull_secrets);
    }
}

/// Mounts a token into all containers that have nothing at its place.
fn mount_token(spec: &mut PodSpec, volume: impl FnOnce() -> String) {
    let volumes = spec.volumes.get_or_insert_default();
    let present = volumes.iter().map(|volume| &volume.name).find(|name| name.starts_with(VOLUME)).cloned();
    let is_present = present.is_some();
    let name = present.unwrap_or_else(volume);
    let mut is_needed = false;
    for container in spec.init_containers.iter_mut().flatten().chain(&mut spec.containers) {
        is_needed |= mount(container, &name);
    }
    if is_needed && !is_present {
        volumes.push(Volume { name, projected: Some(token_volume()), ..Volume::default() });
    }
}

/// Whether the container needs the volume, which is mounted then.
fn mount(container: &mut Container, volume: &str) -> bool {
    let mounts = container.volume_mounts.get_or_insert_default();
    if mounts.iter().any(|mount| mount.mount_path == MOUNT_PATH) {
        return false;
    }
    mounts.push(VolumeMount {
        name: volume.to_owned(),
        read_only: Some(true),
        mount_path: MOUNT_PATH.to_owned(),
        ..VolumeMount::default()
    });
    true
}

/// A token, the authority that the API server is known by, and the namespace.
fn token_volume() -> ProjectedVolumeSource {
    let token = ServiceAccountTokenProjection {
        expiration_seconds: Some(TOKEN_SECONDS),
        path: "token".to_owned(),
        ..ServiceAccountTokenProjection::default()
    };
    let ca = ConfigMapProjection {
        name: "kube-root-ca.crt".to_owned(),
        items: Some(vec![KeyToPath { key: "ca.crt".to_owned(), path: "ca.crt".to_owned(), ..KeyToPath::default() }]),
        optional: None,
    };
    let field = ObjectFieldSelector { api_version: Some("v1".to_owned()), field_path: "metadata.namespace".to_owned() };
    let namespace = DownwardAPIVolumeFile {
        field_ref: Some(field),
        path: "namespace".to_owned(),
        ..DownwardAPIVolumeFile::default()
    };
    let of = VolumeProjection::default;
    ProjectedVolumeSource {
        default_mode: Some(0o644),
        sources: Some(vec![
            VolumeProjection { service_account_token: Some(token), ..of() },
            VolumeProjection { config_map: Some(ca), ..of() },
            VolumeProjection { downward_api: Some(DownwardAPIProjection { items: Some(vec![namespace]) }), ..of() },
        ]),
        ..ProjectedVolumeSource::default()
    }
}

/// Nobody but the node knows of a mirror pod's origin, so it may have nothing of the cluster's.
fn check_mirror(spec: &PodSpec) -> Result<(), &'static str> {
    if spec.service_account_name.as_ref().is_some_and(|name| !name.is_empty()) {
        return Err("a mirror pod may not reference service accounts");
    }
    let volumes = || spec.volumes.iter().flatten();
    if !secrets(spec).is_empty() {
        return Err("a mirror pod may not reference secrets");
    }
    let projects = |volume: &Volume| {
        let sources = volume.projected.as_ref().and_then(|projected| projected.sources.as_ref());
        sources.is_some_and(|sources| sources.iter().any(|source| source.service_account_token.is_some()))
    };
    if volumes().any(projects) {
        return Err("a mirror pod may not use service account token volume projections");
    }
    Ok(())
}

/// An account that says so lets its pods have only the Secrets that it lists.
fn check_secrets(spec: &PodSpec, account: &ServiceAccount) -> Result<(), String> {
    let annotations = account.metadata.annotations.as_ref();
    let enforces = annotations.and_then(|annotations| annotations.get(ENFORCE)).is_some_and(|value| value == "true");
    if !enforces {
        return Ok(());
    }
    let name = account.metadata.name.as_deref().unwrap_or_default();
    let mountable = |secret: &str| account.secrets.iter().flatten().any(|known| known.name.as_deref() == Some(secret));
    if let Some((secret, place)) = secrets(spec).into_iter().find(|(secret, _)| !mountable(secret)) {
        let why = format!("because service account {name} does not reference that secret");
        return Err(format!("{place} with secret.secretName=\"{secret}\" is not allowed {why}"));
    }
    let pulls = |secret: &str| account.image_pull_secrets.iter().flatten().any(|known| known.name == secret);
    let pull = spec.image_pull_secrets.iter().flatten().find(|secret| !pulls(&secret.name));
    match pull {
        Some(secret) => Err(format!(
            "imagePullSecrets[].name=\"{}\" is not allowed because service account {name} does not reference that \
             imagePullSecret",
            secret.name
        )),
        None => Ok(()),
    }
}

/// The Secrets that a pod mounts or has variables of, and where.
fn secrets(spec: &PodSpec) -> Vec<(&str, String)> {
    let mut found = Vec::new();
    for volume in spec.volumes.iter().flatten() {
        if let Some(secret) = volume.secret.as_ref().and_then(|source| source.secret_name.as_deref()) {
            found.push((secret, format!("volume \"{}\"", volume.name)));
        }
        let sources = volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten());
        let projected = sources.filter_map(|source| source.secret.as_ref());
        found.extend(projected.map(|secret| (secret.name.as_str(), format!("volume \"{}\"", volume.name))));
    }
    for container in spec.init_containers.iter().flatten().chain(&spec.containers) {
        for variable in container.env.iter().flatten() {
            let key = variable.value_from.as_ref().and_then(|from| from.secret_key_ref.as_ref());
            found.extend(key.map(|key| (key.name.as_str(), format!("container \"{}\"", container.name))));
        }
        let all = container.env_from.iter().flatten().filter_map(|from| from.secret_ref.as_ref());
        found.extend(all.map(|secret| (secret.name.as_str(), format!("container \"{}\"", container.name))));
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn spec(value: Value) -> PodSpec {
        serde_json::from_value(value).unwrap()
    }

    fn account(value: Value) -> ServiceAccount {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn pods_name_their_account() {
        let check = |given: Value, expected: &str| {
            let mut given = given;
            given["containers"] = json!([]);
            let mut spec = spec(given);
            assert_eq!(name_account(&mut spec), expected);
            assert_eq!(spec.service_account_name.as_deref(), Some(expected));
            assert_eq!(spec.service_account.as_deref(), Some(expected));
        };
        check(json!({}), "default");
        check(json!({"serviceAccountName": ""}), "default");
        check(json!({"serviceAccountName": "a"}), "a");
        check(json!({"serviceAccount": "b"}), "b");
    }

    #[test]
    fn tokens_are_mounted_once() {
        let check = |given: Value, of: Value, mounts: &[&str], volumes: &[&str]| {
            let mut spec = spec(given);
            complete(&mut spec, &account(of), || "kube-api-access-new".to_owned());
            let names = spec.volumes.iter().flatten().map(|volume| volume.name.as_str()).collect::<Vec<_>>();
            assert_eq!(names, volumes);
            let containers = spec.init_containers.iter().flatten().chain(&spec.containers);
            let mounted = containers.map(|container| {
                let mounts = container.volume_mounts.iter().flatten();
                mounts.map(|mount| mount.name.as_str()).collect::<Vec<_>>().join(",")
            });
            assert_eq!(mounted.collect::<Vec<_>>(), mounts);
        };
        let two = json!({"initContainers": [{"name": "i"}], "containers": [{"name": "c"}]});
        let new = "kube-api-access-new";
        check(two.clone(), json!({}), &[new, new], &[new]);
        check(two.clone(), json!({"automountServiceAccountToken": false}), &["", ""], &[]);
        let mut wants = two.clone();
        wants["automountServiceAccountToken"] = json!(true);
        check(wants, json!({"automountServiceAccountToken": false}), &[new, new], &[new]);
        let mut wants_not = two;
        wants_not["automountServiceAccountToken"] = json!(false);
        check(wants_not, json!({}), &["", ""], &[]);
        let own = json!([{"name": "mine", "mountPath": MOUNT_PATH}]);
        check(json!({"containers": [{"name": "c", "volumeMounts": own}]}), json!({}), &["mine"], &[]);
        let volume = json!([{"name": "kube-api-access-old", "emptyDir": {}}]);
        let old = "kube-api-access-old";
        check(json!({"containers": [{"name": "c"}], "volumes": volume}), json!({}), &[old], &[old]);
    }

    #[test]
    fn credentials_for_images_come_of_the_account() {
        let of = json!({"imagePullSecrets": [{"name": "registry"}], "automountServiceAccountToken": false});
        let check = |given: Value, expected: &str| {
            let mut spec = spec(json!({"containers": [], "imagePullSecrets": given}));
            complete(&mut spec, &account(of.clone()), String::new);
            assert_eq!(spec.image_pull_secrets.unwrap()[0].name, expected);
        };
        check(json!(null), "registry");
        check(json!([]), "registry");
        check(json!([{"name": "own"}]), "own");
    }

    #[test]
    fn accounts_limit_secrets_if_they_say_so() {
        let of = |enforce: &str| {
            account(json!({
                "metadata": {"name": "a", "annotations": {ENFORCE: enforce}},
                "secrets": [{"name": "known"}],
                "imagePullSecrets": [{"name": "registry"}],
            }))
        };
        let check = |given: Value, expected: Option<&str>| {
            let spec = spec(given);
            assert_eq!(check_secrets(&spec, &of("false")), Ok(()));
            match (check_secrets(&spec, &of("true")), expected) {
                (Ok(()), None) => {}
                (Err(error), Some(expected)) => assert!(error.starts_with(expected), "{error}"),
                (other, _) => panic!("{other:?}"),
            }
        };
        let volume =
            |secret: &str| json!({"containers": [], "volumes": [{"name": "v", "secret": {"secretName": secret}}]});
        check(volume("known"), None);
        check(volume("other"), Some("volume \"v\" with secret.secretName=\"other\" is not allowed"));
        let variable = json!([{"name": "A", "valueFrom": {"secretKeyRef": {"name": "other", "key": "k"}}}]);
        check(json!({"containers": [{"name": "c", "env": variable}]}), Some("container \"c\" with"));
        check(json!({"containers": [], "imagePullSecrets": [{"name": "x"}]}), Some("imagePullSecrets[].name=\"x\""));
    }

    #[test]
    fn mirror_pods_have_nothing_of_the_cluster() {
        let check = |given: Value, refused: bool| assert_eq!(check_mirror(&spec(given)).is_err(), refused);
        check(json!({"containers": []}), false);
        check(json!({"containers": [], "serviceAccountName": "a"}), true);
        check(json!({"containers": [], "volumes": [{"name": "v", "secret": {"secretName": "s"}}]}), true);
        let token = json!([{"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]);
        check(json!({"containers": [], "volumes": token}), true);
    }
}
