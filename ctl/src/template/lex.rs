//! The words of a template: text, and between `{{` and `}}` names, fields, values and signs. Blanks between words are words, too,
//! as they tell `.a .b` from `.a.b`.

/// A word, and where it begins.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) at: usize,
    pub(super) text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// What is wrong; nothing follows.
    Error,
    Bool,
    /// A sign that has no other meaning.
    Sign,
    Character,
    Declare,
    Assign,
    End,
    Field,
    Identifier,
    Left,
    LeftParen,
    Number,
    Bar,
    RawString,
    Right,
    RightParen,
    Space,
    String,
    Text,
    Variable,
    Dot,
    Keyword,
}

const KEYWORDS: [&str; 11] =
    ["block", "break", "continue", "define", "else", "end", "if", "nil", "range", "template", "with"];

impl Token {
    /// As it is named in what is wrong.
    pub(super) fn named(&self) -> String {
        match self.kind {
            Kind::End => "EOF".to_owned(),
            Kind::Error => self.text.clone(),
            Kind::Keyword | Kind::Dot => format!("<{}>", self.text),
            _ if self.text.len() > 10 => {
                let short: String = self.text.chars().take(10).collect();
                format!("{}...", super::value::quoted(&short))
            }
            _ => super::value::quoted(&self.text),
        }
    }

    pub(super) fn is_keyword(&self, word: &str) -> bool {
        self.kind == Kind::Keyword && self.text == word
    }
}

/// All words. The last one is the end, or what is wrong.
pub(super) fn lex(text: &str) -> Vec<Token> {
    let mut lexer = Lexer { text, at: 0, start: 0, tokens: Vec::new() };
    if let Err(why) = lexer.run() {
        lexer.tokens.push(Token { kind: Kind::Error, at: lexer.start, text: why });
    }
    lexer.tokens
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    start: usize,
    tokens: Vec<Token>,
}

fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\r' | '\n')
}

fn is_of_name(character: char) -> bool {
    character == '_' || character.is_alphabetic() || (character.is_numeric() && !matches!(character, '²' | '³' | '¹'))
}

