//! What a template does with an object.

use std::collections::BTreeMap;

use serde_json::Value;

use super::functions::{self, Wants};
use super::number::Constant;
use super::tree::{Call, Command, Pipe, Place, Statement, Term, Word};
use super::value::{Val, quoted, sorted};
use super::{GoTemplate, NAME};

/// How deep templates may use one another, themselves included.
const DEEPEST: usize = 200;

/// Executes a template.
pub(super) fn execute(template: &GoTemplate, object: &Value, strict: bool, to: &mut String) -> Result<(), String> {
    let object = Val::of(object);
    let variables = vec![("$".to_owned(), object.clone())];
    let mut execution = Execution { defined: &template.defined, name: NAME, variables, at: None, strict, depth: 0, to };
    let Some(statements) = template.defined.get(NAME) else { return Ok(()) };
    execution.statements(statements, &Typed::of(object)).map(|_| ())
}

/// A value, and whether it is known by what it is only, or by where it was found: then its type is `interface {}`.
#[derive(Clone, Debug, PartialEq)]
struct Typed<'a> {
    value: Val<'a>,
    is_part: bool,
}

impl<'a> Typed<'a> {
    const fn of(value: Val<'a>) -> Typed<'a> {
        Typed { value, is_part: false }
    }

    const fn part(value: Val<'a>) -> Typed<'a> {
        Typed { value, is_part: true }
    }

    const fn kind(&self) -> &'static str {
        if self.is_part { "interface {}" } else { self.value.kind() }
    }
}

/// What goes on after a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    On,
    Break,
    Continue,
}

