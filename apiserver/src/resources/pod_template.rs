//! PodTemplates: a template by itself, for whoever makes pods of it.

use api::field::{ErrorList, Path};
use k8s_openapi::api::core::v1::{PodTemplate, PodTemplateSpec};
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::{pod_spec, replica_template, semantic};
use crate::strategy::{Column, NAME_COLUMN, Names, Strategy};

pub(crate) struct PodTemplates;

impl Strategy for PodTemplates {
    type Object = PodTemplate;

    fn names(&self) -> Names {
        Names::of::<PodTemplate>("podtemplate", true)
    }

    fn default(&self, object: &mut PodTemplate) {
        pod_spec::set_template_defaults(object.template.get_or_insert_default());
    }

    fn generation(&self) -> Option<fn(new: &PodTemplate, old: &PodTemplate) -> bool> {
        Some(|new, old| !semantic::equal(&new.template, &old.template))
    }

    fn validate(&self, object: &PodTemplate) -> ErrorList {
        validate(object, None)
    }

    fn validate_update(&self, new: &PodTemplate, old: &PodTemplate) -> ErrorList {
        validate(new, old.template.as_ref())
    }

    fn warnings(&self, new: &PodTemplate, old: Option<&PodTemplate>) -> Vec<String> {
        if old.is_some_and(|old| semantic::equal(&new.template, &old.template)) {
            return Vec::new();
        }
        let template = new.template.clone().unwrap_or_default();
        let old = old.and_then(|old| old.template.as_ref());
        replica_template::template_warnings(&Path::new("template"), &template, old)
    }

    fn columns(&self) -> &'static [Column] {
        const CONTAINERS: Column = Column::new("Containers", "Names of each container in the template.");
        const IMAGES: Column = Column::new("Images", "Images referenced by each container in the template.");
        const LABELS: Column = Column::new("Pod Labels", "The labels for the pod template.");
        const { &[NAME_COLUMN, CONTAINERS, IMAGES, LABELS] }
    }

    fn row(&self, object: &PodTemplate, _: Timestamp) -> Vec<Value> {
        let template = object.template.clone().unwrap_or_default();
        let [containers, images] = replica_template::container_cells(&template);
        let labels = template.metadata.as_ref().and_then(|meta| meta.labels.as_ref());
        vec![object.metadata.name.clone().into(), containers, images, replica_template::labels_cell(labels)]
    }

    fn returns_deleted_object(&self) -> bool {
        true
    }
}

fn validate(object: &PodTemplate, old: Option<&PodTemplateSpec>) -> ErrorList {
    let template = object.template.clone().unwrap_or_default();
    pod_spec::validate_template(&template, &Path::new("template"), &replica_template::options(old))
}

#[cfg(test)]
mod tests;
