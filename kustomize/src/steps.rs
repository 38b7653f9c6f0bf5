//! What is done to the objects of a kustomization, one step after the other: those of its fields in kustomize's order, and
//! those of `transformers`, which are configured one by one.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::Error;
use crate::defaults::Fields;
use crate::kustomization::{
    Generator, Image, Kustomization, Patch, Replacement, Replica, Selector, from_fields, without_nulls,
};
use crate::loader::Loader;
use crate::patches::{self, Ready};
use crate::replacements;
use crate::resource::Resource;
use crate::set::Set;
use crate::spec::{FieldSpec, unite};
use crate::transform::{End, Subjects, rename, set_images, set_namespace, set_replicas, set_texts};
use crate::yaml::{Words, documents};

/// Something that is done to all objects.
pub(crate) enum Step {
    Patch(Ready),
    Namespace { namespace: String, fields: Vec<FieldSpec>, subjects: Subjects, unset_only: bool },
    Rename { end: End, text: String, fields: Vec<FieldSpec> },
    Texts { texts: BTreeMap<String, String>, fields: Vec<FieldSpec> },
    Replicas { replica: Replica, fields: Vec<FieldSpec> },
    Images { image: Image, fields: Vec<FieldSpec> },
    Replacements(Vec<Replacement>),
    Hash,
}

impl Step {
    pub(crate) fn run(&self, set: &mut Set) -> Result<(), Error> {
        match self {
            Step::Patch(patch) => patches::apply(set, patch)?,
            Step::Namespace { namespace, fields, subjects, unset_only } => {
                set_namespace(set, namespace, fields, *subjects, *unset_only)?;
            }
            Step::Rename { end, text, fields } => rename(set, *end, text, fields)?,
            Step::Texts { texts, fields } => set_texts(set, texts, fields)?,
            Step::Replicas { replica, fields } => set_replicas(set, replica, fields)?,
            Step::Images { image, fields } => set_images(set, image, fields)?,
            Step::Replacements(all) => replacements::apply(set, all)?,
            Step::Hash => crate::generate::hash_names(&mut set.list),
        }
        set.drop_gone();
        Ok(())
    }
}

/// The steps of a kustomization's fields, each with the name by which kustomize knows it.
pub(crate) fn of_fields(
    kustomization: &Kustomization,
    fields: &Fields,
    loader: &Loader<'_>,
) -> Result<Vec<(&'static str, Step)>, Error> {
    let it = kustomization;
    let mut steps = Vec::new();
    if !it.patches_strategic_merge.is_empty() {
        let ready = patches::read_strategic(&it.patches_strategic_merge, loader)?;
        steps.push(("PatchStrategicMergeTransformer", Step::Patch(ready)));
    }
    for patch in &it.patches {
        steps.push(("PatchTransformer", Step::Patch(patches::read(patch, loader)?)));
    }
    if !it.namespace.is_empty() {
        let (namespace, fields) = (it.namespace.clone(), fields.namespace.clone());
        let step = Step::Namespace { namespace, fields, subjects: Subjects::Default, unset_only: false };
        steps.push(("NamespaceTransformer", step));
    }
    for (name, end, text, fields) in [
        ("PrefixTransformer", End::Prefix, &it.name_prefix, &fields.name_prefix),
        ("SuffixTransformer", End::Suffix, &it.name_suffix, &fields.name_suffix),
    ] {
        if !text.is_empty() {
            steps.push((name, Step::Rename { end, text: text.clone(), fields: fields.clone() }));
        }
    }
    labels(it, fields, &mut steps)?;
    if !it.common_annotations.is_empty() {
        let (texts, fields) = (it.common_annotations.clone(), fields.common_annotations.clone());
        steps.push(("AnnotationsTransformer", Step::Texts { texts, fields }));
    }
    for patch in &it.patches_json {
        steps.push(("PatchJson6902Transformer", Step::Patch(patches::read_json(patch, loader)?)));
    }
    for replica in &it.replicas {
        let step = Step::Replicas { replica: replica.clone(), fields: fields.replicas.clone() };
        steps.push(("ReplicaCountTransformer", step));
    }
    for image in &it.images {
        steps.push(("ImageTagTransformer", Step::Images { image: image.clone(), fields: fields.images.clone() }));
    }
    if !it.replacements.is_empty() {
        steps.push(("ReplacementTransformer", Step::Replacements(read_replacements(&it.replacements, loader)?)));
    }
    Ok(steps)
}

