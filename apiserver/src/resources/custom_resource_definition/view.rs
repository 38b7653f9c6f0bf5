//! A definition's spec as upstream's rules see it: what all versions have alike stands at the top, once.
//!
//! Paths in messages follow from that: the schema of the only version is `spec.validation`.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceColumnDefinition, CustomResourceDefinitionSpec, CustomResourceDefinitionVersion,
    CustomResourceSubresourceScale, CustomResourceSubresources, CustomResourceValidation, JSONSchemaProps,
    SelectableField,
};

pub(super) type Scale = CustomResourceSubresourceScale;
pub(super) type Source = CustomResourceDefinitionVersion;

/// A spec.
pub(super) struct View<'a> {
    pub(super) validation: Option<&'a CustomResourceValidation>,
    pub(super) subresources: Option<&'a CustomResourceSubresources>,
    pub(super) columns: &'a [CustomResourceColumnDefinition],
    pub(super) selectable_fields: &'a [SelectableField],
    pub(super) versions: Vec<Version<'a>>,
}

/// A version, with what is particular to it.
pub(super) struct Version<'a> {
    pub(super) source: &'a CustomResourceDefinitionVersion,
    pub(super) schema: Option<&'a CustomResourceValidation>,
    pub(super) subresources: Option<&'a CustomResourceSubresources>,
    pub(super) columns: &'a [CustomResourceColumnDefinition],
    pub(super) selectable_fields: &'a [SelectableField],
}

impl<'a> View<'a> {
    pub(super) fn new(spec: &'a CustomResourceDefinitionSpec) -> Self {
        let mut view = View {
            validation: None,
            subresources: None,
            columns: &[],
            selectable_fields: &[],
            versions: spec.versions.iter().map(Version::new).collect(),
        };
        let Some(first) = view.versions.first() else { return view };
        let same_schema = view.versions.iter().all(|version| version.schema == first.schema);
        let same_subresources = view.versions.iter().all(|version| version.subresources == first.subresources);
        let same_columns = view.versions.iter().all(|version| version.columns == first.columns);
        let same_fields =
            same_schema && view.versions.iter().all(|version| version.selectable_fields == first.selectable_fields);
        if same_schema {
            view.validation = first.schema;
        }
        if same_subresources {
            view.subresources = first.subresources;
        }
        if same_columns {
            view.columns = first.columns;
        }
        if same_fields {
            view.selectable_fields = first.selectable_fields;
        }
        for version in &mut view.versions {
            version.schema = version.schema.filter(|_| !same_schema);
            version.subresources = version.subresources.filter(|_| !same_subresources);
            version.columns = if same_columns { &[] } else { version.columns };
            version.selectable_fields = if same_fields { &[] } else { version.selectable_fields };
        }
        view
    }

    /// The subresources of a version.
    pub(super) fn subresources_of(&self, version: &Version<'a>) -> Option<&'a CustomResourceSubresources> {
        if self.versions.iter().any(|version| version.subresources.is_some()) {
            version.subresources
        } else {
            self.subresources
        }
    }
}

impl<'a> Version<'a> {
    fn new(source: &'a CustomResourceDefinitionVersion) -> Self {
        Version {
            source,
            schema: source.schema.as_ref(),
            subresources: source.subresources.as_ref(),
            columns: source.additional_printer_columns.as_deref().unwrap_or_default(),
            selectable_fields: source.selectable_fields.as_deref().unwrap_or_default(),
        }
    }
}

/// Every schema of a spec.
pub(super) fn schemas(spec: &CustomResourceDefinitionSpec) -> impl Iterator<Item = &JSONSchemaProps> {
    spec.versions.iter().filter_map(|version| version.schema.as_ref()?.open_api_v3_schema.as_ref())
}
