//! Which fields are changed unless a kustomization says more: kustomize's own tables, made out of what workloads have in
//! common, and what `configurations` add to them.

use serde::Deserialize;

use crate::Error;
use crate::id::Gvk;
use crate::spec::{FieldSpec, unite};

/// Names of one kind, and the fields that have them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct NameReference {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) kind: String,
    #[serde(rename = "fieldSpecs")]
    pub(crate) fields: Vec<FieldSpec>,
}

impl NameReference {
    pub(crate) fn gvk(&self) -> Gvk {
        Gvk { group: self.group.clone(), version: self.version.clone(), kind: self.kind.clone() }
    }
}

/// Which fields are changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Fields {
    pub(crate) name_prefix: Vec<FieldSpec>,
    pub(crate) name_suffix: Vec<FieldSpec>,
    pub(crate) namespace: Vec<FieldSpec>,
    pub(crate) common_labels: Vec<FieldSpec>,
    pub(crate) labels: Vec<FieldSpec>,
    pub(crate) template_labels: Vec<FieldSpec>,
    pub(crate) common_annotations: Vec<FieldSpec>,
    pub(crate) name_reference: Vec<NameReference>,
    pub(crate) var_reference: Vec<FieldSpec>,
    pub(crate) images: Vec<FieldSpec>,
    pub(crate) replicas: Vec<FieldSpec>,
}

impl Fields {
    /// Adds others.
    pub(crate) fn unite(&mut self, more: &Fields) -> Result<(), Error> {
        unite(&mut self.name_prefix, &more.name_prefix)?;
        unite(&mut self.name_suffix, &more.name_suffix)?;
        unite(&mut self.namespace, &more.namespace)?;
        unite(&mut self.common_labels, &more.common_labels)?;
        unite(&mut self.labels, &more.labels)?;
        unite(&mut self.template_labels, &more.template_labels)?;
        unite(&mut self.common_annotations, &more.common_annotations)?;
        unite(&mut self.var_reference, &more.var_reference)?;
        unite(&mut self.images, &more.images)?;
        unite(&mut self.replicas, &more.replicas)?;
        for reference in &more.name_reference {
            match self.name_reference.iter_mut().find(|known| known.gvk() == reference.gvk()) {
                Some(known) => unite(&mut known.fields, &reference.fields)?,
                None => self.name_reference.push(reference.clone()),
            }
        }
        Ok(())
    }
}

/// Kinds that have a template of pods, and where the pod's fields begin.
const TEMPLATES: [(&str, &str); 8] = [
    ("PodTemplate", "template/spec/"),
    ("Deployment", "spec/template/spec/"),
    ("ReplicaSet", "spec/template/spec/"),
    ("DaemonSet", "spec/template/spec/"),
    ("StatefulSet", "spec/template/spec/"),
    ("Job", "spec/template/spec/"),
    ("CronJob", "spec/jobTemplate/spec/template/spec/"),
    ("ReplicationController", "spec/template/spec/"),
];

/// A field of the pods of some kinds.
fn of_pods(kinds: &[&str], fields: &[&str]) -> Vec<FieldSpec> {
    let mut specs = Vec::new();
    for (kind, begin) in TEMPLATES.iter().filter(|(kind, _)| kinds.contains(kind)) {
        specs.extend(fields.iter().map(|field| FieldSpec::new("", kind, &format!("{begin}{field}"), false)));
    }
    specs
}

fn specs(rows: &[(&str, &str, &str)], create: bool) -> Vec<FieldSpec> {
    rows.iter().map(|(group, kind, path)| FieldSpec::new(group, kind, path, create)).collect()
}

/// Kustomize's own.
pub(crate) fn fields() -> Fields {
    let name = specs(&[("", "", "metadata/name")], false);
    let templates = template_labels();
    Fields {
        name_prefix: name.clone(),
        name_suffix: name,
        namespace: namespace(),
        common_labels: [selectors(), templates.clone()].concat(),
        labels: Vec::new(),
        template_labels: templates,
        common_annotations: annotations(),
        name_reference: name_references(),
        var_reference: var_references(),
        images: specs(
            &[
                ("", "", "spec/containers[]/image"),
                ("", "", "spec/initContainers[]/image"),
                ("", "", "spec/volumes[]/image/reference"),
                ("", "", "spec/template/spec/containers[]/image"),
                ("", "", "spec/template/spec/initContainers[]/image"),
                ("", "", "spec/template/spec/volumes[]/image/reference"),
            ],
            true,
        ),
        replicas: ["Deployment", "StatefulSet", "ReplicaSet", "ReplicationController"]
            .map(|kind| FieldSpec::new("", kind, "spec/replicas", true))
            .to_vec(),
    }
}

