//! What a kustomization's file says, field by field. A field that does not exist is a mistake, which is named.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::Error;
use crate::id::{Gvk, Id, split};
use crate::order::SortOptions;
use crate::spec::FieldSpec;
use crate::yaml::{Words, documents, is_null};

/// A kustomization.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Kustomization {
    pub(crate) api_version: String,
    pub(crate) kind: String,
    pub(crate) metadata: Map<String, Value>,
    pub(crate) openapi: BTreeMap<String, String>,
    pub(crate) name_prefix: String,
    pub(crate) name_suffix: String,
    pub(crate) namespace: String,
    pub(crate) common_labels: BTreeMap<String, String>,
    pub(crate) labels: Vec<Label>,
    pub(crate) common_annotations: BTreeMap<String, String>,
    pub(crate) patches_strategic_merge: Vec<String>,
    #[serde(rename = "patchesJson6902")]
    pub(crate) patches_json: Vec<Patch>,
    pub(crate) patches: Vec<Patch>,
    pub(crate) images: Vec<Image>,
    pub(crate) image_tags: Vec<Image>,
    pub(crate) replacements: Vec<Replacement>,
    pub(crate) replicas: Vec<Replica>,
    pub(crate) vars: Vec<Var>,
    pub(crate) sort_options: Option<SortOptions>,
    pub(crate) resources: Vec<String>,
    pub(crate) components: Vec<String>,
    pub(crate) crds: Vec<String>,
    pub(crate) bases: Vec<String>,
    pub(crate) config_map_generator: Vec<Generator>,
    pub(crate) secret_generator: Vec<Generator>,
    pub(crate) helm_globals: Option<Value>,
    pub(crate) helm_charts: Vec<Value>,
    pub(crate) helm_chart_inflation_generator: Vec<Value>,
    pub(crate) generator_options: Option<GeneratorOptions>,
    pub(crate) configurations: Vec<String>,
    pub(crate) generators: Vec<String>,
    pub(crate) transformers: Vec<String>,
    pub(crate) validators: Vec<String>,
    pub(crate) inventory: Option<Value>,
    pub(crate) build_metadata: Vec<String>,
}

/// Labels, and where they go.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Label {
    pub(crate) pairs: BTreeMap<String, String>,
    pub(crate) include_selectors: bool,
    pub(crate) include_templates: bool,
    pub(crate) fields: Vec<FieldSpec>,
}

/// A patch, and what it is for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Patch {
    pub(crate) path: String,
    pub(crate) patch: String,
    pub(crate) target: Option<Selector>,
    pub(crate) options: BTreeMap<String, bool>,
}

/// Objects by what they are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Selector {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) label_selector: String,
    pub(crate) annotation_selector: String,
}

/// Another name, tag or digest for an image.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Image {
    pub(crate) name: String,
    pub(crate) new_name: String,
    pub(crate) tag_suffix: String,
    pub(crate) new_tag: String,
    pub(crate) digest: String,
}

/// How many pods.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Replica {
    pub(crate) name: String,
    pub(crate) count: i64,
}

/// A value for fields of other objects; or the file that has some.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Replacement {
    pub(crate) path: String,
    pub(crate) source: Option<Source>,
    pub(crate) source_value: Option<String>,
    pub(crate) targets: Vec<Target>,
}

/// The field with the value.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Source {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) field_path: String,
    pub(crate) options: Option<FieldOptions>,
}

impl Source {
    pub(crate) fn id(&self) -> Id {
        let gvk = Gvk { group: self.group.clone(), version: self.version.clone(), kind: self.kind.clone() };
        Id { gvk, name: self.name.clone(), namespace: self.namespace.clone() }
    }
}

/// Which part of a field.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct FieldOptions {
    pub(crate) delimiter: String,
    pub(crate) index: i64,
    pub(crate) create: bool,
}

/// The fields that get the value.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Target {
    pub(crate) select: Option<Selector>,
    pub(crate) reject: Vec<Selector>,
    pub(crate) field_paths: Vec<String>,
    pub(crate) options: Option<FieldOptions>,
}

/// A name for a field's value.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Var {
    pub(crate) name: String,
    #[serde(alias = "objRef")]
    pub(crate) objref: ObjectReference,
    #[serde(alias = "fieldRef")]
    pub(crate) fieldref: FieldReference,
}

/// The object with the value.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct ObjectReference {
    pub(crate) api_version: String,
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) namespace: String,
}

impl ObjectReference {
    pub(crate) fn id(&self) -> Id {
        let (group, version) = match self.api_version.is_empty() {
            true => (self.group.as_str(), self.version.as_str()),
            false => split(&self.api_version),
        };
        let gvk = Gvk { group: group.to_owned(), version: version.to_owned(), kind: self.kind.clone() };
        Id { gvk, name: self.name.clone(), namespace: self.namespace.clone() }
    }
}

/// The field of the value.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct FieldReference {
    #[serde(alias = "fieldPath")]
    pub(crate) fieldpath: String,
}

