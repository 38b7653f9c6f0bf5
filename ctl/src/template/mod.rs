//! Go's templates (`text/template`), which `-o go-template` shows objects by.
//!
//! `lex` makes words of a text, `parse` a tree of the words (`tree`), and `execute` goes through the tree with an object. What a
//! template may do is Go's, and what is said of mistakes is said in Go's words: scripts have been written against both. Values
//! (`value`) have the types that they have in kubectl, where a number of an object is an `int64` or a `float64`.
//!
//! There are no complex numbers and no functions in objects. Nesting is bounded, so that no template can use up the stack.

mod execute;
mod functions;
mod lex;
mod number;
mod parse;
mod printf;
mod tree;
mod value;

use std::collections::BTreeMap;

use serde_json::Value;

use tree::Statement;
pub(crate) use value::{in_go, is_printable};

/// What the template itself is called, as kubectl has it.
const NAME: &str = "output";

/// How deep expressions and blocks may be in one another.
const DEEPEST: usize = 100;

/// A template.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct GoTemplate {
    text: String,
    /// Those that it defines, and itself.
    defined: BTreeMap<String, Vec<Statement>>,
}

impl GoTemplate {
    /// Reads a template.
    pub(crate) fn parse(text: &str) -> Result<GoTemplate, String> {
        let defined = parse::parse(text)?;
        Ok(GoTemplate { text: text.to_owned(), defined })
    }

    /// Writes what it says of an object, up to where it fails. `strict` is whether fields that are not there are a failure.
    pub(crate) fn write(&self, object: &Value, strict: bool, to: &mut String) -> Result<(), String> {
        execute::execute(self, object, strict, to)
    }

    /// The same as kubectl shows it: what helps to find a failure comes after what was shown before it.
    pub(crate) fn show(&self, object: &Value, strict: bool, to: &mut String) -> Result<(), String> {
        let Err(why) = self.write(object, strict, to) else { return Ok(()) };
        let (text, raw) = (&self.text, crate::last_applied::with_escapes(&object.to_string()));
        to.push_str(&format!(
            "Error executing template: {why}. Printing more information for debugging the template:\n\ttemplate \
             was:\n\t\t{text}\n\traw data was:\n\t\t{raw}\n\tobject given to template engine was:\n\t\t{}\n\n",
            value::Val::of(object).text()
        ));
        Err(format!("error executing template {}: {why}", value::quoted(text)))
    }
}

#[cfg(test)]
mod tests;
