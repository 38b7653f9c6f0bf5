//! Warnings of files in one volume that have the same path, or of which one would have to be the other's directory.

use std::collections::BTreeSet;

use api::field::go_quote;
use k8s_openapi::api::core::v1::{DownwardAPIVolumeFile, KeyToPath, ProjectedVolumeSource, Volume, VolumeProjection};

use super::absent::{list, text};

pub(super) fn warnings(volumes: &[Volume]) -> Vec<String> {
    let mut warnings = Vec::new();
    for volume in volumes {
        let name = go_quote(&volume.name);
        if let Some(source) = &volume.config_map {
            let subject = format!("volume {name} (ConfigMap {})", go_quote(&source.name));
            warnings.extend(overlaps(items(&source.items), &subject));
        }
        if let Some(source) = &volume.secret {
            let subject = format!("volume {name} (Secret {})", go_quote(text(&source.secret_name)));
            warnings.extend(overlaps(items(&source.items), &subject));
        }
        if let Some(source) = &volume.downward_api {
            warnings.extend(overlaps(files(&source.items), &format!("volume {name} (DownwardAPI)")));
        }
        if let Some(source) = &volume.projected {
            warnings.extend(projected(source, &name));
        }
    }
    warnings
}

fn projected(projected: &ProjectedVolumeSource, volume: &str) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut all: BTreeSet<&str> = BTreeSet::new();
    for source in list(&projected.sources) {
        if *source == VolumeProjection::default() {
            warnings.push(format!("volume {volume} (Projected) has no sources provided"));
            continue;
        }
        let Some((kind, own)) = paths(source) else { continue };
        let subject = format!("volume {volume} (Projected {kind})");
        warnings.extend(overlaps(own.clone(), &subject));
        // With the files of the sources before; what is twice in this one has been told.
        let unique: BTreeSet<&str> = own.into_iter().collect();
        let mut together: Vec<&str> = unique.iter().chain(&all).copied().collect();
        together.sort_unstable();
        for warning in overlaps(together, &subject) {
            if !warnings.contains(&warning) {
                warnings.push(warning);
            }
        }
        all.extend(unique);
    }
    warnings
}

fn paths(source: &VolumeProjection) -> Option<(String, Vec<&str>)> {
    if let Some(source) = source.config_map.as_ref().filter(|source| !list(&source.items).is_empty()) {
        Some((format!("ConfigMap {}", go_quote(&source.name)), items(&source.items)))
    } else if let Some(source) = source.secret.as_ref().filter(|source| !list(&source.items).is_empty()) {
        Some((format!("Secret {}", go_quote(&source.name)), items(&source.items)))
    } else if let Some(source) = source.downward_api.as_ref().filter(|source| !list(&source.items).is_empty()) {
        Some(("DownwardAPI".to_owned(), files(&source.items)))
    } else {
        source.service_account_token.as_ref().map(|token| ("ServiceAccountToken".to_owned(), vec![&*token.path]))
    }
}

fn items(items: &Option<Vec<KeyToPath>>) -> Vec<&str> {
    list(items).iter().map(|item| &*item.path).collect()
}

fn files(files: &Option<Vec<DownwardAPIVolumeFile>>) -> Vec<&str> {
    list(files).iter().map(|file| &*file.path).collect()
}

fn overlaps(paths: Vec<&str>, subject: &str) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    let is_below = |path: &str, directory: &str| {
        path.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    for path in paths.into_iter().map(|path| path.trim_end_matches('/')).filter(|path| !path.is_empty()) {
        if let Some(other) = seen.iter().find(|other| is_below(path, other) || is_below(other, path)) {
            warnings.push(format!("{subject}: overlapping paths: {} with {}", go_quote(path), go_quote(other)));
        }
        seen.insert(path);
    }
    warnings
}
