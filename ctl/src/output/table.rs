//! Tables that the server makes (`meta.k8s.io/v1` Table), as kubectl shows them.

use std::cmp::Ordering;

use serde_json::Value;

use super::columns::Columns;

/// What a client accepts that wants tables, and takes objects from servers that make none.
pub(crate) const ACCEPT: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

/// How tables are shown.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shape {
    /// All columns, also those that are less important.
    pub(crate) wide: bool,
    pub(crate) with_namespace: bool,
    /// Put before each name, with a slash.
    pub(crate) kind: Option<String>,
    pub(crate) without_header: bool,
    pub(crate) with_labels: bool,
    /// Labels that have a column each.
    pub(crate) label_columns: Vec<String>,
}

/// Shows one table after the other, in the same columns.
#[derive(Debug, Default)]
pub(crate) struct Printer {
    shape: Shape,
    columns: Columns,
    has_header: bool,
    /// As the server defined them; later pieces of a watch leave that out.
    definitions: Vec<Value>,
}

impl Printer {
    pub(crate) fn new(shape: Shape) -> Printer {
        Printer { has_header: shape.without_header, shape, ..Printer::default() }
    }

    /// Lines of cells that no server made.
    pub(crate) fn plain(lines: &[Vec<String>]) -> String {
        Columns::default().lines(lines)
    }

    /// The lines of a table, with a header if it is the first.
    pub(crate) fn show(&mut self, table: &Value) -> String {
        self.show_all(&[table])
    }

    /// The lines of tables that belong together.
    pub(crate) fn show_all(&mut self, tables: &[&Value]) -> String {
        let mut lines = Vec::new();
        for table in tables {
            self.lines(table, &mut lines);
        }
        self.columns.lines(&lines)
    }

    fn lines(&mut self, table: &Value, lines: &mut Vec<Vec<String>>) {
        if let Some(definitions) = table["columnDefinitions"].as_array().filter(|all| !all.is_empty()) {
            self.definitions.clone_from(definitions);
        }
        let rows: Vec<&Value> = table["rows"].as_array().into_iter().flatten().collect();
        if !self.has_header && !rows.is_empty() {
            lines.push(self.header());
            self.has_header = true;
        }
        lines.extend(rows.into_iter().map(|row| self.line(row)));
    }

    fn is_shown(&self, definition: &Value) -> bool {
        self.shape.wide || definition["priority"].as_i64().unwrap_or(0) == 0
    }

    fn header(&self) -> Vec<String> {
        let shown = self.definitions.iter().filter(|definition| self.is_shown(definition));
        let names = shown.map(|definition| definition["name"].as_str().unwrap_or_default().to_uppercase());
        let namespace = self.shape.with_namespace.then(|| "NAMESPACE".to_owned());
        let label = |label: &String| label.rsplit('/').next().unwrap_or_default().to_uppercase();
        let labels = self.shape.label_columns.iter().map(label);
        let all = self.shape.with_labels.then(|| "LABELS".to_owned());
        namespace.into_iter().chain(names).chain(labels).chain(all).collect()
    }

    fn line(&self, row: &Value) -> Vec<String> {
        let meta = &row["object"]["metadata"];
        let mut line = Vec::new();
        if self.shape.with_namespace {
            line.push(meta["namespace"].as_str().unwrap_or_default().to_owned());
        }
        let cells = row["cells"].as_array().into_iter().flatten();
        for (index, (cell, definition)) in cells.zip(&self.definitions).enumerate() {
            if !self.is_shown(definition) {
                continue;
            }
            let text = cell_text(cell);
            match &self.shape.kind {
                Some(kind) if index == 0 => line.push(format!("{kind}/{text}")),
                _ => line.push(text),
            }
        }
        let labels = meta["labels"].as_object();
        for label in &self.shape.label_columns {
            let value = labels.and_then(|labels| labels.get(label)).and_then(Value::as_str);
            line.push(value.unwrap_or_default().to_owned());
        }
        if self.shape.with_labels {
            let pairs = labels.into_iter().flatten().map(|(key, value)| format!("{key}={}", cell_text(value)));
            let pairs: Vec<String> = pairs.collect();
            line.push(if pairs.is_empty() { "<none>".to_owned() } else { pairs.join(",") });
        }
        line
    }
}

/// A cell, on one line.
fn cell_text(cell: &Value) -> String {
    let text = match cell {
        Value::Null => "<none>".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match text.split_once(['\n', '\r']) {
        Some((first, _)) => format!("{first}..."),
        None => text,
    }
}

/// Values in the order of `--sort-by`: numbers by size, all else by what it says; what has none comes first.
pub(crate) fn compare(left: Option<&Value>, right: Option<&Value>) -> Ordering {
    match (left, right) {
        (None, None) => Ordering::Equal,
        (None, _) => Ordering::Less,
        (_, None) => Ordering::Greater,
        (Some(Value::Number(left)), Some(Value::Number(right))) => {
            left.as_f64().partial_cmp(&right.as_f64()).unwrap_or(Ordering::Equal)
        }
        (Some(left), Some(right)) => cell_text(left).cmp(&cell_text(right)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn table() -> Value {
        json!({
            "columnDefinitions": [{"name": "Name"}, {"name": "Status"}, {"name": "Node", "priority": 1}],
            "rows": [
                {"cells": ["a", "Running", "n1"],
                 "object": {"metadata": {"namespace": "x", "labels": {"app": "web", "b/tier": "1"}}}},
                {"cells": ["b", null, "n2"], "object": {"metadata": {"namespace": "y"}}},
            ],
        })
    }

    #[test]
    fn tables_are_shown_as_kubectl_does_it() {
        let check = |shape: Shape, expected: &str| assert_eq!(Printer::new(shape).show(&table()), expected);
        check(Shape::default(), "NAME   STATUS\na      Running\nb      <none>\n");
        check(
            Shape { wide: true, with_namespace: true, ..Shape::default() },
            "NAMESPACE   NAME   STATUS    NODE\nx           a      Running   n1\ny           b      <none>    n2\n",
        );
        let kind = Some("pod".to_owned());
        check(Shape { kind, without_header: true, ..Shape::default() }, "pod/a   Running\npod/b   <none>\n");
        let label_columns = vec!["b/tier".to_owned()];
        check(
            Shape { with_labels: true, label_columns, ..Shape::default() },
            "NAME   STATUS    TIER   LABELS\na      Running   1      app=web,b/tier=1\nb      <none>           <none>\n",
        );
    }

    #[test]
    fn later_tables_have_no_header_and_the_same_columns() {
        let mut printer = Printer::new(Shape::default());
        printer.show(&table());
        let more = json!({"columnDefinitions": null, "rows": [{"cells": ["c", "Failed\nbadly", "n"]}]});
        assert_eq!(printer.show(&more), "c      Failed...\n");
        assert_eq!(Printer::new(Shape::default()).show(&json!({"rows": []})), "");
    }
}
