//! `gantry get`.

use clap::Args;
use futures::TryStreamExt;
use http::Method;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::io::AsyncBufReadExt;

use crate::jsonpath::Path;
use crate::manifest::Files;
use crate::output::table::{self, Printer, Shape, compare};
use crate::output::{Format, Printing, items};
use crate::resources::Resource;
use crate::select::{Selected, of_list, select};
use crate::session::Ask;
use crate::{Error, Session, commands};

/// How many objects are asked for at a time, unless it is said.
const CHUNK: u32 = 500;

/// The arguments.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// What: TYPE, TYPE NAME... or TYPE/NAME...
    #[arg(value_name = "WHAT")]
    what: Vec<String>,
    #[command(flatten)]
    files: Files,
    /// In all namespaces.
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    #[command(flatten)]
    output: Printing,
    /// Only objects with these labels.
    #[arg(short = 'l', long, value_name = "SELECTOR", default_value = "")]
    selector: String,
    /// Only objects with these fields.
    #[arg(long, value_name = "SELECTOR", default_value = "")]
    field_selector: String,
    /// In the order of what this path leads to.
    #[arg(long, value_name = "PATH")]
    sort_by: Option<String>,
    /// Go on and show what changes.
    #[arg(short, long)]
    watch: bool,
    /// Show what changes from now on, and not what there is.
    #[arg(long)]
    watch_only: bool,
    /// Without the header.
    #[arg(long)]
    no_headers: bool,
    /// With all labels in the last column.
    #[arg(long)]
    show_labels: bool,
    /// With a column for each of these labels.
    #[arg(short = 'L', long, value_name = "LABELS", value_delimiter = ',')]
    label_columns: Vec<String>,
    /// With the kind before each name.
    #[arg(long)]
    show_kind: bool,
    /// With -o yaml or json: show who owns which field.
    #[arg(long)]
    show_managed_fields: bool,
    /// Say nothing if an object is not there.
    #[arg(long)]
    ignore_not_found: bool,
    /// Of which subresource: status or scale.
    #[arg(long, value_name = "NAME")]
    subresource: Option<String>,
    /// How many objects are asked for at a time; 0 asks for all at once.
    #[arg(long, value_name = "NUMBER", default_value_t = CHUNK)]
    chunk_size: u32,
    /// Show what a path of the server has, as it is.
    #[arg(long, value_name = "PATH")]
    raw: Option<String>,
}

/// Shows objects.
pub(crate) async fn run(arguments: Arguments, session: &mut Session<'_>) -> Result<(), Error> {
    if let Some(path) = &arguments.raw {
        if !arguments.what.is_empty() {
            return Err(Error::said("arguments may not be passed when --raw is specified"));
        }
        let is_filtered = arguments.watch
            || arguments.watch_only
            || !arguments.selector.is_empty()
            || !arguments.field_selector.is_empty()
            || arguments.show_labels;
        let output = (arguments.output.as_str(), is_filtered);
        return commands::raw::run(session, (Method::GET, path), None, output).await;
    }
    let format = arguments.output.of_tables()?;
    if arguments.what.is_empty() && arguments.files.is_empty() {
        session.remark(
            "You must specify the type of resource to get. Use \"gantry api-resources\" for a complete list of supported \
             resources.\n",
        )?;
        return Err(Error::said(
            "Required resource not specified.\nUse \"gantry explain <resource>\" for a detailed description of that resource \
             (e.g. gantry explain pods).\nSee 'gantry get -h' for help and examples",
        ));
    }
    let selected = match arguments.files.is_empty() {
        true => select(session, &arguments.what).await?,
        false => of_files(&arguments, session).await?,
    };
    let has_names = selected.iter().any(|selected| !selected.names.is_empty());
    if has_names && !(arguments.selector.is_empty() && arguments.field_selector.is_empty()) {
        return Err(Error::said("name cannot be provided when a selector is specified"));
    }
    if has_names && arguments.all_namespaces {
        return Err(Error::said("a resource cannot be retrieved by name across all namespaces"));
    }
    let order = arguments.sort_by.as_deref().map(Path::parse).transpose().map_err(Error::said)?;
    if order.is_some() && (arguments.watch || arguments.watch_only) {
        session.remark("warning: --watch requested, --sort-by will be ignored for watch events received")?;
    }
    let mut get = Get { arguments, order, format, session };
    if get.arguments.watch || get.arguments.watch_only {
        return get.watch(&selected).await;
    }
    if get.format.is_table() { get.tables(&selected).await } else { get.objects(&selected).await }
}

struct Get<'a, 'b> {
    arguments: Arguments,
    order: Option<Path>,
    format: Format,
    session: &'a mut Session<'b>,
}

impl Get<'_, '_> {
    /// The path of what is selected: of one object, if it has a name.
    async fn path(&mut self, resource: &Resource, own: Option<&str>, name: Option<&str>) -> Result<String, Error> {
        let namespace = match own {
            Some(own) => own.to_owned(),
            None => self.session.namespace().await?,
        };
        let namespace = (!self.arguments.all_namespaces).then_some(namespace.as_str());
        let subresource = self.arguments.subresource.as_ref().map(|name| format!("/{name}")).unwrap_or_default();
        Ok(match name {
            Some(name) => format!("{}{subresource}", resource.object_path(namespace.unwrap_or_default(), name)),
            None => resource.path(namespace),
        })
    }

