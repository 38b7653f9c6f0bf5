//! The kubeconfigs themselves: several files are one, of which the first that says something is right. A change is made in
//! the file that has the entry, and all else in it stays.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::Error;
use crate::output::Format;

/// A list of entries with names: its field, the field of what an entry is, and what one is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct List {
    pub(super) field: &'static str,
    pub(super) inner: &'static str,
}

pub(super) const CLUSTERS: List = List { field: "clusters", inner: "cluster" };
pub(super) const CONTEXTS: List = List { field: "contexts", inner: "context" };
pub(super) const USERS: List = List { field: "users", inner: "user" };

/// Files, in their order.
#[derive(Clone, Debug, Default)]
pub(super) struct Files {
    files: Vec<(PathBuf, Value)>,
}

impl Files {
    /// Reads them. One that is not there is empty.
    pub(super) fn read(paths: Vec<PathBuf>) -> Result<Files, Error> {
        let mut files = Vec::new();
        for path in paths {
            let problem = |error: &dyn std::fmt::Display| {
                Error::said(format!("error loading config file {:?}: {error}", path.display().to_string()))
            };
            let value = match std::fs::read_to_string(&path) {
                Ok(text) if text.trim().is_empty() => Value::Null,
                Ok(text) => serde_saphyr::from_str(&text).map_err(|error| problem(&error))?,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Value::Null,
                Err(error) => return Err(problem(&error)),
            };
            if !value.is_null() && !value.is_object() {
                return Err(problem(&"it is no kubeconfig"));
            }
            files.push((path, if value.is_null() { empty() } else { value }));
        }
        Ok(Files { files })
    }

    /// All of them as one.
    pub(super) fn merged(&self) -> Value {
        let mut merged = empty();
        for (_, file) in &self.files {
            for (field, value) in file.as_object().into_iter().flatten() {
                let is_list = [CLUSTERS, CONTEXTS, USERS].iter().any(|list| list.field == field);
                if is_list {
                    for entry in value.as_array().into_iter().flatten() {
                        let known = merged[field].as_array();
                        if !known.is_some_and(|known| known.iter().any(|other| other["name"] == entry["name"])) {
                            insert(&mut merged, field, entry.clone());
                        }
                    }
                } else if merged[field].is_null() || merged[field] == "" {
                    merged[field] = value.clone();
                }
            }
        }
        merged
    }

    /// Which context is used, if one is.
    pub(super) fn current(&self) -> Option<String> {
        let all = self.files.iter().filter_map(|(_, file)| file["current-context"].as_str());
        all.into_iter().find(|name| !name.is_empty()).map(str::to_owned)
    }

    /// An entry, of the first file that has it.
    pub(super) fn entry(&self, list: List, name: &str) -> Option<Value> {
        self.merged()[list.field].as_array()?.iter().find(|entry| entry["name"] == name).cloned()
    }

    /// The file that has an entry, or would get it.
    fn home(&self, list: List, name: &str) -> usize {
        let has = |file: &Value| {
            file[list.field].as_array().is_some_and(|entries| entries.iter().any(|entry| entry["name"] == name))
        };
        let index = self.files.iter().position(|(_, file)| has(file));
        index.or_else(|| self.files.iter().position(|(path, _)| path.exists())).unwrap_or(0)
    }

    /// The file in which changes are made of which no other has anything.
    pub(super) fn path(&self) -> String {
        let existing = self.files.iter().find(|(path, _)| path.exists()).or_else(|| self.files.first());
        existing.map(|(path, _)| path.display().to_string()).unwrap_or_default()
    }

    /// Puts an entry in the place of the one of its name.
    pub(super) fn put(&mut self, list: List, name: &str, inner: Value) -> Result<(), Error> {
        let index = self.home(list, name);
        let Some((path, file)) = self.files.get_mut(index) else { return Err(Error::said("there is no kubeconfig")) };
        let mut entry = json!({"name": name});
        entry[list.inner] = inner;
        remove(file, list.field, name);
        insert(file, list.field, entry);
        write(path, file)
    }

    /// Takes an entry out, and says of which file.
    pub(super) fn take(&mut self, list: List, name: &str) -> Result<Option<String>, Error> {
        let index = self.home(list, name);
        let Some((path, file)) = self.files.get_mut(index) else { return Ok(None) };
        if !remove(file, list.field, name) {
            return Ok(None);
        }
        write(path, file)?;
        Ok(Some(path.display().to_string()))
    }

