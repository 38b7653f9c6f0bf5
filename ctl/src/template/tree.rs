//! What a template consists of. It can be written as Go writes it, which is how mistakes are told.

use std::fmt;

use super::number::Number;

/// A piece of a template.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Statement {
    Text(String),
    Action(Pipe),
    If(Pipe, Vec<Statement>, Vec<Statement>),
    Range(Pipe, Vec<Statement>, Vec<Statement>),
    With(Pipe, Vec<Statement>, Vec<Statement>),
    Template(Call),
    Break,
    Continue,
}

/// `{{template "name" pipe}}`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Call {
    /// Where it stands, as line and byte of the line.
    pub(super) place: Place,
    pub(super) name: String,
    pub(super) pipe: Option<Pipe>,
}

/// Where something stands: its line, and the byte in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) line: usize,
    pub(super) byte: usize,
}

/// Commands, each of which gets what the one before it gave.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pipe {
    pub(super) place: Place,
    /// The variables that are set, and whether they were there before.
    pub(super) variables: Vec<String>,
    pub(super) assigns: bool,
    pub(super) commands: Vec<Command>,
}

/// A function or a value, with arguments.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Command {
    pub(super) place: Place,
    pub(super) words: Vec<Word>,
}

/// An operand, and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Word {
    pub(super) place: Place,
    pub(super) term: Term,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Term {
    Bool(bool),
    Number(Number),
    /// With how it is written.
    Text(String, String),
    Nil,
    Dot,
    Function(String),
    Field(Vec<String>),
    /// A variable, with fields.
    Variable(String, Vec<String>),
    Pipe(Box<Pipe>),
    /// Fields of something else.
    Chain(Box<Word>, Vec<String>),
}

impl fmt::Display for Term {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields =
            |fields: &[String], to: &mut fmt::Formatter<'_>| fields.iter().try_for_each(|it| write!(to, ".{it}"));
        match self {
            Term::Bool(value) => write!(to, "{value}"),
            Term::Number(number) => to.write_str(&number.written),
            Term::Text(_, written) => to.write_str(written),
            Term::Nil => to.write_str("nil"),
            Term::Dot => to.write_str("."),
            Term::Function(name) => to.write_str(name),
            Term::Field(names) => fields(names, to),
            Term::Variable(name, names) => {
                to.write_str(name)?;
                fields(names, to)
            }
            Term::Pipe(pipe) => write!(to, "{pipe}"),
            Term::Chain(word, names) => {
                match word.term {
                    Term::Pipe(_) => write!(to, "({})", word.term)?,
                    _ => write!(to, "{}", word.term)?,
                }
                fields(names, to)
            }
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, word) in self.words.iter().enumerate() {
            let space = if index > 0 { " " } else { "" };
            match word.term {
                Term::Pipe(_) => write!(to, "{space}({})", word.term)?,
                _ => write!(to, "{space}{}", word.term)?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Pipe {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.variables.is_empty() {
            let sign = if self.assigns { "=" } else { ":=" };
            write!(to, "{} {sign} ", self.variables.join(", "))?;
        }
        for (index, command) in self.commands.iter().enumerate() {
            let bar = if index > 0 { " | " } else { "" };
            write!(to, "{bar}{command}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Call {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{{{{template {}", super::value::quoted(&self.name))?;
        if let Some(pipe) = &self.pipe {
            write!(to, " {pipe}")?;
        }
        to.write_str("}}")
    }
}
