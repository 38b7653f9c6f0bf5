//! Objects out of files: YAML and JSON, one or many in a file, of directories, standard input and URLs; and those that a
//! kustomization makes. What is wrong with them is shown in place, whether it is found here or by the server.

mod place;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use api::selector::label::Selector;
use clap::Args;
use http::{Request, StatusCode, header};
use http_body_util::BodyExt;
use kube::client::Body;
use kube::{Client, Config};
use serde_json::{Value, json};
use serde_saphyr::MessageFormatter;

use crate::resources::Resource;
use crate::{Error, Session};
pub(crate) use place::{Origin, Patch};

/// How often a URL may lead to another one.
const MOST_REDIRECTS: usize = 10;

/// Which files.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Files {
    /// A file, a directory of files that end in .yaml, .yml or .json, a URL, or - for standard input; can be given more than
    /// once.
    #[arg(short = 'f', long = "filename", value_name = "FILE", value_delimiter = ',')]
    pub(crate) filename: Vec<String>,
    /// With the directories in directories.
    #[arg(short = 'R', long)]
    pub(crate) recursive: bool,
    /// A directory with a kustomization, whose objects are meant; it goes with neither -f nor -R.
    #[arg(short = 'k', long = "kustomize", value_name = "DIR")]
    pub(crate) kustomize: Option<String>,
}

/// An object of a file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Document {
    pub(crate) object: Value,
    /// The file, as it was named.
    pub(crate) source: String,
    origin: Origin,
}

/// An object of a file, and where it belongs at the server.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Placed {
    pub(crate) object: Value,
    pub(crate) source: String,
    pub(crate) resource: Resource,
    pub(crate) namespace: String,
    origin: Origin,
}

impl Document {
    /// Where in the file is what the server says is wrong, if so many more lines stand above it there.
    pub(crate) fn places(&self, error: &Error, (lines, source): (usize, &str)) -> Vec<String> {
        let origin = self.origin.below(lines, source);
        places(error, |field| origin.show(field))
    }
}

/// Where what the server says is wrong is, as far as it says that: each place once.
pub(crate) fn places(error: &Error, show: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut shown = Vec::new();
    for place in error.fields().iter().filter_map(|field| show(field)) {
        if !shown.contains(&place) {
            shown.push(place);
        }
    }
    shown
}

impl Placed {
    /// Shows where in the file is what the server says is wrong.
    pub(crate) fn show(&self, session: &mut Session<'_>, error: &Error) -> Result<(), Error> {
        places(error, |field| self.origin.show(field)).iter().try_for_each(|place| session.remark(place))
    }

    /// The object's name; empty if the server is to choose one.
    pub(crate) fn name(&self) -> &str {
        self.object["metadata"]["name"].as_str().unwrap_or_default()
    }
}

impl Files {
    /// Whether any is named.
    pub(crate) fn is_empty(&self) -> bool {
        self.filename.is_empty() && self.kustomize.is_none()
    }

    /// All objects of all files, in their order. Nothing is done with any if one cannot be read.
    pub(crate) async fn read(&self, session: &mut Session<'_>) -> Result<Vec<Document>, Error> {
        if let Some(directory) = &self.kustomize {
            return self.kustomized(directory, session);
        }
        let mut documents = Vec::new();
        for name in &self.filename {
            if name == "-" {
                let mut text = String::new();
                session.input().read_to_string(&mut text)?;
                documents.extend(parse("STDIN", &text)?);
            } else if name.starts_with("http://") || name.starts_with("https://") {
                documents.extend(parse(name, &fetch(name).await?)?);
            } else {
                for path in self.files(Path::new(name))? {
                    let text = std::fs::read_to_string(&path).map_err(|error| cannot_be_read(&path, &error))?;
                    documents.extend(parse(&path.display().to_string(), &text)?);
                }
            }
        }
        if documents.is_empty() {
            return Err(Error::NoObjects);
        }
        Ok(documents)
    }

