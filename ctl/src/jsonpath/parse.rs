//! Reading templates and paths. A template that is not closed is a mistake, which is named with where it is.

use serde_json::Value;

use super::{Comparison, Operand, Part, Path, Step};

/// The pieces of a template.
pub(super) fn template(text: &str) -> Result<Vec<Part>, String> {
    // The innermost range is last.
    let mut open: Vec<(Path, Vec<Part>)> = Vec::new();
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('{') {
        if !before.is_empty() {
            parts.push(Part::Text(before.to_owned()));
        }
        let end = closing(behind).ok_or_else(|| unclosed(behind))?;
        let inner = behind[..end].trim();
        rest = &behind[end + 1..];
        if let Some(range) = inner.strip_prefix("range ") {
            open.push((path(range.trim())?, std::mem::take(&mut parts)));
        } else if inner == "end" {
            let (over, outer) = open.pop().ok_or("not in range, nothing to end")?;
            let inside = std::mem::replace(&mut parts, outer);
            parts.push(Part::Range(over, inside));
        } else {
            action(inner, &mut parts)?;
        }
    }
    if !open.is_empty() {
        return Err("unclosed range: {end} is missing".to_owned());
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest.to_owned()));
    }
    Ok(parts)
}

/// What is said of an action without an end, or of what has none in it.
fn unclosed(text: &str) -> String {
    let is_array = text.rfind('[').is_some_and(|open| !text[open..].contains(']'));
    if is_array { "unterminated array".to_owned() } else { "unclosed action".to_owned() }
}

/// Where the brace is that closes, outside of quotes.
fn closing(text: &str) -> Option<usize> {
    let mut quote = None;
    let mut is_escaped = false;
    for (index, character) in text.char_indices() {
        match (quote, character) {
            _ if is_escaped => is_escaped = false,
            (_, '\\') => is_escaped = true,
            (None, '"' | '\'') => quote = Some(character),
            (Some(open), _) if open == character => quote = None,
            (None, '}') => return Some(index),
            _ => {}
        }
    }
    None
}

/// What is between braces: paths and texts, one after the other.
fn action(text: &str, parts: &mut Vec<Part>) -> Result<(), String> {
    let mut reader = Reader { rest: text };
    loop {
        reader.skip_spaces();
        match reader.peek() {
            None => return Ok(()),
            Some('"' | '\'') => parts.push(Part::Text(reader.quoted()?)),
            Some(_) => parts.push(Part::Path(reader.path()?)),
        }
    }
}

