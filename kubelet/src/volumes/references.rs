//! Which ConfigMaps and Secrets a pod needs, by name; they are of its own namespace. Pure.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Container, EnvFromSource, EnvVar, EphemeralContainer, Pod, Volume, VolumeProjection};

/// Names of objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct References {
    /// Of ConfigMaps.
    pub config_maps: BTreeSet<String>,
    /// Of Secrets, those for pulling images among them.
    pub secrets: BTreeSet<String>,
}

/// What a pod refers to, anywhere.
#[must_use]
pub fn referenced(pod: &Pod) -> References {
    let mut references = References::default();
    let Some(spec) = &pod.spec else { return references };
    for container in spec.containers.iter().chain(spec.init_containers.iter().flatten()) {
        references.add_environment(container.env.as_ref(), container.env_from.as_ref());
    }
    for EphemeralContainer { env, env_from, .. } in spec.ephemeral_containers.iter().flatten() {
        references.add_environment(env.as_ref(), env_from.as_ref());
    }
    references.secrets.extend(spec.image_pull_secrets.iter().flatten().map(|secret| secret.name.clone()));
    spec.volumes.iter().flatten().for_each(|volume| references.add_volume(volume));
    references.config_maps.remove("");
    references.secrets.remove("");
    references
}

/// What a container's environment refers to.
#[must_use]
pub fn referenced_by(container: &Container) -> References {
    let mut references = References::default();
    references.add_environment(container.env.as_ref(), container.env_from.as_ref());
    references
}

impl References {
    fn add_environment(&mut self, variables: Option<&Vec<EnvVar>>, sources: Option<&Vec<EnvFromSource>>) {
        for source in variables.into_iter().flatten().filter_map(|variable| variable.value_from.as_ref()) {
            self.config_maps.extend(source.config_map_key_ref.iter().map(|key| key.name.clone()));
            self.secrets.extend(source.secret_key_ref.iter().map(|key| key.name.clone()));
        }
        for source in sources.into_iter().flatten() {
            self.config_maps.extend(source.config_map_ref.iter().map(|map| map.name.clone()));
            self.secrets.extend(source.secret_ref.iter().map(|secret| secret.name.clone()));
        }
    }

    fn add_volume(&mut self, volume: &Volume) {
        self.config_maps.extend(volume.config_map.iter().map(|map| map.name.clone()));
        self.secrets.extend(volume.secret.iter().filter_map(|secret| secret.secret_name.clone()));
        let sources = volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten());
        for VolumeProjection { config_map, secret, .. } in sources {
            self.config_maps.extend(config_map.iter().map(|map| map.name.clone()));
            self.secrets.extend(secret.iter().map(|secret| secret.name.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn all_that_a_pod_refers_to_is_found() {
        let environment = |of: &str| {
            json!({"name": of,
                "env": [
                    {"name": "A", "valueFrom": {"configMapKeyRef": {"name": format!("{of}-map-key"), "key": "k"}}},
                    {"name": "B", "valueFrom": {"secretKeyRef": {"name": format!("{of}-secret-key"), "key": "k"}}},
                    {"name": "C", "value": "c"},
                ],
                "envFrom": [{"configMapRef": {"name": format!("{of}-map")}}, {"secretRef": {"name": format!("{of}-secret")}}],
            })
        };
        let pod: Pod = serde_json::from_value(json!({"metadata": {}, "spec": {
            "containers": [environment("c")],
            "initContainers": [environment("i")],
            "ephemeralContainers": [environment("e")],
            "imagePullSecrets": [{"name": "pull"}, {"name": ""}],
            "volumes": [
                {"name": "a", "configMap": {"name": "v-map"}},
                {"name": "b", "secret": {"secretName": "v-secret"}},
                {"name": "c", "projected": {"sources": [
                    {"configMap": {"name": "p-map"}}, {"secret": {"name": "p-secret"}}, {"downwardAPI": {}},
                ]}},
                {"name": "d", "emptyDir": {}},
            ],
        }}))
        .unwrap();
        let found = referenced(&pod);
        let maps = ["c-map", "c-map-key", "e-map", "e-map-key", "i-map", "i-map-key", "p-map", "v-map"];
        assert!(found.config_maps.iter().eq(maps), "{found:?}");
        let secrets = [
            "c-secret",
            "c-secret-key",
            "e-secret",
            "e-secret-key",
            "i-secret",
            "i-secret-key",
            "p-secret",
            "pull",
            "v-secret",
        ];
        assert!(found.secrets.iter().eq(secrets), "{found:?}");
        let own = referenced_by(&pod.spec.unwrap().containers[0]);
        assert!(
            own.config_maps.iter().eq(["c-map", "c-map-key"]) && own.secrets.iter().eq(["c-secret", "c-secret-key"])
        );
    }
}