    /// The objects that a kustomization makes.
    fn kustomized(&self, directory: &str, session: &mut Session<'_>) -> Result<Vec<Document>, Error> {
        if !self.filename.is_empty() {
            return Err(Error::said("only one of -f or -k can be specified"));
        }
        if self.recursive {
            return Err(Error::said("the -k flag can't be used with -f or -R"));
        }
        let objects = crate::commands::kustomize::objects(directory, true, session)?;
        if objects.is_empty() {
            return Err(Error::said(format!("no objects passed: {directory} has none")));
        }
        // They stand in no text of their own, in which mistakes could be shown.
        let origin = Origin { source: directory.to_owned(), text: "".into(), items: Vec::new() };
        let document = |object| Document { object, source: directory.to_owned(), origin: origin.clone() };
        Ok(objects.into_iter().map(document).collect())
    }

    /// All objects, and where they belong.
    pub(crate) async fn place(&self, session: &mut Session<'_>) -> Result<Vec<Placed>, Error> {
        let documents = self.read(session).await?;
        let mut placed = Vec::new();
        for document in documents {
            placed.push(place(session, document).await?);
        }
        Ok(placed)
    }

    /// All objects with these labels, and where they belong.
    pub(crate) async fn place_selected(&self, session: &mut Session<'_>, labels: &str) -> Result<Vec<Placed>, Error> {
        let selector: Selector = Selector::parse(labels)
            .map_err(|error| Error::said(format!("the provided selector {labels:?} is not valid: {error}")))?;
        let mut placed = self.place(session).await?;
        placed.retain(|placed| {
            let labels = placed.object["metadata"]["labels"].as_object().into_iter().flatten();
            let texts = labels.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
            selector.matches(&texts.collect::<BTreeMap<String, String>>())
        });
        Ok(placed)
    }

    /// The files of a path, by name.
    fn files(&self, path: &Path) -> Result<Vec<PathBuf>, Error> {
        let problem = |error| cannot_be_read(path, &error);
        if !std::fs::metadata(path).map_err(problem)?.is_dir() {
            return Ok(vec![path.to_owned()]);
        }
        let entries = std::fs::read_dir(path).map_err(problem)?;
        let mut entries: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        entries.sort();
        let mut files = Vec::new();
        for entry in entries {
            if entry.is_dir() {
                if self.recursive {
                    files.extend(self.files(&entry)?);
                }
            } else if entry.extension().is_some_and(|it| it == "yaml" || it == "yml" || it == "json") {
                files.push(entry);
            }
        }
        Ok(files)
    }
}

fn cannot_be_read(path: &Path, error: &std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::NotFound => {
            Error::said(format!("the path {:?} does not exist", path.display().to_string()))
        }
        _ => Error::said(format!("{}: {error}", path.display())),
    }
}

/// Where an object belongs: its resource, and its namespace, which must not be another than the one that the options name.
pub(crate) async fn place(session: &mut Session<'_>, document: Document) -> Result<Placed, Error> {
    let Document { mut object, source, origin } = document;
    let field = |name: &str| object[name].as_str().unwrap_or_default().to_owned();
    let (api_version, kind) = (field("apiVersion"), field("kind"));
    let missing = match (api_version.is_empty(), kind.is_empty()) {
        (false, false) => None,
        (true, false) => Some("apiVersion not set"),
        (false, true) => Some("kind not set"),
        (true, true) => Some("[apiVersion not set, kind not set]"),
    };
    if let Some(missing) = missing {
        return Err(Error::said(format!(
            "error validating {source:?}: error validating data: {missing}; if you choose to ignore these errors, turn \
             validation off with --validate=false"
        )));
    }
    let unknown = |error: Error| Error::said(format!("unable to recognize {source:?}: {}", plain(&error)));
    let resource = session.catalog().await?.of_kind(&api_version, &kind).map_err(unknown)?.clone();
    if !resource.namespaced {
        return Ok(Placed { object, source, resource, namespace: String::new(), origin });
    }
    let current = session.namespace().await?;
    let own = object["metadata"]["namespace"].as_str().unwrap_or_default().to_owned();
    if own.is_empty() {
        if !object["metadata"].is_object() {
            object["metadata"] = json!({});
        }
        object["metadata"]["namespace"] = json!(current);
        return Ok(Placed { object, source, resource, namespace: current, origin });
    }
    if session.namespace_is_demanded() && own != current {
        return Err(Error::said(format!(
            "the namespace from the provided object {own:?} does not match the namespace {current:?}. You must pass \
             '--namespace={own}' to perform this operation."
        )));
    }
    Ok(Placed { object, source, resource, namespace: own, origin })
}