    /// Uses a context from now on: said in the file that says it now.
    pub(super) fn set_current(&mut self, name: &str) -> Result<(), Error> {
        let says = |file: &Value| file["current-context"].as_str().is_some_and(|name| !name.is_empty());
        let index = self.files.iter().position(|(_, file)| says(file));
        let index = index.or_else(|| self.files.iter().position(|(path, _)| path.exists())).unwrap_or(0);
        let Some((path, file)) = self.files.get_mut(index) else { return Err(Error::said("there is no kubeconfig")) };
        file["current-context"] = json!(name);
        write(path, file)
    }
}

fn empty() -> Value {
    json!({
        "apiVersion": "v1",
        "clusters": null,
        "contexts": null,
        "current-context": "",
        "kind": "Config",
        "users": null,
    })
}

/// Entries are by name.
fn insert(file: &mut Value, field: &str, entry: Value) {
    let mut entries = file[field].as_array().cloned().unwrap_or_default();
    entries.push(entry);
    entries.sort_by_key(|entry| entry["name"].as_str().unwrap_or_default().to_owned());
    file[field] = Value::Array(entries);
}

fn remove(file: &mut Value, field: &str, name: &str) -> bool {
    let Some(entries) = file[field].as_array_mut() else { return false };
    let before = entries.len();
    entries.retain(|entry| entry["name"] != name);
    let is_removed = entries.len() < before;
    if entries.is_empty() {
        file[field] = Value::Null;
    }
    is_removed
}

/// Writes a file at once, which nobody but its owner can read: who is interrupted has the old one.
fn write(path: &Path, file: &Value) -> Result<(), Error> {
    use std::os::unix::fs::OpenOptionsExt;
    // What a link leads to is written, and the link stays.
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        std::fs::create_dir_all(directory)?;
    }
    let text = Format::Yaml.show(file, &|_| String::new())?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let new = path.with_file_name(name);
    let written =
        std::fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(&new).and_then(|mut open| {
            open.write_all(text.as_bytes())?;
            open.sync_all()?;
            std::fs::rename(&new, &path)
        });
    if written.is_err() {
        // It may not be there at all.
        let _ = std::fs::remove_file(&new);
    }
    Ok(written?)
}

/// What is secret is not shown.
pub(super) fn redact(config: &mut Value) {
    let hide = |fields: Option<&mut Map<String, Value>>, names: &[(&str, &str)]| {
        let Some(fields) = fields else { return };
        for (name, instead) in names {
            if fields.get(*name).is_some_and(|value| value.as_str().is_some_and(|text| !text.is_empty())) {
                fields.insert((*name).to_owned(), json!(instead));
            }
        }
    };
    const DATA: &str = "DATA+OMITTED";
    const SECRET: &str = "REDACTED";
    for cluster in config["clusters"].as_array_mut().into_iter().flatten() {
        hide(cluster["cluster"].as_object_mut(), &[("certificate-authority-data", DATA)]);
    }
    for user in config["users"].as_array_mut().into_iter().flatten() {
        let names =
            [("client-certificate-data", DATA), ("client-key-data", DATA), ("password", SECRET), ("token", SECRET)];
        hide(user["user"].as_object_mut(), &names);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_file_that_says_something_is_right() {
        let file = |text: &str| (PathBuf::from("/nope"), serde_saphyr::from_str::<Value>(text).unwrap());
        let files = Files {
            files: vec![
                file("{current-context: '', contexts: [{name: b, context: {user: first}}]}"),
                file("{current-context: a, contexts: [{name: b, context: {user: second}}, {name: a}], other: kept}"),
            ],
        };
        assert_eq!(files.current().as_deref(), Some("a"));
        assert_eq!(files.entry(CONTEXTS, "b").unwrap()["context"]["user"], "first");
        let merged = files.merged();
        let names: Vec<&Value> = merged["contexts"].as_array().unwrap().iter().map(|it| &it["name"]).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!((&merged["other"], &merged["users"]), (&json!("kept"), &Value::Null));
    }

    #[test]
    fn secrets_are_not_shown() {
        let mut config =
            json!({"users": [{"name": "u", "user": {"token": "t", "username": "a", "client-key-data": "x"}}]});
        redact(&mut config);
        let user = &config["users"][0]["user"];
        assert_eq!(*user, json!({"token": "REDACTED", "username": "a", "client-key-data": "DATA+OMITTED"}));
    }
}