/// A path by itself.
pub(super) fn path(text: &str) -> Result<Path, String> {
    let mut reader = Reader { rest: text };
    let path = reader.path()?;
    if reader.rest.is_empty() { Ok(path) } else { Err(format!("unrecognized character in action: {}", reader.rest)) }
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn take(&mut self, wanted: &str) -> bool {
        match self.rest.strip_prefix(wanted) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn skip_spaces(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn path(&mut self) -> Result<Path, String> {
        let from_root = self.take("$");
        if !from_root {
            self.take("@");
        }
        let mut steps = Vec::new();
        loop {
            if self.take("..") {
                steps.push(Step::Descend);
                if self.peek() != Some('[') {
                    steps.push(self.field()?);
                }
            } else if self.take(".") {
                // `.` alone is what is at hand.
                match self.peek() {
                    None => return Ok(Path { from_root, steps }),
                    Some('[') => {}
                    Some(character) if character.is_whitespace() || ")=!<>".contains(character) => {
                        return Ok(Path { from_root, steps });
                    }
                    Some(_) => steps.push(self.field()?),
                }
            } else if self.take("[") {
                steps.push(self.bracket()?);
            } else if steps.is_empty() && self.peek().is_some_and(char::is_alphanumeric) {
                steps.push(self.field()?);
            } else {
                break;
            }
        }
        match self.peek() {
            Some(character) if !character.is_whitespace() && !")=!<>,]\"'".contains(character) => {
                Err(format!("unrecognized character in action: {}", self.rest))
            }
            _ => Ok(Path { from_root, steps }),
        }
    }

    /// A field, in which a backslash takes what follows as it is.
    fn field(&mut self) -> Result<Step, String> {
        let mut name = String::new();
        let mut characters = self.rest.char_indices();
        let mut end = self.rest.len();
        while let Some((index, character)) = characters.next() {
            match character {
                '\\' => name.extend(characters.next().map(|(_, character)| character)),
                '.' | '[' | ']' | '(' | ')' | '=' | '!' | '<' | '>' | ',' | '"' | '\'' | '{' | '}' | '|' => {
                    end = index;
                    break;
                }
                _ if character.is_whitespace() => {
                    end = index;
                    break;
                }
                _ => name.push(character),
            }
        }
        let before = self.rest;
        self.rest = &self.rest[end..];
        match name.as_str() {
            "" => Err(format!("a field is missing at {before:?}")),
            "*" => Ok(Step::All),
            _ => Ok(Step::Field(name)),
        }
    }

    /// What is between brackets.
    fn bracket(&mut self) -> Result<Step, String> {
        if self.take("?(") {
            let filter = self.filter()?;
            return if self.take(")]") { Ok(filter) } else { Err("unclosed filter: )] is missing".to_owned()) };
        }
        let mut steps = Vec::new();
        loop {
            self.skip_spaces();
            steps.push(match self.peek() {
                Some('"' | '\'') => Step::Field(self.quoted()?),
                Some('*') => {
                    self.take("*");
                    Step::All
                }
                Some(character) if character == ':' || character == '-' || character.is_ascii_digit() => {
                    self.numbers()?
                }
                None => return Err("unterminated array".to_owned()),
                _ => return Err(format!("invalid array index {}", self.rest)),
            });
            self.skip_spaces();
            if self.take("]") {
                return Ok(if steps.len() == 1 { steps.remove(0) } else { Step::Union(steps) });
            }
            if !self.take(",") {
                return Err("unterminated array".to_owned());
            }
        }
    }

    fn numbers(&mut self) -> Result<Step, String> {
        let first = self.number()?;
        if !self.take(":") {
            return first.map(Step::Index).ok_or_else(|| format!("invalid array index {}", self.rest));
        }
        let second = self.number()?;
        let third = if self.take(":") { self.number()? } else { None };
        Ok(Step::Slice(first, second, third))
    }

    fn number(&mut self) -> Result<Option<i64>, String> {
        let end = self.rest.find(|character: char| !(character == '-' || character.is_ascii_digit()));
        let (digits, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        if digits.is_empty() {
            return Ok(None);
        }
        digits.parse().map(Some).map_err(|_| format!("invalid array index {digits}"))
    }

    fn filter(&mut self) -> Result<Step, String> {
        let left = self.operand()?;
        self.skip_spaces();
        const COMPARISONS: [(&str, Comparison); 6] = [
            ("==", Comparison::Equal),
            ("!=", Comparison::NotEqual),
            ("<=", Comparison::LessOrEqual),
            (">=", Comparison::GreaterOrEqual),
            ("<", Comparison::Less),
            (">", Comparison::Greater),
        ];
        let comparison = COMPARISONS.into_iter().find(|(sign, _)| self.take(sign));
        let Some((_, comparison)) = comparison else { return Ok(Step::Filter(left, None)) };
        let right = self.operand()?;
        self.skip_spaces();
        Ok(Step::Filter(left, Some((comparison, right))))
    }

    fn operand(&mut self) -> Result<Operand, String> {
        self.skip_spaces();
        match self.peek() {
            Some('"' | '\'') => Ok(Operand::Value(Value::String(self.quoted()?))),
            Some('@' | '$' | '.') => Ok(Operand::Path(self.path()?)),
            _ => {
                let end = self.rest.find(|character: char| ")=!<> ".contains(character)).unwrap_or(self.rest.len());
                let (word, rest) = self.rest.split_at(end);
                self.rest = rest;
                serde_json::from_str(word).map(Operand::Value).map_err(|_| format!("{word:?} is no value"))
            }
        }
    }

    /// A text in quotes of either kind, with Go's escapes.
    fn quoted(&mut self) -> Result<String, String> {
        let mut characters = self.rest.char_indices();
        let quote = characters.next().map(|(_, quote)| quote);
        let mut text = String::new();
        while let Some((index, character)) = characters.next() {
            if Some(character) == quote {
                self.rest = &self.rest[index + character.len_utf8()..];
                return Ok(text);
            }
            if character != '\\' {
                text.push(character);
                continue;
            }
            match characters.next().map(|(_, escaped)| escaped) {
                Some('n') => text.push('\n'),
                Some('t') => text.push('\t'),
                Some('r') => text.push('\r'),
                Some(other) => text.push(other),
                None => {}
            }
        }
        Err(format!("unterminated quoted string: {}", self.rest))
    }
}