fn namespace() -> Vec<FieldSpec> {
    let mut fields = specs(
        &[("", "Namespace", "metadata/name"), ("apiregistration.k8s.io", "APIService", "spec/service/namespace")],
        true,
    );
    let webhook = "spec/conversion/webhook/clientConfig/service/namespace";
    fields.push(FieldSpec::new("apiextensions.k8s.io", "CustomResourceDefinition", webhook, false));
    fields
}

fn selectors() -> Vec<FieldSpec> {
    let mut fields = vec![
        FieldSpec::new("", "Service", "spec/selector", true).of_version("v1"),
        FieldSpec::new("", "ReplicationController", "spec/selector", true).of_version("v1"),
    ];
    fields.extend(specs(
        &[
            ("", "Deployment", "spec/selector/matchLabels"),
            ("", "ReplicaSet", "spec/selector/matchLabels"),
            ("", "DaemonSet", "spec/selector/matchLabels"),
            ("apps", "StatefulSet", "spec/selector/matchLabels"),
        ],
        true,
    ));
    for kind in ["Deployment", "StatefulSet"] {
        for affinity in ["podAffinity", "podAntiAffinity"] {
            for terms in [
                "preferredDuringSchedulingIgnoredDuringExecution/podAffinityTerm",
                "requiredDuringSchedulingIgnoredDuringExecution",
            ] {
                let path = format!("spec/template/spec/affinity/{affinity}/{terms}/labelSelector/matchLabels");
                fields.push(FieldSpec::new("apps", kind, &path, false));
            }
        }
        let path = "spec/template/spec/topologySpreadConstraints/labelSelector/matchLabels";
        fields.push(FieldSpec::new("apps", kind, path, false));
    }
    fields.extend(specs(
        &[
            ("batch", "Job", "spec/selector/matchLabels"),
            ("batch", "CronJob", "spec/jobTemplate/spec/selector/matchLabels"),
            ("policy", "PodDisruptionBudget", "spec/selector/matchLabels"),
            ("networking.k8s.io", "NetworkPolicy", "spec/podSelector/matchLabels"),
            ("networking.k8s.io", "NetworkPolicy", "spec/ingress/from/podSelector/matchLabels"),
            ("networking.k8s.io", "NetworkPolicy", "spec/egress/to/podSelector/matchLabels"),
        ],
        false,
    ));
    fields
}

/// The labels of templates, and of the objects themselves.
fn template_labels() -> Vec<FieldSpec> {
    let mut fields = templates("labels", "apps");
    fields.push(FieldSpec::new("apps", "StatefulSet", "spec/volumeClaimTemplates[]/metadata/labels", true));
    fields
}

fn annotations() -> Vec<FieldSpec> {
    templates("annotations", "")
}

fn templates(field: &str, group_of_sets: &str) -> Vec<FieldSpec> {
    let template = format!("spec/template/metadata/{field}");
    let of = |group: &str, kind: &str, path: &str| FieldSpec::new(group, kind, path, true);
    vec![
        of("", "", &format!("metadata/{field}")),
        of("", "ReplicationController", &template).of_version("v1"),
        of("", "Deployment", &template),
        of("", "ReplicaSet", &template),
        of("", "DaemonSet", &template),
        of(group_of_sets, "StatefulSet", &template),
        of("batch", "Job", &template),
        of("batch", "CronJob", &format!("spec/jobTemplate/metadata/{field}")),
        of("batch", "CronJob", &format!("spec/jobTemplate/spec/template/metadata/{field}")),
    ]
}

const WORKLOADS: &[&str] = &["PodTemplate", "Deployment", "ReplicaSet", "DaemonSet", "StatefulSet", "Job", "CronJob"];
/// Those whose pods' accounts, claims and priorities are followed.
const RUNNERS: &[&str] = &["StatefulSet", "Deployment", "ReplicationController", "CronJob", "Job", "DaemonSet"];