    fn ask<'p>(&self, path: &'p str, accept: &'p str) -> Ask<'p> {
        Ask { accept, ..Ask::get(path) }
            .query("labelSelector", self.arguments.selector.as_str())
            .query("fieldSelector", self.arguments.field_selector.as_str())
            // A row has only the metadata of its object, unless it is said.
            .query("includeObject", if self.order.is_some() && self.format.is_table() { "Object" } else { "" })
    }

    /// All there is of a resource or a name, page after page, as lists or single objects.
    async fn pages(&mut self, selected: &Selected, accept: &str) -> Result<Vec<Value>, Error> {
        let mut pages = Vec::new();
        if selected.names.is_empty() {
            let path = self.path(&selected.resource, None, None).await?;
            let mut next = String::new();
            loop {
                let limit = (self.arguments.chunk_size > 0).then(|| self.arguments.chunk_size.to_string());
                let ask = self.ask(&path, accept).query("limit", limit.unwrap_or_default());
                let page = self.session.json(ask.query("continue", next)).await.map_err(|error| {
                    of_list(error, &selected.resource, &self.arguments.selector, &self.arguments.field_selector)
                })?;
                next = page["metadata"]["continue"].as_str().unwrap_or_default().to_owned();
                pages.push(page);
                if next.is_empty() {
                    return Ok(pages);
                }
            }
        }
        for name in &selected.names {
            let path = self.path(&selected.resource, selected.namespace.as_deref(), Some(name)).await?;
            match self.session.json(self.ask(&path, accept)).await {
                Ok(object) => pages.push(object),
                Err(error) if error.reason() == Some("NotFound") => {
                    if !self.arguments.ignore_not_found {
                        self.session.remark(&error.to_string())?;
                        pages.push(Value::Null);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(pages)
    }

    fn printer(&self, resource: &Resource, of_many: bool) -> Printer {
        let object = resource.object("");
        let kind = object.trim_end_matches('/').to_owned();
        Printer::new(Shape {
            wide: self.format == Format::Wide,
            with_namespace: self.arguments.all_namespaces && resource.namespaced,
            kind: (of_many || self.arguments.show_kind).then_some(kind),
            without_header: self.arguments.no_headers,
            with_labels: self.arguments.show_labels,
            label_columns: self.arguments.label_columns.clone(),
        })
    }

    async fn tables(&mut self, selected: &[Selected]) -> Result<(), Error> {
        let of_many = selected.iter().any(|other| other.resource != selected[0].resource);
        let (mut is_first, mut is_missing) = (true, false);
        // What follows of the same resource goes on in the same table.
        for group in selected.chunk_by(|left, right| left.resource == right.resource) {
            let mut pages = Vec::new();
            for selected in group {
                pages.extend(self.pages(selected, table::ACCEPT).await?);
            }
            is_missing |= pages.iter().any(Value::is_null);
            if let Some(path) = &self.order {
                sort_rows(&mut pages, path);
            }
            let text = self.printer(&group[0].resource, of_many).show_all(&pages.iter().collect::<Vec<_>>());
            if text.is_empty() {
                continue;
            }
            if !is_first {
                self.session.say("")?;
            }
            is_first = false;
            self.session.write(&text)?;
        }
        if is_missing {
            return Err(Error::Exit(1));
        }
        if is_first && !self.arguments.ignore_not_found {
            let is_namespaced = selected.iter().any(|selected| selected.resource.namespaced);
            let namespace = self.session.namespace().await?;
            let line = if self.arguments.all_namespaces || !is_namespaced {
                "No resources found".to_owned()
            } else {
                format!("No resources found in {namespace} namespace.")
            };
            self.session.remark(&line)?;
        }
        Ok(())
    }

    /// Objects as they are: one by itself, and several as a list.
    async fn objects(&mut self, selected: &[Selected]) -> Result<(), Error> {
        let mut objects: Vec<(Value, Resource)> = Vec::new();
        let mut is_missing = false;
        for selected in selected {
            for page in self.pages(selected, "application/json").await? {
                if page.is_null() {
                    is_missing = true;
                    continue;
                }
                let of_list = |item: &Value| {
                    let mut item = item.clone();
                    if matches!(self.format, Format::Json | Format::Yaml) && !self.arguments.show_managed_fields {
                        item["metadata"].as_object_mut().map(|metadata| metadata.remove("managedFields"));
                    }
                    // The items of a list do not say themselves what they are.
                    if let Some(item) = item.as_object_mut() {
                        item.entry("apiVersion").or_insert_with(|| json!(selected.resource.api_version()));
                        item.entry("kind").or_insert_with(|| json!(selected.resource.kind));
                    }
                    (item, selected.resource.clone())
                };
                objects.extend(items(&page).into_iter().map(of_list));
            }
        }
        if let Some(path) = &self.order {
            objects.sort_by(|(left, _), (right, _)| {
                compare(path.find(left).first().copied(), path.find(right).first().copied())
            });
        }
        let is_one = matches!(selected, [one] if one.names.len() == 1);
        let name = |object: &Value| {
            let resource = objects.iter().find(|(other, _)| other == object).map(|(_, resource)| resource);
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            resource.map_or_else(String::new, |resource| resource.object(name))
        };
        match &objects[..] {
            [(object, _)] if is_one => self.write(object, &name)?,
            [] if is_one => {}
            _ => {
                let all: Vec<&Value> = objects.iter().map(|(object, _)| object).collect();
                let list =
                    json!({"apiVersion": "v1", "items": all, "kind": "List", "metadata": {"resourceVersion": ""}});
                match self.write(&list, &name) {
                    // As kubectl has it: of a list it is told without saying that it is an error.
                    Err(Error::Said(why)) => {
                        self.session.remark(&why)?;
                        return Err(Error::Exit(1));
                    }
                    result => result?,
                }
            }
        }
        if is_missing { Err(Error::Exit(1)) } else { Ok(()) }
    }

    fn write(&mut self, object: &Value, name: &dyn Fn(&Value) -> String) -> Result<(), Error> {
        self.format.write_with_header(self.session, object, name, !self.arguments.no_headers)
    }

    /// Shows what there is, and then every change of it, until the server ends it.
    async fn watch(&mut self, selected: &[Selected]) -> Result<(), Error> {
        let [one] = selected else {
            return Err(Error::said("you may only specify a single resource type"));
        };
        if one.names.len() > 1 {
            return Err(Error::said("you may only watch one object, or all of a type"));
        }
        let resource = &one.resource;
        let accept = if self.format.is_table() { table::ACCEPT } else { "application/json" };
        let mut printer = self.printer(resource, false);
        let path = self.path(resource, one.namespace.as_deref(), None).await?;
        let by_name = one.names.first().map(|name| format!("metadata.name={name}"));
        let fields = by_name.unwrap_or_else(|| self.arguments.field_selector.clone());
        let ask = |get: &Get<'_, '_>| {
            let mut ask = get.ask(&path, accept);
            ask.query.retain(|(name, _)| *name != "fieldSelector");
            Ask { ..ask }.query("fieldSelector", fields.clone())
        };
        let list = self.session.json(ask(self)).await?;
        let version = list["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
        if !self.arguments.watch_only {
            self.show(&list, resource, &mut printer)?;
        }
        let body = self.session.open(ask(self).query("watch", "true").query("resourceVersion", version)).await?;
        let frames = body.into_data_stream().map_err(std::io::Error::other);
        let mut lines = tokio_util::io::StreamReader::new(frames).lines();
        while let Some(line) = lines.next_line().await? {
            let Ok(event) = serde_json::from_str::<Value>(&line) else { continue };
            match event["type"].as_str() {
                Some("ERROR") => return Err(Error::Server(Box::new(event["object"].clone()))),
                Some("BOOKMARK") | None => {}
                Some(_) => self.show(&event["object"], resource, &mut printer)?,
            }
        }
        Ok(())
    }

    fn show(&mut self, object: &Value, resource: &Resource, printer: &mut Printer) -> Result<(), Error> {
        let name = |object: &Value| resource.object(object["metadata"]["name"].as_str().unwrap_or_default());
        if self.format.is_table() {
            self.session.write(&printer.show(object))?;
        } else {
            self.format.write(self.session, object, &name)?;
        }
        self.session.flush()
    }
}

/// The objects of files, each in the namespace that it names.
async fn of_files(arguments: &Arguments, session: &mut Session<'_>) -> Result<Vec<Selected>, Error> {
    if !arguments.what.is_empty() {
        return Err(Error::said(
            "when paths, URLs, or stdin is provided as resource input, you may not specify resource arguments as well",
        ));
    }
    let placed = arguments.files.place(session).await.map_err(|error| {
        // Of a table that cannot be shown kubectl does not say that it is an error.
        let is_table = arguments.files.kustomize.is_some() && arguments.output.is_empty();
        if is_table { error.unadorned() } else { error }
    })?;
    let selected = placed.into_iter().map(|placed| {
        let names = vec![placed.name().to_owned()];
        let namespace = placed.resource.namespaced.then_some(placed.namespace);
        Selected { resource: placed.resource, names, namespace }
    });
    Ok(selected.collect())
}

/// Puts the rows of all tables into one, in the order of what the path leads to.
fn sort_rows(pages: &mut [Value], path: &Path) {
    let rows = pages.iter_mut().filter_map(|page| page.get_mut("rows")?.as_array_mut());
    let mut rows: Vec<Value> = rows.flat_map(std::mem::take).collect();
    let key = |row: &Value| path.find(&row["object"]).first().map(|value| (*value).clone());
    rows.sort_by(|left, right| compare(key(left).as_ref(), key(right).as_ref()));
    if let Some(first) = pages.iter_mut().find(|page| page.get("rows").is_some()) {
        first["rows"] = Value::Array(rows);
    }
}