fn plain(error: &Error) -> String {
    error.to_string().trim_start_matches("error: ").to_owned()
}

/// The objects of a text: lists are taken apart, and documents without anything are none.
pub(crate) fn parse(source: &str, text: &str) -> Result<Vec<Document>, Error> {
    let mut values = Vec::new();
    let documents = documents(text);
    for (index, (line, document)) in documents.iter().enumerate() {
        // Mistakes are shown with the lines that they have in the file.
        let padded = format!("{}{document}", "\n".repeat(*line));
        let which = (documents.len() > 1).then_some(index + 1);
        values.extend(of_document(source, &padded, which)?);
    }
    let mut found = Vec::new();
    for (value, origin) in values {
        take_apart(value, origin, &mut found)?;
    }
    Ok(found)
}

/// The value of a text that has one, which may be of any kind.
pub(crate) fn value(source: &str, text: &str) -> Result<Value, Error> {
    let mut values = of_document(source, text, None)?;
    match values.len() {
        1 => Ok(values.remove(0).0),
        many => Err(Error::said(format!("error parsing {source}: it has {many} values, and is to have one"))),
    }
}

/// Where a text is no JSON, and why.
pub(crate) fn mistake_of_json(source: &str, text: &str) -> Option<String> {
    let wrong = serde_json::from_str::<Value>(text).err()?;
    let (line, column) = (wrong.line(), wrong.column());
    let words = wrong.to_string();
    let words = words.split(" at line ").next().unwrap_or_default();
    Some(format!("{source}:{line}:{column}: {words}\n{}", place::marked(text, line, column)?))
}

/// The values of a document, and where each stands: JSON has one or several, YAML has one. What begins with a brace may be
/// either.
fn of_document(source: &str, text: &str, which: Option<usize>) -> Result<Vec<(Value, Origin)>, Error> {
    let origin = |text: &str| Origin { source: source.to_owned(), text: text.into(), items: Vec::new() };
    let mut wrong = None;
    if text.trim_start().starts_with('{') {
        match of_json(text) {
            Ok(values) => return Ok(values.into_iter().map(|(value, own)| (value, origin(&own))).collect()),
            Err(error) => wrong = Some(error),
        }
    }
    serde_saphyr::from_str_with_options::<Value>(text, options()).map(|value| vec![(value, origin(text))]).map_err(
        |error| {
            // Where names are in quotes it was to be JSON.
            let is_json = text.trim_start().trim_start_matches('{').trim_start().starts_with('"');
            let Some(wrong) = wrong.filter(|_| is_json) else { return mistake(source, text, which, &error) };
            let place = place::marked(text, wrong.line(), wrong.column()).unwrap_or_default();
            Error::said(format!("error parsing {source}: {wrong}\n{place}").trim_end().to_owned())
        },
    )
}