/// A `ConfigMap` or `Secret` out of texts and files.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Generator {
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) behavior: String,
    pub(crate) literals: Vec<String>,
    pub(crate) files: Vec<String>,
    pub(crate) envs: Vec<String>,
    pub(crate) env: String,
    #[serde(rename = "type")]
    pub(crate) of_type: String,
    pub(crate) options: Option<GeneratorOptions>,
}

/// What generated objects are like.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct GeneratorOptions {
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) disable_name_suffix_hash: bool,
    pub(crate) immutable: bool,
}

impl Kustomization {
    /// Reads a kustomization's text. `root` is its directory, and `warn` gets what is deprecated.
    pub(crate) fn read(text: &str, root: &str, warn: &mut Vec<String>) -> Result<Kustomization, Error> {
        let mut found = documents(text, Words::Kustomizations)?;
        if found.is_empty() {
            return Err(Error::said("kustomization.yaml is empty"));
        }
        let Value::Object(mut fields) = found.remove(0) else {
            return Err(Error::Invalid("a kustomization has fields, and this has none".to_owned()));
        };
        without_nulls(&mut fields);
        let has = |name: &str| fields.contains_key(name);
        for (name, instead, how) in [
            ("bases", "resources", ""),
            ("imageTags", "images", ""),
            ("patchesJson6902", "patches", ""),
            ("patchesStrategicMerge", "patches", ""),
            ("commonLabels", "labels", ""),
            ("vars", "replacements", "[EXPERIMENTAL] "),
        ] {
            if has(name) {
                warn.push(format!(
                    "# Warning: '{name}' is deprecated. Please use '{instead}' instead. {how}Run 'kustomize edit fix' to \
                     update your Kustomization automatically."
                ));
            }
        }
        let is_empty = fields.iter().all(|(name, value)| {
            matches!(name.as_str(), "apiVersion" | "kind" | "metadata") || value.as_array().is_some_and(Vec::is_empty)
        });
        let mut read: Kustomization = from_fields(fields)?;
        if is_empty && read.kind != "Component" {
            read.check(root)?;
            return Err(Error::said("kustomization.yaml is empty"));
        }
        read.check(root)?;
        let bases = std::mem::take(&mut read.bases);
        read.resources.extend(bases);
        let tags = std::mem::take(&mut read.image_tags);
        read.images.extend(tags);
        Ok(read)
    }

    /// Whether it is a component.
    pub(crate) fn is_component(&self) -> bool {
        self.kind == "Component"
    }

    fn check(&self, root: &str) -> Result<(), Error> {
        let failed = |why: String| Err(Error::said(format!("Failed to read kustomization file under {root}:\n{why}")));
        if !matches!(self.kind.as_str(), "" | "Kustomization" | "Component") {
            return failed("kind should be Kustomization or Component".to_owned());
        }
        let (kind, version) = match self.is_component() {
            true => ("Component", "kustomize.config.k8s.io/v1alpha1"),
            false => ("Kustomization", "kustomize.config.k8s.io/v1beta1"),
        };
        if !self.api_version.is_empty() && self.api_version != version {
            return failed(format!("apiVersion for {kind} should be {version}"));
        }
        let elsewhere = |field: &str, why| Err(Error::Unsupported(field.to_owned(), why));
        if !self.helm_charts.is_empty()
            || !self.helm_chart_inflation_generator.is_empty()
            || self.helm_globals.is_some()
        {
            return elsewhere("helmCharts", "charts are not rendered here; render them with helm, and name the file");
        }
        if !self.openapi.is_empty() {
            return elsewhere("openapi", "only the built-in API is known");
        }
        if !self.crds.is_empty() {
            return elsewhere("crds", "name the fields with references in configurations instead");
        }
        if self.inventory.is_some() {
            return elsewhere("inventory", "kustomize no longer has it either");
        }
        Ok(())
    }
}

/// Leaves out fields that are null, which say nothing.
pub(crate) fn without_nulls(fields: &mut Map<String, Value>) {
    fields.retain(|_, value| !is_null(value));
    let inner = |value: &mut Value| {
        if let Value::Object(fields) = value {
            without_nulls(fields);
        }
    };
    for value in fields.values_mut() {
        match value {
            Value::Array(elements) => elements.iter_mut().for_each(inner),
            other => inner(other),
        }
    }
}

/// Reads a value, and names the field with a mistake.
pub(crate) fn from_fields<T: for<'de> Deserialize<'de>>(fields: Map<String, Value>) -> Result<T, Error> {
    let wrong = |error: &serde_json::Error| {
        let words = error.to_string();
        match words.strip_prefix("unknown field `").and_then(|rest| rest.split_once('`')) {
            Some((name, _)) => format!("json: unknown field {name:?}"),
            None => words,
        }
    };
    for (name, value) in &fields {
        let alone: Map<String, Value> = [(name.clone(), value.clone())].into_iter().collect();
        if let Err(error) = T::deserialize(Value::Object(alone)) {
            let words = wrong(&error);
            let is_this = words == format!("json: unknown field {name:?}");
            return Err(Error::Invalid(if is_this { words } else { format!("{name}: {words}") }));
        }
    }
    serde_json::from_value(Value::Object(fields)).map_err(|error| Error::Invalid(wrong(&error)))
}
