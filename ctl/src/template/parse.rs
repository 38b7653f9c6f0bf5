//! The tree of a template's words.

use std::collections::BTreeMap;

use super::lex::{Kind, Token, lex, unquoted};
use super::number::Number;
use super::tree::{Call, Command, Pipe, Place, Statement, Term, Word};
use super::value::quoted;
use super::{DEEPEST, NAME, functions};

/// The templates of a text, by name.
pub(super) fn parse(text: &str) -> Result<BTreeMap<String, Vec<Statement>>, String> {
    let mut parser = Parser {
        text,
        tokens: lex(text),
        next: 0,
        seen: 0,
        variables: vec!["$".to_owned()],
        ranges: 0,
        depth: 0,
        action: None,
        defined: BTreeMap::new(),
    };
    let statements = parser.whole()?;
    parser.define(NAME.to_owned(), statements)?;
    Ok(parser.defined)
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    next: usize,
    /// The furthest that was looked at.
    seen: usize,
    variables: Vec<String>,
    /// How many ranges are around.
    ranges: usize,
    depth: usize,
    /// The line where the action began.
    action: Option<usize>,
    defined: BTreeMap<String, Vec<Statement>>,
}

/// What ends a list of statements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closing {
    End,
    Else,
}

impl Closing {
    const fn named(self) -> &'static str {
        match self {
            Closing::End => "{{end}}",
            Closing::Else => "{{else}}",
        }
    }
}

enum Piece {
    Statement(Statement),
    Closing(Closing),
}

