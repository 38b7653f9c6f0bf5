//! Patches: strategic merge patches, which say what they are for or are given a target, and JSON patches (RFC 6902), which
//! need one.

use api::patch::json;
use serde_json::{Value, json};

use crate::Error;
use crate::kustomization::{Patch, Selector};
use crate::loader::Loader;
use crate::merge::merge;
use crate::resource::{Resource, parse};
use crate::select::Select;
use crate::set::Set;
use crate::yaml::{Words, documents, settle};

/// A patch that has been read.
#[derive(Clone, Debug)]
pub(crate) enum Ready {
    /// Each for the object that it names, or for the target.
    Strategic {
        patches: Vec<Resource>,
        target: Option<Selector>,
        names: bool,
        kinds: bool,
    },
    Json {
        operations: Vec<Value>,
        target: Selector,
    },
}

/// Reads a patch of `patches`.
pub(crate) fn read(patch: &Patch, loader: &Loader<'_>) -> Result<Ready, Error> {
    let configuring = |error: Error| error.doing("trouble configuring builtin PatchTransformer");
    let text = content(&patch.path, patch.patch.trim(), loader).map_err(configuring)?;
    let option = |name: &str| patch.options.get(name).copied().unwrap_or_default();
    let shown = match patch.path.is_empty() {
        true => format!("[patch: {text:?}]"),
        false => format!("[path: {:?}]", patch.path),
    };
    let cannot = || Error::said(format!("unable to parse SM or JSON patch from {shown}"));
    if let Some(read) = json_patch(&text) {
        let read = read.map_err(|_| configuring(cannot()))?;
        let target = patch.target.clone();
        let target = target.ok_or_else(|| Error::said(format!("must specify a target for JSON patch {shown}")))?;
        return Ok(Ready::Json { operations: read, target });
    }
    let patches = parse(&text).ok().filter(|patches| !patches.is_empty()).ok_or_else(|| configuring(cannot()))?;
    if patches.len() > 1 && patch.target.is_some() {
        return Err(configuring(Error::said(format!(
            "Multiple Strategic-Merge Patches in one `patches` entry is not allowed to set `patches.target` field: {shown}"
        ))));
    }
    let (names, kinds) = (option("allowNameChange"), option("allowKindChange"));
    Ok(Ready::Strategic { patches, target: patch.target.clone(), names, kinds })
}

/// Reads the patches of `patchesStrategicMerge`, which are files, or the patch itself.
pub(crate) fn read_strategic(paths: &[String], loader: &Loader<'_>) -> Result<Ready, Error> {
    let mut patches = Vec::new();
    for path in paths {
        let found = match loader.text(path) {
            Ok(text) => parse(&text),
            // What is no file may be the patch.
            Err(error) => match parse(path) {
                Ok(inline) if !inline.is_empty() => Ok(inline),
                _ => Err(error),
            },
        };
        patches
            .extend(found.map_err(|error| error.doing("trouble configuring builtin PatchStrategicMergeTransformer"))?);
    }
    Ok(Ready::Strategic { patches, target: None, names: false, kinds: false })
}

/// Reads a patch of `patchesJson6902`.
pub(crate) fn read_json(patch: &Patch, loader: &Loader<'_>) -> Result<Ready, Error> {
    let configuring = |error: Error| error.doing("trouble configuring builtin PatchJson6902Transformer");
    let target = patch.target.clone().filter(|target| !target.name.is_empty());
    let target = target.ok_or_else(|| configuring(Error::said("must specify the target name")))?;
    let text = content(&patch.path, patch.patch.trim(), loader).map_err(configuring)?;
    let read = json_patch(&text).unwrap_or_else(|| Err(Error::said("it is no list of operations")));
    Ok(Ready::Json { operations: read.map_err(configuring)?, target })
}