fn name_references() -> Vec<NameReference> {
    let reference = |group: &str, version: &str, kind: &str, fields: Vec<FieldSpec>| NameReference {
        group: group.to_owned(),
        version: version.to_owned(),
        kind: kind.to_owned(),
        fields,
    };
    // In the order in which they are followed: a name is only followed once.
    let scaled = || specs(&[("", "HorizontalPodAutoscaler", "spec/scaleTargetRef/name")], false);
    let storage = |path: &str| -> Vec<FieldSpec> {
        ["PersistentVolume", "PersistentVolumeClaim"].map(|kind| FieldSpec::new("", kind, path, false)).to_vec()
    };
    let of_runners = |field: &str| {
        let mut fields = vec![FieldSpec::new("", "Pod", &format!("spec/{field}"), false)];
        fields.extend(of_pods(RUNNERS, &[field]));
        fields
    };
    let rbac = "rbac.authorization.k8s.io";
    let mut classes = storage("spec/storageClassName");
    classes.push(FieldSpec::new("", "StatefulSet", "spec/volumeClaimTemplates/spec/storageClassName", false));
    let mut accounts = specs(&[(rbac, "RoleBinding", "subjects"), (rbac, "ClusterRoleBinding", "subjects")], false);
    accounts.extend(of_runners("serviceAccountName"));
    let bound = [(rbac, "RoleBinding", "roleRef/name"), (rbac, "ClusterRoleBinding", "roleRef/name")];
    let volumes = [("", "PersistentVolumeClaim", "spec/volumeName"), ("", "ClusterRole", "rules/resourceNames")];
    let admission = "admissionregistration.k8s.io";
    vec![
        reference("storage.k8s.io", "v1", "StorageClass", classes),
        reference("", "v1", "ServiceAccount", accounts),
        reference(rbac, "", "Role", specs(&bound[..1], false)),
        reference(rbac, "", "ClusterRole", specs(&bound, false)),
        reference("", "v1", "ConfigMap", config_maps()),
        reference("", "v1", "Secret", secrets()),
        reference("", "v1", "Service", services()),
        reference("scheduling.k8s.io", "v1", "PriorityClass", of_runners("priorityClassName")),
        reference("", "v1", "PersistentVolume", specs(&volumes, false)),
        reference("", "v1", "PersistentVolumeClaim", of_runners("volumes/persistentVolumeClaim/claimName")),
        reference("", "", "Deployment", scaled()),
        reference("", "", "StatefulSet", scaled()),
        reference("", "", "ReplicaSet", scaled()),
        reference("", "", "ReplicationController", scaled()),
        // The group is kustomize's slip, which keeps the name of a class from ever being followed.
        reference(
            "networking.k8s.io/v1",
            "v1",
            "IngressClass",
            specs(&[("", "Ingress", "spec/ingressClassName")], false),
        ),
        reference(
            admission,
            "",
            "ValidatingAdmissionPolicy",
            specs(&[(admission, "ValidatingAdmissionPolicyBinding", "spec/policyName")], false),
        ),
    ]
}

/// Fields of pods, and of templates of them.
fn in_pods(fields: &[&str]) -> Vec<FieldSpec> {
    let pods = fields.iter().map(|field| FieldSpec::new("", "Pod", &format!("spec/{field}"), false).of_version("v1"));
    pods.chain(of_pods(WORKLOADS, fields)).collect()
}

fn config_maps() -> Vec<FieldSpec> {
    let mut fields = in_pods(&[
        "volumes/configMap/name",
        "containers/env/valueFrom/configMapKeyRef/name",
        "initContainers/env/valueFrom/configMapKeyRef/name",
        "containers/envFrom/configMapRef/name",
        "initContainers/envFrom/configMapRef/name",
        "volumes/projected/sources/configMap/name",
    ]);
    fields.extend(specs(
        &[
            ("", "Node", "spec/configSource/configMap"),
            ("", "Role", "rules/resourceNames"),
            ("", "ClusterRole", "rules/resourceNames"),
            ("", "Ingress", "metadata/annotations/nginx.ingress.kubernetes.io\\/fastcgi-params-configmap"),
        ],
        false,
    ));
    fields
}

