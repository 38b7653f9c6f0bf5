//! `-o`, `--template` and `--allow-missing-template-keys`: which format objects are shown in.

use clap::Args;

use super::{Format, columns, columns_of_file};
use crate::Error;
use crate::jsonpath::Template;
use crate::template::GoTemplate;

/// The options.
#[derive(Clone, Debug, Default, PartialEq, Args)]
pub(crate) struct Printing {
    /// How objects are shown: json, yaml, kyaml, name, jsonpath=TEMPLATE, jsonpath-as-json=TEMPLATE, jsonpath-file=FILE,
    /// go-template=TEMPLATE or go-template-file=FILE; where there are tables also wide, custom-columns=HEADER:PATH,... and
    /// custom-columns-file=FILE.
    #[arg(short, long, value_name = "FORMAT", default_value = "")]
    pub(crate) output: String,
    /// The template, or the file with it, if -o does not name it. Without -o it is one of Go.
    #[arg(long, value_name = "TEMPLATE", default_value = "", hide_default_value = true)]
    template: String,
    /// Whether fields that a template names and objects have not are nothing, and no mistake.
    #[arg(long, value_name = "BOOL", default_value_t = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    allow_missing_template_keys: bool,
}

/// The formats of objects, and those beside tables.
const OF_OBJECTS: &[&str] = &[
    "go-template",
    "go-template-file",
    "json",
    "jsonpath",
    "jsonpath-as-json",
    "jsonpath-file",
    "kyaml",
    "name",
    "template",
    "templatefile",
    "yaml",
];
const OF_TABLES: &[&str] = &["custom-columns", "custom-columns-file", "wide"];

impl Printing {
    /// As `-o` says by itself.
    #[cfg(test)]
    pub(crate) fn by(output: &str) -> Printing {
        Printing { output: output.to_owned(), template: String::new(), allow_missing_template_keys: true }
    }

    /// Whether nothing is said of it.
    pub(crate) fn is_empty(&self) -> bool {
        self.output.is_empty() && self.template.is_empty()
    }

    /// What `-o` says.
    pub(crate) fn as_str(&self) -> &str {
        &self.output
    }

    /// The format of what is changed, if objects are to be shown at all. It can be no table.
    pub(crate) fn of_objects(&self) -> Result<Option<Format>, Error> {
        if self.is_empty() { Ok(None) } else { self.read(false).map(Some).map_err(Error::said) }
    }

    /// The format of what is asked for; a table, if nothing is said.
    pub(crate) fn of_tables(&self) -> Result<Format, Error> {
        if self.is_empty() { Ok(Format::Table) } else { self.read(true).map_err(Error::said) }
    }

    fn read(&self, has_tables: bool) -> Result<Format, String> {
        let output = if self.output.is_empty() { "go-template" } else { &self.output };
        let (format, rest) = output.split_once('=').map_or((output, None), |(format, rest)| (format, Some(rest)));
        match format {
            "json" if rest.is_none() => return Ok(Format::Json),
            "kyaml" if rest.is_none() => return Ok(Format::Kyaml),
            "name" if rest.is_none() => return Ok(Format::Name),
            "wide" if rest.is_none() && has_tables => return Ok(Format::Wide),
            "yaml" if rest.is_none() => return Ok(Format::Yaml),
            "custom-columns" | "custom-columns-file" if has_tables => {}
            "go-template" | "go-template-file" | "template" | "templatefile" => {}
            "jsonpath" | "jsonpath-as-json" | "jsonpath-file" => {}
            _ => return Err(unknown(output, has_tables)),
        }
        let given = rest.unwrap_or(&self.template);
        if given.is_empty() {
            return Err(match format {
                "custom-columns" => "custom-columns format specified but no custom columns given".to_owned(),
                "custom-columns-file" => "custom-columns-file format specified but no custom columns given".to_owned(),
                _ => "template format specified but no template given".to_owned(),
            });
        }
        let what = if format == "custom-columns-file" { "template" } else { "--template" };
        let text = if format.ends_with("file") { read_file(given, what)? } else { given.to_owned() };
        let strict = !self.allow_missing_template_keys;
        match format {
            "custom-columns" => columns(&text),
            "custom-columns-file" => columns_of_file(&text),
            "jsonpath" | "jsonpath-as-json" | "jsonpath-file" => {
                let template =
                    Template::parse(&text).map_err(|error| format!("error parsing jsonpath {text}, {error}"))?;
                Ok(if format == "jsonpath-as-json" {
                    Format::JsonPathAsJson(template, strict)
                } else {
                    Format::JsonPath(template, strict)
                })
            }
            _ => {
                let template =
                    GoTemplate::parse(&text).map_err(|error| format!("error parsing template {text}, {error}"))?;
                Ok(Format::GoTemplate(Box::new(template), strict))
            }
        }
    }
}

fn unknown(output: &str, has_tables: bool) -> String {
    let mut all = OF_OBJECTS.to_vec();
    if has_tables {
        all.extend(OF_TABLES);
        all.sort_unstable();
    }
    format!(
        "unable to match a printer suitable for the output format {output:?}, allowed formats are: {}",
        all.join(",")
    )
}

fn read_file(path: &str, what: &str) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| {
        let why = match error.kind() {
            std::io::ErrorKind::NotFound => "no such file or directory".to_owned(),
            _ => error.to_string(),
        };
        format!("error reading {what} {path}, open {path}: {why}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_known_by_name() {
        let check = |output: &str, expected: &str| {
            let found = Printing::by(output).of_objects().map_or_else(|error| error.to_string(), |_| String::new());
            assert!(found.starts_with(expected) && found.is_empty() == expected.is_empty(), "{output}: {found}");
        };
        for known in
            ["", "json", "yaml", "kyaml", "name", "jsonpath={.a}", "jsonpath-as-json={.a}", "go-template={{.a}}"]
        {
            check(known, "");
        }
        let unknown = "error: unable to match a printer suitable for the output format";
        for other in ["yamll", "json=x", "wide", "custom-columns=A:.a"] {
            check(other, unknown);
        }
        for empty in ["jsonpath", "jsonpath=", "template", "go-template-file", "templatefile"] {
            check(empty, "error: template format specified but no template given");
        }
        check("jsonpath={.a", "error: error parsing jsonpath {.a, unclosed action");
        check("template={{.a", "error: error parsing template {{.a, template: output:1: unclosed action");
        check("go-template-file=/no", "error: error reading --template /no, open /no: no such file or directory");
        let error = Printing::by("x").of_tables().unwrap_err().to_string();
        let all = "custom-columns,custom-columns-file,go-template,go-template-file,json,jsonpath,jsonpath-as-json,\
                   jsonpath-file,kyaml,name,template,templatefile,wide,yaml";
        assert!(error.ends_with(all), "{error}");
    }

    #[test]
    fn a_template_may_stand_apart() {
        let with = |output: &str| Printing { template: "{.a}".to_owned(), ..Printing::by(output) };
        assert!(matches!(with("jsonpath").of_objects(), Ok(Some(Format::JsonPath(..)))));
        assert!(matches!(with("").of_objects(), Ok(Some(Format::GoTemplate(..)))));
        assert!(matches!(with("json").of_objects(), Ok(Some(Format::Json))));
        assert!(!with("").is_empty() && Printing::by("").is_empty());
    }
}