/// The values of a text of JSON, each with its own part of the text, on the same lines as there.
fn of_json(text: &str) -> Result<Vec<(Value, String)>, serde_json::Error> {
    let mut values = Vec::new();
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    let mut end = 0;
    while let Some(value) = stream.next() {
        let value = value?;
        let lines = text.get(..end).unwrap_or_default().matches('\n').count();
        let own = text.get(end..stream.byte_offset()).unwrap_or_default();
        values.push((value, format!("{}{own}", "\n".repeat(lines))));
        end = stream.byte_offset();
    }
    Ok(values)
}

fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        legacy_octal_numbers: true,
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::LastWins,
    }
}

/// What is wrong with a YAML text, in place.
fn mistake(source: &str, text: &str, document: Option<usize>, error: &serde_saphyr::Error) -> Error {
    let plain = error.without_snippet();
    let words = serde_saphyr::UserMessageFormatter
        .format_message(plain)
        .escape_debug()
        .to_string()
        .replace("\\\"", "\"")
        .replace("\\'", "'");
    let which = document.map_or_else(String::new, |document| format!("document {document}, "));
    let place = error.location().and_then(|at| {
        let (line, column) = (usize::try_from(at.line()).ok()?, usize::try_from(at.column()).ok()?);
        let path = place::path_above(text, line);
        let inside = if path.is_empty() { String::new() } else { format!(", in {path}") };
        let marked = place::marked(text, line, column).map_or_else(String::new, |marked| format!("\n{marked}"));
        Some((format!("{which}line {line}, column {column}{inside}: "), marked))
    });
    let (place, marked) = place.unwrap_or_else(|| (which.replace(", ", ": "), String::new()));
    Error::said(format!("error parsing {source}: {place}{words}{marked}"))
}

fn take_apart(value: Value, origin: Origin, found: &mut Vec<Document>) -> Result<(), Error> {
    match value {
        Value::Null => {}
        Value::Object(mut fields) => {
            let is_list = fields.get("kind").and_then(Value::as_str).is_some_and(|kind| kind.ends_with("List"));
            match fields.get_mut("items").filter(|_| is_list).and_then(Value::as_array_mut) {
                Some(items) => {
                    for (index, item) in std::mem::take(items).into_iter().enumerate() {
                        let items = origin.items.iter().copied().chain([index]).collect();
                        take_apart(item, Origin { items, ..origin.clone() }, found)?;
                    }
                }
                None => found.push(Document { object: Value::Object(fields), source: origin.source.clone(), origin }),
            }
        }
        other => {
            let what = match other {
                Value::Array(_) => "a list",
                Value::String(_) => "a text",
                _ => "a number or a word",
            };
            let source = origin.source;
            return Err(Error::said(format!("error parsing {source}: an object has fields, and this is {what}")));
        }
    }
    Ok(())
}

/// The documents of a YAML text, each with the number of lines before it. Those without anything but comments are left out.
fn documents(text: &str) -> Vec<(usize, String)> {
    let mut found = vec![(0, String::new())];
    for (number, line) in text.lines().enumerate() {
        let ends = line.strip_prefix("---").filter(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '#']));
        match (ends, found.last_mut()) {
            (None, Some((_, document))) => {
                document.push_str(line);
                document.push('\n');
            }
            // What follows on the same line belongs to the next one.
            (rest, _) => found.push((number, format!("{}\n", rest.unwrap_or_default()))),
        }
    }
    let says_something = |line: &str| !matches!(line.trim_start().chars().next(), None | Some('#' | '%'));
    found.retain(|(_, document)| document.lines().any(says_something));
    found
}