fn secrets() -> Vec<FieldSpec> {
    let mut fields = in_pods(&[
        "volumes/secret/secretName",
        "containers/env/valueFrom/secretKeyRef/name",
        "initContainers/env/valueFrom/secretKeyRef/name",
        "containers/envFrom/secretRef/name",
        "initContainers/envFrom/secretRef/name",
        "imagePullSecrets/name",
        "volumes/projected/sources/secret/name",
    ]);
    fields.extend(specs(
        &[
            ("", "Ingress", "spec/tls/secretName"),
            ("", "Ingress", "metadata/annotations/ingress.kubernetes.io\\/auth-secret"),
            ("", "Ingress", "metadata/annotations/nginx.ingress.kubernetes.io\\/auth-secret"),
            ("", "Ingress", "metadata/annotations/nginx.ingress.kubernetes.io\\/auth-tls-secret"),
            ("", "ServiceAccount", "imagePullSecrets/name"),
            ("", "StorageClass", "parameters/secretName"),
            ("", "StorageClass", "parameters/adminSecretName"),
            ("", "StorageClass", "parameters/userSecretName"),
            ("", "StorageClass", "parameters/secretRef"),
            ("", "Role", "rules/resourceNames"),
            ("", "ClusterRole", "rules/resourceNames"),
            ("", "PersistentVolume", "spec/azureFile/secretName"),
        ],
        false,
    ));
    let path = "spec/template/spec/containers/env/valueFrom/secretKeyRef/name";
    fields.push(FieldSpec::new("serving.knative.dev", "Service", path, false).of_version("v1"));
    fields
}

fn services() -> Vec<FieldSpec> {
    let admission = "admissionregistration.k8s.io";
    specs(
        &[
            ("apps", "StatefulSet", "spec/serviceName"),
            ("", "Ingress", "spec/rules/http/paths/backend/serviceName"),
            ("", "Ingress", "spec/backend/serviceName"),
            ("", "Ingress", "spec/rules/http/paths/backend/service/name"),
            ("", "Ingress", "spec/defaultBackend/service/name"),
            ("apiregistration.k8s.io", "APIService", "spec/service/name"),
            (admission, "ValidatingWebhookConfiguration", "webhooks/clientConfig/service"),
            (admission, "MutatingWebhookConfiguration", "webhooks/clientConfig/service"),
        ],
        false,
    )
}

fn var_references() -> Vec<FieldSpec> {
    let containers = [
        "containers/args",
        "containers/command",
        "containers/env/value",
        "containers/volumeMounts/mountPath",
        "initContainers/args",
        "initContainers/command",
        "initContainers/env/value",
        "initContainers/volumeMounts/mountPath",
    ];
    let workloads = ["Deployment", "ReplicaSet", "DaemonSet", "StatefulSet", "Job", "CronJob"];
    let mut fields = of_pods(&workloads, &containers);
    fields.extend(containers.map(|field| FieldSpec::new("", "Pod", &format!("spec/{field}"), false)));
    fields.extend(specs(
        &[
            ("", "CronJob", "spec/jobTemplate/spec/template/volumes/nfs/server"),
            ("", "DaemonSet", "spec/template/spec/volumes/nfs/server"),
            ("", "Deployment", "spec/template/spec/volumes/nfs/server"),
            ("", "Deployment", "spec/template/metadata/annotations"),
            ("", "Ingress", "spec/rules/host"),
            ("", "Ingress", "spec/tls/hosts"),
            ("", "Ingress", "spec/tls/secretName"),
            ("", "Job", "spec/template/spec/volumes/nfs/server"),
            ("", "Pod", "spec/volumes/nfs/server"),
            ("", "ReplicaSet", "spec/template/spec/volumes/nfs/server"),
            ("", "Service", "spec/ports/port"),
            ("", "Service", "spec/ports/targetPort"),
            ("", "StatefulSet", "spec/volumeClaimTemplates/spec/nfs/server"),
            ("", "PersistentVolume", "spec/nfs/server"),
            ("", "", "metadata/labels"),
            ("", "", "metadata/annotations"),
        ],
        false,
    ));
    fields
}