impl Parser<'_> {
    fn peek(&mut self) -> &Token {
        self.seen = self.seen.max(self.next);
        // The last one is never passed.
        &self.tokens[self.next.min(self.tokens.len() - 1)]
    }

    fn take(&mut self) -> Token {
        let token = self.peek().clone();
        if self.next + 1 < self.tokens.len() {
            self.next += 1;
        }
        token
    }

    fn peek_word(&mut self) -> &Token {
        while self.peek().kind == Kind::Space {
            self.next += 1;
        }
        self.peek()
    }

    fn take_word(&mut self) -> Token {
        self.peek_word();
        self.take()
    }

    fn line(&self, at: usize) -> usize {
        1 + self.text[..at].matches('\n').count()
    }

    fn place(&self, at: usize) -> Place {
        let start = self.text[..at].rfind('\n').map_or(0, |newline| newline + 1);
        Place { line: self.line(at), byte: at - start }
    }

    fn wrong<T>(&self, why: &str) -> Result<T, String> {
        let at = self.tokens[self.seen.min(self.tokens.len() - 1)].at;
        Err(format!("template: {NAME}:{}: {why}", self.line(at)))
    }

    fn unexpected<T>(&self, token: &Token, context: &str) -> Result<T, String> {
        if token.kind != Kind::Error {
            return self.wrong(&format!("unexpected {} in {context}", token.named()));
        }
        let began = self.action.filter(|line| *line != self.line(token.at));
        let began = began.map(|line| format!(" in action started at {NAME}:{line}")).unwrap_or_default();
        let began = if token.text.ends_with(" action") { began.trim_start_matches(" in action") } else { &began };
        self.wrong(&format!("{}{began}", token.text))
    }

    fn expect(&mut self, kind: Kind, context: &str) -> Result<Token, String> {
        let token = self.take_word();
        if token.kind == kind { Ok(token) } else { self.unexpected(&token, context) }
    }

    /// Goes one level deeper, and out again.
    fn deeper<T>(&mut self, inside: impl FnOnce(&mut Self) -> Result<T, String>) -> Result<T, String> {
        if self.depth == DEEPEST {
            return self.wrong("max expression depth exceeded");
        }
        self.depth += 1;
        let result = inside(self);
        self.depth -= 1;
        result
    }

    fn define(&mut self, name: String, statements: Vec<Statement>) -> Result<(), String> {
        let is_blank = |statements: &[Statement]| {
            statements.iter().all(|it| matches!(it, Statement::Text(text) if text.trim().is_empty()))
        };
        match self.defined.get(&name) {
            Some(before) if !is_blank(before) => {
                if is_blank(&statements) {
                    return Ok(());
                }
                self.wrong(&format!("template: multiple definition of template {}", quoted(&name)))
            }
            _ => {
                self.defined.insert(name, statements);
                Ok(())
            }
        }
    }

    fn whole(&mut self) -> Result<Vec<Statement>, String> {
        let mut statements = Vec::new();
        while self.peek().kind != Kind::End {
            if self.peek().kind == Kind::Left {
                let here = self.next;
                self.take();
                if self.take_word().is_keyword("define") {
                    self.definition()?;
                    continue;
                }
                self.next = here;
            }
            match self.piece()? {
                Piece::Statement(statement) => statements.push(statement),
                Piece::Closing(closing) => return self.wrong(&format!("unexpected {}", closing.named())),
            }
        }
        Ok(statements)
    }

    fn definition(&mut self) -> Result<(), String> {
        const CONTEXT: &str = "define clause";
        let token = self.take_word();
        let name = self.name_of_template(&token, CONTEXT)?;
        self.expect(Kind::Right, CONTEXT)?;
        let around = std::mem::replace(&mut self.variables, vec!["$".to_owned()]);
        let ranges = std::mem::take(&mut self.ranges);
        let (statements, closing) = self.list()?;
        (self.variables, self.ranges) = (around, ranges);
        if closing != Closing::End {
            return self.wrong(&format!("unexpected {} in {CONTEXT}", closing.named()));
        }
        self.define(name, statements)
    }

    fn name_of_template(&mut self, token: &Token, context: &str) -> Result<String, String> {
        if !matches!(token.kind, Kind::String | Kind::RawString) {
            return self.unexpected(token, context);
        }
        self.text_of(token)
    }

    fn text_of(&self, token: &Token) -> Result<String, String> {
        unquoted(&token.text).map_or_else(|| self.wrong("invalid syntax"), Ok)
    }

    /// Statements up to `{{end}}` or `{{else}}`.
    fn list(&mut self) -> Result<(Vec<Statement>, Closing), String> {
        self.deeper(|parser| {
            let mut statements = Vec::new();
            while parser.peek_word().kind != Kind::End {
                match parser.piece()? {
                    Piece::Statement(statement) => statements.push(statement),
                    Piece::Closing(closing) => return Ok((statements, closing)),
                }
            }
            parser.wrong("unexpected EOF")
        })
    }

    fn piece(&mut self) -> Result<Piece, String> {
        let token = self.take_word();
        match token.kind {
            Kind::Text => Ok(Piece::Statement(Statement::Text(token.text))),
            Kind::Left => {
                self.action = Some(self.line(token.at));
                let piece = self.action();
                self.action = None;
                piece
            }
            _ => self.unexpected(&token, "input"),
        }
    }

    fn action(&mut self) -> Result<Piece, String> {
        let token = self.peek_word().clone();
        let word = if token.kind == Kind::Keyword { token.text.as_str() } else { "" };
        if !matches!(word, "" | "define" | "nil") {
            self.take();
        }
        let statement = match word {
            "block" => self.block()?,
            "break" | "continue" => self.leap(word)?,
            "else" => {
                let next = self.peek_word();
                // `{{else if x}}` is read as `{{else}}{{if x}}`, which needs no end of its own.
                if !next.is_keyword("if") && !next.is_keyword("with") {
                    self.expect(Kind::Right, "else")?;
                }
                return Ok(Piece::Closing(Closing::Else));
            }
            "end" => {
                self.expect(Kind::Right, "end")?;
                return Ok(Piece::Closing(Closing::End));
            }
            "if" | "range" | "with" => self.control(word)?,
            "template" => {
                const CONTEXT: &str = "template clause";
                let token = self.take_word();
                let name = self.name_of_template(&token, CONTEXT)?;
                let pipe = match self.peek_word().kind {
                    Kind::Right => {
                        self.take();
                        None
                    }
                    _ => Some(self.pipe(CONTEXT, Kind::Right)?),
                };
                Statement::Template(Call { place: self.place(token.at), name, pipe })
            }
            _ => Statement::Action(self.pipe("command", Kind::Right)?),
        };
        Ok(Piece::Statement(statement))
    }

    fn leap(&mut self, word: &str) -> Result<Statement, String> {
        let token = self.take_word();
        if token.kind != Kind::Right {
            return self.unexpected(&token, &format!("{{{{{word}}}}}"));
        }
        if self.ranges == 0 {
            return self.wrong(&format!("{{{{{word}}}}} outside {{{{range}}}}"));
        }
        Ok(if word == "break" { Statement::Break } else { Statement::Continue })
    }

    fn block(&mut self) -> Result<Statement, String> {
        const CONTEXT: &str = "block clause";
        let token = self.take_word();
        let name = self.name_of_template(&token, CONTEXT)?;
        let pipe = self.pipe(CONTEXT, Kind::Right)?;
        let around = std::mem::replace(&mut self.variables, vec!["$".to_owned()]);
        let ranges = std::mem::take(&mut self.ranges);
        let (statements, closing) = self.list()?;
        (self.variables, self.ranges) = (around, ranges);
        if closing != Closing::End {
            return self.wrong(&format!("unexpected {} in {CONTEXT}", closing.named()));
        }
        self.define(name.clone(), statements)?;
        Ok(Statement::Template(Call { place: self.place(token.at), name, pipe: Some(pipe) }))
    }

    fn control(&mut self, word: &str) -> Result<Statement, String> {
        let known = self.variables.len();
        let pipe = self.pipe(word, Kind::Right)?;
        let is_range = word == "range";
        self.ranges += usize::from(is_range);
        let (inside, closing) = self.list()?;
        self.ranges -= usize::from(is_range);
        let mut otherwise = Vec::new();
        if closing == Closing::Else {
            if !is_range && self.peek().is_keyword(word) {
                self.take();
                otherwise.push(self.deeper(|parser| parser.control(word))?);
            } else {
                let (statements, closing) = self.list()?;
                if closing != Closing::End {
                    return self.wrong(&format!("expected end; found {}", closing.named()));
                }
                otherwise = statements;
            }
        }
        self.variables.truncate(known);
        Ok(match word {
            "if" => Statement::If(pipe, inside, otherwise),
            "range" => Statement::Range(pipe, inside, otherwise),
            _ => Statement::With(pipe, inside, otherwise),
        })
    }

    /// Commands up to what ends them.
    fn pipe(&mut self, context: &str, end: Kind) -> Result<Pipe, String> {
        let at = self.peek_word().at;
        let mut pipe = Pipe { place: self.place(at), variables: Vec::new(), assigns: false, commands: Vec::new() };
        self.declarations(&mut pipe, context)?;
        loop {
            let token = self.peek_word().clone();
            if token.kind == end {
                self.take();
                return self.checked(pipe, context);
            }
            match token.kind {
                Kind::Bool
                | Kind::Character
                | Kind::Dot
                | Kind::Field
                | Kind::Identifier
                | Kind::Number
                | Kind::RawString
                | Kind::String
                | Kind::Variable
                | Kind::LeftParen => {
                    let command = self.command()?;
                    pipe.commands.push(command);
                }
                Kind::Keyword if token.text == "nil" => {
                    let command = self.command()?;
                    pipe.commands.push(command);
                }
                _ => {
                    self.take();
                    return self.unexpected(&token, context);
                }
            }
        }
    }

    fn declarations(&mut self, pipe: &mut Pipe, context: &str) -> Result<(), String> {
        loop {
            let before = self.next;
            if self.peek_word().kind != Kind::Variable {
                return Ok(());
            }
            let variable = self.take();
            let next = self.peek_word().clone();
            match next.kind {
                Kind::Assign | Kind::Declare => {
                    self.take();
                    pipe.assigns = next.kind == Kind::Assign;
                    self.declare(pipe, variable.text);
                    return Ok(());
                }
                Kind::Sign if next.text == "," => {
                    self.take();
                    self.declare(pipe, variable.text);
                    if context != "range" || pipe.variables.len() >= 2 {
                        return self.wrong(&format!("too many declarations in {context}"));
                    }
                    if !matches!(self.peek_word().kind, Kind::Variable | Kind::Right | Kind::RightParen) {
                        return self.wrong("range can only initialize variables");
                    }
                }
                _ => {
                    self.next = before;
                    return Ok(());
                }
            }
        }
    }

    fn declare(&mut self, pipe: &mut Pipe, name: String) {
        self.variables.push(name.clone());
        pipe.variables.push(name);
    }

    fn checked(&self, pipe: Pipe, context: &str) -> Result<Pipe, String> {
        if pipe.commands.is_empty() {
            return self.wrong(&format!("missing value for {context}"));
        }
        for (index, command) in pipe.commands.iter().enumerate().skip(1) {
            let first = command.words.first().map(|word| &word.term);
            if let Some(Term::Bool(_) | Term::Dot | Term::Nil | Term::Number(_) | Term::Text(..)) = first {
                return self.wrong(&format!("non executable command in pipeline stage {}", index + 1));
            }
        }
        Ok(pipe)
    }

    fn command(&mut self) -> Result<Command, String> {
        let at = self.peek_word().at;
        let mut words = Vec::new();
        loop {
            self.peek_word();
            words.extend(self.operand()?);
            let token = self.peek().clone();
            match token.kind {
                Kind::Space => {
                    self.take();
                    continue;
                }
                Kind::Right | Kind::RightParen => {}
                Kind::Bar => {
                    self.take();
                }
                _ => {
                    self.take();
                    return self.unexpected(&token, "operand");
                }
            }
            break;
        }
        if words.is_empty() {
            return self.wrong("empty command");
        }
        Ok(Command { place: self.place(at), words })
    }

    /// A term with fields.
    fn operand(&mut self) -> Result<Option<Word>, String> {
        let Some(word) = self.term()? else { return Ok(None) };
        if self.peek().kind != Kind::Field {
            return Ok(Some(word));
        }
        let place = self.place(self.tokens[self.next].at);
        let mut fields = Vec::new();
        while self.peek().kind == Kind::Field {
            fields.push(field(&self.take()));
        }
        let term = match word.term {
            Term::Field(names) => Term::Field(names.into_iter().chain(fields).collect()),
            Term::Variable(name, names) => Term::Variable(name, names.into_iter().chain(fields).collect()),
            Term::Bool(_) | Term::Text(..) | Term::Number(_) | Term::Nil | Term::Dot => {
                return self.wrong(&format!("unexpected . after term {}", quoted(&word.term.to_string())));
            }
            _ => Term::Chain(Box::new(word), fields),
        };
        Ok(Some(Word { place, term }))
    }

    fn term(&mut self) -> Result<Option<Word>, String> {
        let token = self.peek_word().clone();
        let place = self.place(token.at);
        if !matches!(token.kind, Kind::Right | Kind::RightParen | Kind::Bar | Kind::Sign | Kind::Space) {
            self.take();
        }
        let term = match token.kind {
            Kind::Error => return self.unexpected(&token, "operand"),
            Kind::Identifier => {
                if !functions::is_known(&token.text) {
                    return self.wrong(&format!("function {} not defined", quoted(&token.text)));
                }
                Term::Function(token.text)
            }
            Kind::Dot => Term::Dot,
            Kind::Keyword if token.text == "nil" => Term::Nil,
            Kind::Variable => {
                if !self.variables.contains(&token.text) {
                    return self.wrong(&format!("undefined variable {}", quoted(&token.text)));
                }
                Term::Variable(token.text, Vec::new())
            }
            Kind::Field => Term::Field(vec![field(&token)]),
            Kind::Bool => Term::Bool(token.text == "true"),
            Kind::Character | Kind::Number => match Number::parse(&token.text) {
                Ok(number) => Term::Number(number),
                Err(why) => return self.wrong(&why),
            },
            Kind::LeftParen => {
                let pipe = self.deeper(|parser| parser.pipe("parenthesized pipeline", Kind::RightParen))?;
                Term::Pipe(Box::new(pipe))
            }
            Kind::String | Kind::RawString => Term::Text(self.text_of(&token)?, token.text),
            _ => {
                if !matches!(
                    token.kind,
                    Kind::Right | Kind::RightParen | Kind::Bar | Kind::Sign | Kind::Space | Kind::End
                ) {
                    self.next -= 1;
                }
                return Ok(None);
            }
        };
        Ok(Some(Word { place, term }))
    }
}

/// The name of a field, without its dot.
fn field(token: &Token) -> String {
    token.text.trim_start_matches('.').to_owned()
}
