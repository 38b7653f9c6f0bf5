//! What a server says of its keys, among its metrics.

use std::collections::BTreeMap;
use std::fmt;

const LOADED: &str = "apiserver_encryption_config_controller_last_config_info";
const SHARED: &str = "gantry_encryption_shared_store";
const OBJECTS: &str = "gantry_encryption_objects";

/// So many objects of a resource are stored by a key.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Line {
    pub(super) resource: String,
    pub(super) provider: String,
    pub(super) key: String,
    pub(super) state: String,
    pub(super) objects: u64,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = if self.key.is_empty() { &self.provider } else { &self.key };
        write!(f, "{} {} by {by} ({})", self.objects, self.resource, self.state)
    }
}

/// What is said of keys.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Figures {
    /// The hash of the file that the server goes by, if it encrypts anything.
    pub(super) loaded: Option<String>,
    /// Whether other servers may have the same store.
    pub(super) shared: bool,
    pub(super) lines: Vec<Line>,
}

impl Figures {
    /// Reads them out of the text of all metrics.
    pub(super) fn read(text: &str) -> Figures {
        let mut figures = Figures::default();
        for line in text.lines() {
            let Some((series, value)) = line.rsplit_once(' ').filter(|_| !line.starts_with('#')) else { continue };
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let mut labels = labels_of(labels.trim_end_matches('}'));
            let mut label = |name: &str| labels.remove(name).unwrap_or_default();
            let value = value.parse::<f64>().unwrap_or(0.0);
            match name {
                LOADED => figures.loaded = Some(label("hash")),
                SHARED => figures.shared = value > 0.0,
                OBJECTS => figures.lines.push(Line {
                    resource: label("resource"),
                    provider: label("provider"),
                    key: label("key"),
                    state: label("state"),
                    // A count of objects has no fraction, and no sign.
                    objects: value as u64,
                }),
                _ => {}
            }
        }
        figures.lines.sort();
        figures
    }

    /// What would be stored otherwise if it were written now, and can be read.
    pub(super) fn left(&self) -> Vec<Line> {
        self.lines.iter().filter(|line| matches!(&*line.state, "stale" | "lost")).cloned().collect()
    }

    /// It for people.
    pub(super) fn table(&self) -> String {
        let header = ["RESOURCE", "PROVIDER", "KEY", "STATE", "OBJECTS"].map(str::to_owned);
        let row = |line: &Line| {
            let cell = |text: &String| if text.is_empty() { "<none>".to_owned() } else { text.clone() };
            let Line { resource, provider, key, state, objects } = line;
            [cell(resource), cell(provider), cell(key), cell(state), objects.to_string()]
        };
        let rows: Vec<_> = std::iter::once(header).chain(self.lines.iter().map(row)).collect();
        let mut widths = [0; 5];
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let line = |row: &[String; 5]| {
            let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
            format!("{}\n", cells.collect::<Vec<_>>().join("   ").trim_end())
        };
        rows.iter().map(line).collect()
    }
}

/// The labels of a series: `name="value",…`, in whose values quotes and backslashes have a backslash before them.
fn labels_of(text: &str) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    let mut rest = text;
    while let Some((name, behind)) = rest.split_once("=\"") {
        let mut value = String::new();
        let mut characters = behind.char_indices();
        let mut end = behind.len();
        while let Some((at, character)) = characters.next() {
            match character {
                '\\' => match characters.next() {
                    Some((_, 'n')) => value.push('\n'),
                    Some((_, escaped)) => value.push(escaped),
                    None => {}
                },
                '"' => {
                    end = at + 1;
                    break;
                }
                other => value.push(other),
            }
        }
        labels.insert(name.trim_start_matches(',').to_owned(), value);
        rest = &behind[end..];
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
# HELP gantry_encryption_objects Number of objects
# TYPE gantry_encryption_objects gauge
gantry_encryption_objects{resource="secrets",provider="aesgcm",key="b\"\\,{",state="stale"} 3
gantry_encryption_objects{resource="secrets",provider="aesgcm",key="a",state="current"} 12
gantry_encryption_objects{resource="secrets",provider="identity",key="",state="stale"} 1.0
gantry_encryption_objects{resource="secrets",provider="",key="",state="unreadable"} 2
gantry_encryption_shared_store 1
apiserver_encryption_config_controller_last_config_info{hash="sha256:ab"} 1
gantry_store_keys 7
"#;

    #[test]
    fn figures_are_found_among_others() {
        let figures = Figures::read(TEXT);
        assert_eq!((figures.loaded.as_deref(), figures.shared), (Some("sha256:ab"), true));
        let left: Vec<String> = figures.left().iter().map(Line::to_string).collect();
        assert_eq!(left, ["3 secrets by b\"\\,{ (stale)", "1 secrets by identity (stale)"]);
        let expected = "\
RESOURCE   PROVIDER   KEY      STATE        OBJECTS
secrets    <none>     <none>   unreadable   2
secrets    aesgcm     a        current      12
secrets    aesgcm     b\"\\,{    stale        3
secrets    identity   <none>   stale        1
";
        assert_eq!(figures.table(), expected);
        assert_eq!(Figures::read("x 1"), Figures::default());
    }
}