/// What a URL has. Servers of all kinds are asked without credentials.
async fn fetch(url: &str) -> Result<String, Error> {
    let problem = |error: &dyn std::fmt::Display| Error::said(format!("unable to read URL {url:?}: {error}"));
    let mut uri: http::Uri = url.parse().map_err(|error| problem(&error))?;
    for _ in 0..MOST_REDIRECTS {
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let mut root = uri.clone().into_parts();
        root.path_and_query = Some(http::uri::PathAndQuery::from_static("/"));
        let root = http::Uri::from_parts(root).map_err(|error| problem(&error))?;
        let client = Client::try_from(Config::new(root)).map_err(|error| problem(&error))?;
        let request = Request::get(path).body(Body::empty()).map_err(|error| problem(&error))?;
        let response = client.send(request).await.map_err(|error| problem(&error))?;
        let status = response.status();
        if status.is_redirection() && status != StatusCode::NOT_MODIFIED {
            let location = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
            let location = location.ok_or_else(|| problem(&"it leads elsewhere and does not say where"))?;
            uri = join(&uri, location).ok_or_else(|| problem(&format!("it leads to {location:?}, which is no URL")))?;
            continue;
        }
        if !status.is_success() {
            return Err(problem(&format!("server reported {status}")));
        }
        let whole = response.into_body().collect().await.map_err(|error| problem(&error))?;
        return String::from_utf8(whole.to_bytes().to_vec()).map_err(|error| problem(&error));
    }
    Err(problem(&"it leads elsewhere again and again"))
}

/// Where a redirection leads.
fn join(from: &http::Uri, location: &str) -> Option<http::Uri> {
    if location.contains("://") {
        return location.parse().ok();
    }
    let mut parts = from.clone().into_parts();
    let path = if location.starts_with('/') {
        location.to_owned()
    } else {
        let directory = from.path().rsplit_once('/').map_or("", |(directory, _)| directory);
        format!("{directory}/{location}")
    };
    parts.path_and_query = Some(path.parse().ok()?);
    http::Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        let documents = parse("f.yaml", text).unwrap();
        documents.iter().map(|document| document.object["metadata"]["name"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn files_have_objects_in_many_ways() {
        let check = |text: &str, expected: &[&str]| assert_eq!(names(text), expected, "{text:?}");
        check("metadata: {name: a}", &["a"]);
        check("---\n# nothing\n---\nmetadata: {name: a}\n---\nmetadata:\n  name: b\n---\n", &["a", "b"]);
        check("{\"metadata\": {\"name\": \"a\"}}\n{\"metadata\": {\"name\": \"b\"}}", &["a", "b"]);
        check(
            "kind: List\nitems:\n- metadata: {name: a}\n- kind: PodList\n  items: [{metadata: {name: b}}]",
            &["a", "b"],
        );
        check("{metadata: {name: a}}", &["a"]);
        check(
            "{metadata: {name: a}}\n---\n{\"metadata\": {\"name\": \"b\"}}\n---\nmetadata: {name: c}",
            &["a", "b", "c"],
        );
        check("{metadata: {name: a},\n # why\n data: {}}", &["a"]);
        check("# only a comment\n", &[]);
        check("metadata: {name: a}\ndata: |\n  --- not the end\n  b\n", &["a"]);
        let value = &parse("f", "mode: 0644\non: yes\n").unwrap()[0].object;
        assert_eq!(value["mode"], 420);
    }

    #[test]
    fn mistakes_are_shown_where_they_are() {
        let error = |text: &str| parse("f.yaml", text).unwrap_err().to_string();
        let second = error("metadata: {name: a}\n---\nmetadata:\n  name: b\n labels: {}\n");
        assert!(second.starts_with("error: error parsing f.yaml: ") && second.contains("line 5"), "{second}");
        assert!(error("- a\n").ends_with("an object has fields, and this is a list"));
        assert!(error("{\"a\": [}").starts_with("error: error parsing f.yaml: expected value at line 1 column 8"));
    }

    #[test]
    fn redirections_are_followed() {
        let check = |location: &str, expected: &str| {
            let from: http::Uri = "https://example.com/a/b.yaml?x=y".parse().unwrap();
            assert_eq!(join(&from, location).unwrap().to_string(), expected);
        };
        check("https://other.example/c", "https://other.example/c");
        check("/c", "https://example.com/c");
        check("c.yaml", "https://example.com/a/c.yaml");
    }
}