/// What was looked at last, for what is said of mistakes.
#[derive(Clone, Copy)]
enum Node<'t> {
    Word(&'t Word),
    Command(&'t Command),
    Pipe(&'t Pipe),
    Call(&'t Call),
}

impl Node<'_> {
    const fn place(self) -> Place {
        match self {
            Node::Word(word) => word.place,
            Node::Command(command) => command.place,
            Node::Pipe(pipe) => pipe.place,
            Node::Call(call) => call.place,
        }
    }

    fn text(self) -> String {
        match self {
            Node::Word(word) => word.term.to_string(),
            Node::Command(command) => command.to_string(),
            Node::Pipe(pipe) => pipe.to_string(),
            Node::Call(call) => call.to_string(),
        }
    }
}

struct Execution<'t, 'o, 'w> {
    defined: &'t BTreeMap<String, Vec<Statement>>,
    /// The template at work.
    name: &'t str,
    variables: Vec<(String, Val<'o>)>,
    at: Option<Node<'t>>,
    strict: bool,
    depth: usize,
    to: &'w mut String,
}

impl<'t, 'o> Execution<'t, 'o, '_> {
    fn wrong<T>(&self, why: &str) -> Result<T, String> {
        let Some(node) = self.at else { return Err(format!("template: {}: {why}", self.name)) };
        let (Place { line, byte }, text) = (node.place(), node.text());
        Err(format!("template: {NAME}:{line}:{byte}: executing {} at <{text}>: {why}", quoted(self.name)))
    }

    fn statements(&mut self, statements: &'t [Statement], dot: &Typed<'o>) -> Result<Flow, String> {
        for statement in statements {
            let flow = self.statement(statement, dot)?;
            if flow != Flow::On {
                return Ok(flow);
            }
        }
        Ok(Flow::On)
    }

    fn statement(&mut self, statement: &'t Statement, dot: &Typed<'o>) -> Result<Flow, String> {
        match statement {
            Statement::Text(text) => self.to.push_str(text),
            Statement::Action(pipe) => {
                let value = self.pipe(pipe, dot)?.value;
                if pipe.variables.is_empty() {
                    self.to.push_str(&functions::printed(&value));
                }
            }
            Statement::Break => return Ok(Flow::Break),
            Statement::Continue => return Ok(Flow::Continue),
            Statement::Template(call) => self.call(call, dot)?,
            Statement::Range(pipe, inside, otherwise) => {
                let known = self.variables.len();
                let flow = self.range(pipe, inside, otherwise, dot);
                self.variables.truncate(known);
                return flow;
            }
            Statement::If(pipe, inside, otherwise) | Statement::With(pipe, inside, otherwise) => {
                let known = self.variables.len();
                let value = self.pipe(pipe, dot)?;
                let flow = if !value.value.is_true() {
                    self.statements(otherwise, dot)
                } else if matches!(statement, Statement::With(..)) {
                    self.statements(inside, &value)
                } else {
                    self.statements(inside, dot)
                };
                self.variables.truncate(known);
                return flow;
            }
        }
        Ok(Flow::On)
    }

    fn call(&mut self, call: &'t Call, dot: &Typed<'o>) -> Result<(), String> {
        self.at = Some(Node::Call(call));
        let Some((name, statements)) = self.defined.get_key_value(&call.name) else {
            return self.wrong(&format!("template {} not defined", quoted(&call.name)));
        };
        if self.depth == DEEPEST {
            return self.wrong(&format!("exceeded maximum template depth ({DEEPEST})"));
        }
        let dot = match &call.pipe {
            Some(pipe) => self.pipe(pipe, dot)?,
            None => Typed::of(Val::Missing),
        };
        let around = std::mem::replace(&mut self.variables, vec![("$".to_owned(), dot.value.clone())]);
        let caller = std::mem::replace(&mut self.name, name);
        self.depth += 1;
        let result = self.statements(statements, &dot);
        if result.is_ok() {
            self.name = caller;
        }
        self.depth -= 1;
        self.variables = around;
        result.map(|_| ())
    }

    fn range(
        &mut self,
        pipe: &'t Pipe,
        inside: &'t [Statement],
        otherwise: &'t [Statement],
        dot: &Typed<'o>,
    ) -> Result<Flow, String> {
        let value = self.pipe(pipe, dot)?.value;
        let mut is_empty = true;
        let known = self.variables.len();
        let mut each = |execution: &mut Self, index: Val<'o>, element: Typed<'o>| {
            is_empty = false;
            execution.bind(pipe, index, &element);
            let flow = execution.statements(inside, &element);
            execution.variables.truncate(known);
            flow
        };
        match value {
            Val::List(elements) => {
                for (index, element) in elements.iter().enumerate() {
                    let index = Val::Int(i64::try_from(index).unwrap_or(i64::MAX));
                    if each(self, index, Typed::part(Val::of(element)))? == Flow::Break {
                        break;
                    }
                }
            }
            Val::Map(fields) => {
                for (key, element) in sorted(fields) {
                    if each(self, Val::Text(key.as_str().into()), Typed::part(Val::of(element)))? == Flow::Break {
                        break;
                    }
                }
            }
            Val::Int(_) | Val::Long(_) | Val::Byte(_) => {
                if pipe.variables.len() > 1 {
                    return self.wrong("can't use more than one iteration variable with an integer range");
                }
                for number in 0..value.whole().unwrap_or_default() {
                    if each(self, Val::Int(number), Typed::of(Val::Int(number)))? == Flow::Break {
                        break;
                    }
                }
            }
            Val::Missing | Val::Null => {}
            other => return self.wrong(&format!("range can't iterate over {}", other.text())),
        }
        if is_empty { self.statements(otherwise, dot) } else { Ok(Flow::On) }
    }

    /// Sets the variables of a range.
    fn bind(&mut self, pipe: &Pipe, index: Val<'o>, element: &Typed<'o>) {
        let values = match pipe.variables.len() {
            0 => return,
            1 => vec![element.value.clone()],
            _ => vec![index, element.value.clone()],
        };
        for (name, value) in pipe.variables.iter().zip(values) {
            if pipe.assigns {
                self.assign(name, value);
            } else {
                self.variables.push((name.clone(), value));
            }
        }
    }

    fn assign(&mut self, name: &str, value: Val<'o>) -> bool {
        let known = self.variables.iter_mut().rev().find(|(other, _)| other == name);
        known.map(|known| known.1 = value).is_some()
    }

    fn pipe(&mut self, pipe: &'t Pipe, dot: &Typed<'o>) -> Result<Typed<'o>, String> {
        self.at = Some(Node::Pipe(pipe));
        let mut value: Option<Typed<'o>> = None;
        for command in &pipe.commands {
            let given = self.command(command, dot, value)?;
            // A null that was found somewhere is nothing.
            value = Some(Typed::of(if given.value == Val::Null { Val::Missing } else { given.value }));
        }
        let value = value.unwrap_or(Typed::of(Val::Missing));
        // Those of a range are set for each element.
        for name in &pipe.variables {
            if !pipe.assigns {
                self.variables.push((name.clone(), value.value.clone()));
            } else if !self.assign(name, value.value.clone()) {
                return self.wrong(&format!("undefined variable: {name}"));
            }
        }
        Ok(value)
    }

    /// A command, with what the one before it gave.
    fn command(&mut self, command: &'t Command, dot: &Typed<'o>, last: Option<Typed<'o>>) -> Result<Typed<'o>, String> {
        let Some(first) = command.words.first() else { return Ok(Typed::of(Val::Missing)) };
        let has_arguments = command.words.len() > 1 || last.is_some();
        if let Term::Function(name) = &first.term {
            let last = last.map(|last| last.value);
            return self.function(name, first, Node::Command(command), &command.words[1..], dot, last);
        }
        if has_arguments && !matches!(first.term, Term::Field(_) | Term::Variable(..) | Term::Chain(..)) {
            if !matches!(first.term, Term::Pipe(_)) {
                self.at = Some(Node::Word(first));
            }
            return self.wrong(&format!("can't give argument to non-function {}", first.term));
        }
        if first.term == Term::Nil {
            self.at = Some(Node::Word(first));
            return self.wrong("nil is not a command");
        }
        self.word(first, dot, has_arguments)
    }

    /// An operand. Fields are no functions: none of them takes arguments.
    fn word(&mut self, word: &'t Word, dot: &Typed<'o>, has_arguments: bool) -> Result<Typed<'o>, String> {
        if !matches!(word.term, Term::Pipe(_)) {
            self.at = Some(Node::Word(word));
        }
        let (start, fields) = match &word.term {
            Term::Bool(value) => return Ok(Typed::of(Val::Bool(*value))),
            Term::Number(number) => match number.value {
                Constant::Int(value) => return Ok(Typed::of(Val::Int(value))),
                Constant::Float(value) => return Ok(Typed::of(Val::Float(value))),
                Constant::Huge => return self.wrong(&format!("{} overflows int", number.written)),
            },
            Term::Text(text, _) => return Ok(Typed::of(Val::Text(text.clone().into()))),
            Term::Nil => return Ok(Typed::of(Val::Missing)),
            Term::Dot => return Ok(dot.clone()),
            Term::Function(name) => return self.function(name, word, Node::Word(word), &[], dot, None),
            Term::Pipe(pipe) => return self.pipe(pipe, dot),
            Term::Field(fields) => (dot.clone(), fields),
            Term::Variable(name, fields) => {
                let Some((_, value)) = self.variables.iter().rev().find(|(other, _)| other == name) else {
                    return self.wrong(&format!("undefined variable: {name}"));
                };
                let value = Typed::of(value.clone());
                if fields.is_empty() && has_arguments {
                    return self.wrong(&format!("can't give argument to non-function {}", word.term));
                }
                (value, fields)
            }
            Term::Chain(inner, fields) => {
                if inner.term == Term::Nil {
                    return self.wrong(&format!("indirection through explicit nil in {}", word.term));
                }
                (self.word(inner, dot, false)?, fields)
            }
        };
        let last = fields.len();
        fields
            .iter()
            .enumerate()
            .try_fold(start, |value, (index, field)| self.field(&value, field, has_arguments && index + 1 == last))
    }

    fn field(&self, value: &Typed<'o>, field: &str, has_arguments: bool) -> Result<Typed<'o>, String> {
        match &value.value {
            Val::Missing if self.strict => self.wrong(&format!("nil data; no entry for key {}", quoted(field))),
            Val::Missing => Ok(Typed::of(Val::Missing)),
            Val::Null => self.wrong(&format!("nil pointer evaluating {}.{field}", value.kind())),
            Val::Map(_) if has_arguments => self.wrong(&format!("{field} is not a method but has arguments")),
            Val::Map(fields) => match fields.get(field) {
                Some(found) => Ok(Typed::part(Val::of(found))),
                None if self.strict => self.wrong(&format!("map has no entry for key {}", quoted(field))),
                None => Ok(Typed::of(Val::Missing)),
            },
            _ => self.wrong(&format!("can't evaluate field {field} in type {}", value.kind())),
        }
    }

    /// A function, with its arguments, the last of which may come from the command before.
    fn function(
        &mut self,
        name: &'t str,
        word: &'t Word,
        whole: Node<'t>,
        arguments: &'t [Word],
        dot: &Typed<'o>,
        last: Option<Val<'o>>,
    ) -> Result<Typed<'o>, String> {
        self.at = Some(Node::Word(word));
        let count = arguments.len() + usize::from(last.is_some());
        if let Some(wanted) = functions::wrong_count(name, count) {
            return self.wrong(&format!("wrong number of args for {name}: want {wanted} got {count}"));
        }
        // These look at no more than they need.
        if matches!(name, "and" | "or") {
            let mut value = Val::Missing;
            for argument in arguments {
                value = self.argument(argument, Wants::Any, dot)?;
                if value.is_true() == (name == "or") {
                    return Ok(Typed::of(value));
                }
            }
            return Ok(Typed::of(last.unwrap_or(value)));
        }
        let mut values = Vec::with_capacity(count);
        for argument in arguments {
            let wants = functions::wants(name, values.len());
            values.push(self.argument(argument, wants, dot)?);
        }
        if let Some(last) = last {
            let wants = functions::wants(name, values.len());
            values.push(self.checked(last, wants)?);
        }
        let callee = arguments.first().map(|word| word.term.to_string()).unwrap_or_default();
        functions::call(name, &callee, &values).map(Typed::of).or_else(|why| {
            self.at = Some(whole);
            self.wrong(&format!("error calling {name}: {why}"))
        })
    }

    fn argument(&mut self, word: &'t Word, wants: Wants, dot: &Typed<'o>) -> Result<Val<'o>, String> {
        self.at = Some(Node::Word(word));
        match (&word.term, wants) {
            (Term::Nil, Wants::Text) => self.wrong("cannot assign nil to string"),
            (Term::Bool(_) | Term::Number(_), Wants::Text) => {
                self.wrong(&format!("expected string; found {}", word.term))
            }
            _ => {
                let value = self.word(word, dot, false)?.value;
                self.checked(value, wants)
            }
        }
    }

    fn checked(&self, value: Val<'o>, wants: Wants) -> Result<Val<'o>, String> {
        match (&value, wants) {
            (_, Wants::Any) | (Val::Text(_), Wants::Text) => Ok(value),
            (Val::Missing | Val::Null, Wants::Text) => self.wrong("invalid value; expected string"),
            (other, Wants::Text) => self.wrong(&format!("wrong type for value; expected string; got {}", other.kind())),
        }
    }
}