fn labels(it: &Kustomization, fields: &Fields, steps: &mut Vec<(&'static str, Step)>) -> Result<(), Error> {
    let of_metadata = FieldSpec::new("", "", "metadata/labels", true);
    for label in it.labels.iter().filter(|label| !label.pairs.is_empty()) {
        let mut where_to = label.fields.clone();
        if label.include_selectors {
            unite(&mut where_to, &fields.common_labels)?;
        } else {
            if label.include_templates {
                unite(&mut where_to, &fields.template_labels)?;
            }
            unite(&mut where_to, &fields.labels)?;
            unite(&mut where_to, std::slice::from_ref(&of_metadata))?;
        }
        steps.push(("LabelTransformer", Step::Texts { texts: label.pairs.clone(), fields: where_to }));
    }
    if !it.common_labels.is_empty() {
        let (texts, fields) = (it.common_labels.clone(), fields.common_labels.clone());
        steps.push(("LabelTransformer", Step::Texts { texts, fields }));
    }
    Ok(())
}

/// Replacements, with those of files in their places.
fn read_replacements(replacements: &[Replacement], loader: &Loader<'_>) -> Result<Vec<Replacement>, Error> {
    let mut read = Vec::new();
    for replacement in replacements {
        if replacement.path.is_empty() {
            read.push(replacement.clone());
            continue;
        }
        if replacement.source.is_some() || !replacement.targets.is_empty() {
            return Err(Error::said("cannot specify both path and inline replacement"));
        }
        for value in documents(&loader.text(&replacement.path)?, Words::Kustomizations)? {
            let values = match value {
                Value::Array(values) => values,
                other => vec![other],
            };
            for value in values {
                let Value::Object(mut fields) = value else {
                    return Err(Error::said("unsupported replacement type encountered within replacement path"));
                };
                without_nulls(&mut fields);
                read.push(from_fields(fields)?);
            }
        }
    }
    Ok(read)
}

/// A transformer's own configuration: all fields of all that are known.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Configured {
    metadata: Metadata,
    field_specs: Vec<FieldSpec>,
    prefix: String,
    suffix: String,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    image_tag: Image,
    replica: Replica,
    replacements: Vec<Replacement>,
    unset_only: bool,
    set_role_binding_subjects: String,
    path: String,
    patch: String,
    json_op: String,
    paths: Vec<String>,
    patches: String,
    target: Option<Selector>,
    options: BTreeMap<String, bool>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata {
    namespace: String,
}

/// Whether it is one of those that kustomize brings along, by its API version.
fn is_builtin(resource: &Resource) -> bool {
    resource.object["apiVersion"] == "builtin"
}

fn unknown(resource: &Resource, what: &str) -> Error {
    let name = format!("the {what} {} {}", resource.object["apiVersion"].as_str().unwrap_or_default(), resource.kind());
    Error::Unsupported(name, "nothing is run that kustomize does not bring along")
}

fn configuration(resource: &Resource) -> Map<String, Value> {
    let mut fields = resource.object.as_object().cloned().unwrap_or_default();
    without_nulls(&mut fields);
    fields
}

/// The step of a transformer that is configured on its own.
pub(crate) fn of_transformer(resource: &Resource, loader: &Loader<'_>) -> Result<Step, Error> {
    if !is_builtin(resource) {
        return Err(unknown(resource, "transformer"));
    }
    let kind = resource.kind().to_owned();
    let it: Configured =
        from_fields(configuration(resource)).map_err(|error| error.doing(format!("configuring {kind}")))?;
    let fields = it.field_specs;
    let patch = |path: String, patch: String, target, options| Patch { path, patch, target, options };
    Ok(match kind.as_str() {
        "NamespaceTransformer" => {
            let subjects = match it.set_role_binding_subjects.as_str() {
                "" | "defaultOnly" => Subjects::Default,
                "allServiceAccounts" => Subjects::All,
                "none" => Subjects::None,
                other => return Err(Error::said(format!("invalid value {other:?} for setRoleBindingSubjects"))),
            };
            Step::Namespace { namespace: it.metadata.namespace, fields, subjects, unset_only: it.unset_only }
        }
        "PrefixTransformer" => Step::Rename { end: End::Prefix, text: it.prefix, fields },
        "SuffixTransformer" => Step::Rename { end: End::Suffix, text: it.suffix, fields },
        "LabelTransformer" => Step::Texts { texts: it.labels, fields },
        "AnnotationsTransformer" => Step::Texts { texts: it.annotations, fields },
        "ImageTagTransformer" => Step::Images { image: it.image_tag, fields },
        "ReplicaCountTransformer" => Step::Replicas { replica: it.replica, fields },
        "ReplacementTransformer" => Step::Replacements(read_replacements(&it.replacements, loader)?),
        "PatchTransformer" => Step::Patch(patches::read(&patch(it.path, it.patch, it.target, it.options), loader)?),
        "PatchJson6902Transformer" => {
            Step::Patch(patches::read_json(&patch(it.path, it.json_op, it.target, BTreeMap::new()), loader)?)
        }
        "PatchStrategicMergeTransformer" => {
            let inline = Some(it.patches).filter(|patches| !patches.is_empty());
            let paths: Vec<String> = it.paths.into_iter().chain(inline).collect();
            Step::Patch(patches::read_strategic(&paths, loader)?)
        }
        "HashTransformer" => Step::Hash,
        _ => return Err(unknown(resource, "transformer")),
    })
}

/// What a generator that is configured on its own makes, and how.
pub(crate) fn of_generator(resource: &Resource) -> Result<(&'static str, Generator), Error> {
    let kind = match resource.kind() {
        "ConfigMapGenerator" if is_builtin(resource) => "ConfigMap",
        "SecretGenerator" if is_builtin(resource) => "Secret",
        _ => return Err(unknown(resource, "generator")),
    };
    let mut fields = configuration(resource);
    for name in ["apiVersion", "kind", "metadata"] {
        fields.remove(name);
    }
    let mut generator: Generator = from_fields(fields)?;
    generator.name = resource.name().to_owned();
    generator.namespace = resource.namespace().to_owned();
    Ok((kind, generator))
}