/// `U+0024 '$'`.
fn unicode(character: char) -> String {
    format!("U+{:04X} '{character}'", u32::from(character))
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    fn accept(&mut self, wanted: impl Fn(char) -> bool) -> bool {
        let is_it = self.peek().is_some_and(wanted);
        if is_it {
            self.next();
        }
        is_it
    }

    fn accept_all(&mut self, wanted: impl Fn(char) -> bool) {
        while self.accept(&wanted) {}
    }

    fn emit(&mut self, kind: Kind) {
        self.tokens.push(Token { kind, at: self.start, text: self.text[self.start..self.at].to_owned() });
        self.start = self.at;
    }

    fn run(&mut self) -> Result<(), String> {
        loop {
            let rest = self.rest();
            let Some(left) = rest.find("{{") else {
                self.at = self.text.len();
                if self.at > self.start {
                    self.emit(Kind::Text);
                }
                self.emit(Kind::End);
                return Ok(());
            };
            let trims = trims_before(&rest[left + 2..]);
            let text = if trims { rest[..left].trim_end_matches(is_blank) } else { &rest[..left] };
            self.at += text.len();
            if !text.is_empty() {
                self.emit(Kind::Text);
            }
            self.at = self.start + (left - text.len());
            self.start = self.at;
            self.at += 2;
            let marker = if trims { 2 } else { 0 };
            if self.text[self.at + marker..].starts_with("/*") {
                self.at += marker;
                self.comment()?;
                continue;
            }
            self.emit(Kind::Left);
            self.at += marker;
            self.start = self.at;
            self.action()?;
        }
    }

    fn comment(&mut self) -> Result<(), String> {
        self.at += 2;
        let end = self.rest().find("*/").ok_or("unclosed comment")?;
        self.at += end + 2;
        let Some(trims) = self.at_right() else { return Err("comment ends before closing delimiter".to_owned()) };
        self.leave(trims);
        Ok(())
    }

    /// Whether the action ends here, and blanks after it go.
    fn at_right(&self) -> Option<bool> {
        let rest = self.rest();
        if rest.strip_prefix(is_blank).is_some_and(|rest| rest.starts_with("-}}")) {
            return Some(true);
        }
        rest.starts_with("}}").then_some(false)
    }

    fn leave(&mut self, trims: bool) {
        self.at += if trims { 4 } else { 2 };
        if trims {
            self.accept_all(is_blank);
        }
        self.start = self.at;
    }

    fn action(&mut self) -> Result<(), String> {
        let mut depth = 0_usize;
        loop {
            if let Some(trims) = self.at_right() {
                if depth > 0 {
                    return Err("unclosed left paren".to_owned());
                }
                let at = self.at + if trims { 2 } else { 0 };
                self.tokens.push(Token { kind: Kind::Right, at, text: "}}".to_owned() });
                self.leave(trims);
                return Ok(());
            }
            let first = self.next().ok_or("unclosed action")?;
            match first {
                _ if is_blank(first) => {
                    while self.peek().is_some_and(is_blank) && self.at_right().is_none() {
                        self.next();
                    }
                    self.emit(Kind::Space);
                }
                '=' => self.emit(Kind::Assign),
                ':' if self.accept(|it| it == '=') => self.emit(Kind::Declare),
                ':' => return Err("expected :=".to_owned()),
                '|' => self.emit(Kind::Bar),
                '"' => self.quoted('"', Kind::String, "unterminated quoted string")?,
                '\'' => self.quoted('\'', Kind::Character, "unterminated character constant")?,
                '`' => {
                    let end = self.rest().find('`').ok_or("unterminated raw quoted string")?;
                    self.at += end + 1;
                    self.emit(Kind::RawString);
                }
                '$' => self.name(Kind::Variable)?,
                '.' if !self.peek().is_some_and(|it| it.is_ascii_digit()) => self.name(Kind::Field)?,
                '.' | '+' | '-' | '0'..='9' => self.number()?,
                _ if is_of_name(first) => self.identifier()?,
                '(' => {
                    depth += 1;
                    self.emit(Kind::LeftParen);
                }
                ')' => {
                    depth = depth.checked_sub(1).ok_or("unexpected right paren")?;
                    self.emit(Kind::RightParen);
                }
                ' '..='~' => self.emit(Kind::Sign),
                _ => return Err(format!("unrecognized character in action: {}", unicode(first))),
            }
        }
    }

    fn quoted(&mut self, quote: char, kind: Kind, unterminated: &str) -> Result<(), String> {
        loop {
            match self.next() {
                Some('\\') if self.accept(|it| it != '\n') => {}
                Some(character) if character == quote => break,
                Some(character) if character != '\n' && character != '\\' => {}
                _ => return Err(unterminated.to_owned()),
            }
        }
        self.emit(kind);
        Ok(())
    }

    fn check_end_of_name(&self) -> Result<(), String> {
        match self.peek() {
            Some(next) if !is_blank(next) && !matches!(next, '.' | ',' | '|' | ':' | ')' | '(') => {
                if self.rest().starts_with("}}") { Ok(()) } else { Err(format!("bad character {}", unicode(next))) }
            }
            _ => Ok(()),
        }
    }

    fn name(&mut self, kind: Kind) -> Result<(), String> {
        self.accept_all(is_of_name);
        self.check_end_of_name()?;
        let is_bare = self.at == self.start + 1;
        self.emit(if is_bare && kind == Kind::Field { Kind::Dot } else { kind });
        Ok(())
    }

    fn identifier(&mut self) -> Result<(), String> {
        self.accept_all(is_of_name);
        self.check_end_of_name()?;
        let word = &self.text[self.start..self.at];
        let kind = match word {
            "true" | "false" => Kind::Bool,
            _ if KEYWORDS.contains(&word) => Kind::Keyword,
            _ => Kind::Identifier,
        };
        self.emit(kind);
        Ok(())
    }

    fn number(&mut self) -> Result<(), String> {
        self.at = self.start;
        self.accept(|it| matches!(it, '+' | '-'));
        let mut base = 10;
        if self.accept(|it| it == '0') {
            base = match self.peek() {
                Some('x' | 'X') => 16,
                Some('o' | 'O') => 8,
                Some('b' | 'B') => 2,
                _ => 10,
            };
            if base != 10 {
                self.next();
            }
        }
        let digit = |it: char| it == '_' || it.is_digit(base);
        self.accept_all(digit);
        if self.accept(|it| it == '.') {
            self.accept_all(digit);
        }
        if base == 10 && self.accept(|it| matches!(it, 'e' | 'E')) {
            self.accept(|it| matches!(it, '+' | '-'));
            self.accept_all(|it| it == '_' || it.is_ascii_digit());
        }
        if self.peek().is_some_and(is_of_name) {
            self.next();
            let written = super::value::quoted(&self.text[self.start..self.at]);
            return Err(format!("bad number syntax: {written}"));
        }
        self.emit(Kind::Number);
        Ok(())
    }
}

fn trims_before(action: &str) -> bool {
    action.strip_prefix('-').is_some_and(|rest| rest.starts_with(is_blank))
}

/// What a text between quotes means, as Go reads it.
pub(super) fn unquoted(written: &str) -> Option<String> {
    if let Some(raw) = written.strip_prefix('`') {
        return Some(raw.strip_suffix('`')?.replace('\r', ""));
    }
    let mut rest = written.strip_prefix('"')?.strip_suffix('"')?;
    let mut text = String::new();
    while !rest.is_empty() {
        let (character, after) = unescaped(rest, '"')?;
        text.push(character);
        rest = after;
    }
    Some(text)
}

/// The first character of what stands between quotes, and what follows it.
pub(super) fn unescaped(text: &str, quote: char) -> Option<(char, &str)> {
    let mut characters = text.chars();
    let first = characters.next()?;
    if first != '\\' {
        return (first != quote).then_some((first, characters.as_str()));
    }
    let simple = |character: char, rest| Some((character, rest));
    let kind = characters.next()?;
    let rest = characters.as_str();
    let (digits, base) = match kind {
        'a' => return simple('\u{7}', rest),
        'b' => return simple('\u{8}', rest),
        'f' => return simple('\u{c}', rest),
        'n' => return simple('\n', rest),
        'r' => return simple('\r', rest),
        't' => return simple('\t', rest),
        'v' => return simple('\u{b}', rest),
        '\\' => return simple('\\', rest),
        '\'' | '"' => return (kind == quote).then_some((kind, rest)),
        'x' => (2, 16),
        'u' => (4, 16),
        'U' => (8, 16),
        '0'..='7' => (3, 8),
        _ => return None,
    };
    let from = if base == 8 { &text[1..] } else { rest };
    let number = from.get(..digits).filter(|it| it.chars().all(|digit| digit.is_digit(base)))?;
    let number = u32::from_str_radix(number, base).ok()?;
    Some((char::from_u32(number)?, &from[digits..]))
}