fn content(path: &str, inline: &str, loader: &Loader<'_>) -> Result<String, Error> {
    match (path.is_empty(), inline.is_empty()) {
        (true, true) => Err(Error::said("must specify one of patch and path")),
        (false, false) => Err(Error::said("patch and path can't be set at the same time")),
        (true, false) => Ok(inline.to_owned()),
        (false, true) => {
            loader.text(path).map_err(|error| error.doing(format!("failed to get the patch file from path({path})")))
        }
    }
}

/// The JSON patch, if the text is a list.
fn json_patch(text: &str) -> Option<Result<Vec<Value>, Error>> {
    let mut found = documents(text, Words::Kustomizations).ok()?;
    let mut value = (found.len() == 1).then(|| found.remove(0)).filter(Value::is_array)?;
    settle(&mut value);
    // Whether it is a patch at all is said before anything is done.
    let checked = json::Patch::new(value.clone()).map_err(|error| Error::said(error.to_string()));
    let Value::Array(operations) = value else { return None };
    Some(checked.map(|_| operations))
}

/// Applies the operations of a JSON patch. What is replaced must be there, which the API server does not ask for.
fn operate(object: &Value, operations: &[Value]) -> Result<Value, Error> {
    let mut object = object.clone();
    for operation in operations {
        let path = operation["path"].as_str().unwrap_or_default();
        if operation["op"] == "replace" && object.pointer(path).is_none() {
            let why = format!("replace operation does not apply: doc is missing key: {path}: missing value");
            return Err(Error::said(why));
        }
        let patch = json::Patch::new(json!([operation])).map_err(|error| Error::said(error.to_string()))?;
        object = patch.apply(&object).map_err(|error| Error::said(error.to_string()))?;
    }
    Ok(object)
}

/// Applies a patch.
pub(crate) fn apply(set: &mut Set, ready: &Ready) -> Result<(), Error> {
    match ready {
        Ready::Json { operations, target } => {
            let select = Select::new(target)?;
            for resource in set.list.iter_mut().filter(|resource| select.matches(resource)) {
                resource.remember_id();
                settle(&mut resource.object);
                resource.object = operate(&resource.object, operations)?;
            }
            Ok(())
        }
        Ready::Strategic { patches, target: None, names, kinds } => {
            for patch in patches {
                let id = patch.id();
                let index = set
                    .one_by_id(&id)
                    .map_err(|error| error.doing(format!("no resource matches strategic merge patch \"{id}\"")))?;
                apply_strategic(&mut set.list[index], patch, *names, *kinds)?;
            }
            Ok(())
        }
        Ready::Strategic { patches, target: Some(target), names, kinds } => {
            let select = Select::new(target)?;
            for patch in patches {
                for resource in set.list.iter_mut().filter(|resource| select.matches(resource)) {
                    apply_strategic(resource, patch, *names, *kinds)?;
                }
            }
            // Patches that may change names must not make two objects one.
            let patched = std::mem::take(&mut set.list);
            set.add_all(patched.into_iter().filter(|resource| !resource.is_gone()).collect())
        }
    }
}

/// Applies a strategic merge patch, whose name, kind and namespace only count if that is allowed.
fn apply_strategic(resource: &mut Resource, patch: &Resource, names: bool, kinds: bool) -> Result<(), Error> {
    let (name, namespace) = (resource.name().to_owned(), resource.namespace().to_owned());
    let (kind, api_version) = (resource.object["kind"].clone(), resource.object["apiVersion"].clone());
    if names || kinds {
        resource.remember_id();
    }
    let mut content = patch.object.clone();
    content["apiVersion"] = api_version;
    resource.object = merge(&resource.object, &content)?;
    if resource.is_gone() {
        return Ok(());
    }
    if !kinds {
        resource.object["kind"] = kind;
    }
    if !names {
        resource.set_name(&name);
    }
    if let Some(metadata) = resource.metadata_mut() {
        match namespace.is_empty() {
            true => drop(metadata.remove("namespace")),
            false => drop(metadata.insert("namespace".to_owned(), Value::String(namespace))),
        }
    }
    Ok(())
}
