//! The text form of label selectors: a hand-written parser, so that what it refuses it refuses in upstream's words.
//!
//! ```text
//! selector    = [ requirement *( "," requirement ) ]
//! requirement = [ "!" ] key / key ( "in" / "notin" ) set / key ( "=" / "==" / "!=" / ">" / "<" ) [ value ]
//! set         = "(" [ value ] *( "," [ value ] ) ")"
//! ```

use std::collections::BTreeSet;

use super::{Operator, Requirement, check_key, sorted_set};
use crate::field::{ErrorList, Path};
use crate::selector::MAX_TEXT_BYTES;

/// Why a text is no label selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Something else stands where a requirement should.
    #[error("{0}")]
    Unexpected(String),
    /// A requirement is malformed.
    #[error("unable to parse requirement: {0}")]
    Requirement(String),
    /// The text is too long to look at.
    #[error("selector must be no more than {MAX_TEXT_BYTES} bytes")]
    TooLong,
}

/// The requirements in the order in which they are written.
pub(super) fn parse(text: &str) -> Result<Vec<Requirement>, ParseError> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(ParseError::TooLong);
    }
    let mut parser = Parser { items: scan(text), position: 0 };
    let mut requirements = Vec::new();
    loop {
        match parser.peek() {
            (Token::Identifier | Token::Not, _) => {
                requirements.push(parser.requirement().map_err(ParseError::Requirement)?);
            }
            (Token::End, _) => return Ok(requirements),
            (_, found) => return Err(unexpected(found, ", expected: !, identifier, or 'end of string'")),
        }
        match parser.next() {
            (Token::End, _) => return Ok(requirements),
            (Token::Comma, _) => match parser.peek() {
                (Token::Identifier | Token::Not, _) => {}
                (_, found) => return Err(unexpected(found, ", expected: identifier after ','")),
            },
            (_, found) => return Err(unexpected(found, ", expected: ',' or 'end of string'")),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Error,
    End,
    CloseParenthesis,
    Comma,
    Not,
    DoubleEquals,
    Equals,
    GreaterThan,
    Identifier,
    In,
    LessThan,
    NotEquals,
    NotIn,
    OpenParenthesis,
}

/// A token and the words that it stands for.
type Item<'a> = (Token, &'a str);

struct Parser<'a> {
    /// Ends with [`Token::End`], which is never passed.
    items: Vec<Item<'a>>,
    position: usize,
}

impl<'a> Parser<'a> {
    /// The next token where a key or a value may stand: there, `in` and `notin` are ordinary words.
    fn peek(&self) -> Item<'a> {
        match self.peek_operator() {
            (Token::In | Token::NotIn, word) => (Token::Identifier, word),
            item => item,
        }
    }

    fn peek_operator(&self) -> Item<'a> {
        self.items.get(self.position).copied().unwrap_or((Token::End, ""))
    }

    fn next(&mut self) -> Item<'a> {
        let item = self.peek();
        self.position += 1;
        item
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        let mut token = self.next();
        let negated = token.0 == Token::Not;
        if negated {
            token = self.next();
        }
        let (Token::Identifier, key) = token else {
            return Err(found(token.1, ", expected: identifier"));
        };
        if let Some(error) = check_key(key, &Path::nil()) {
            return Err(error.to_string());
        }
        // Whatever follows a negated key is left for the caller to refuse.
        let ends = matches!(self.peek().0, Token::End | Token::Comma);
        let (operator, values) = match (ends, negated) {
            (true, false) => (Operator::Exists, BTreeSet::new()),
            (_, true) => (Operator::DoesNotExist, BTreeSet::new()),
            (false, false) => self.restriction()?,
        };
        let text = |errors: ErrorList| errors.to_string();
        Requirement::new(key, operator, sorted_set(values), &Path::nil()).map_err(text)
    }

    fn restriction(&mut self) -> Result<(Operator, BTreeSet<String>), String> {
        let (token, word) = self.peek_operator();
        self.position += 1;
        let operator = match token {
            Token::In => Operator::In,
            Token::NotIn => Operator::NotIn,
            Token::Equals => Operator::Equals,
            Token::DoubleEquals => Operator::DoubleEquals,
            Token::NotEquals => Operator::NotEquals,
            Token::GreaterThan => Operator::GreaterThan,
            Token::LessThan => Operator::LessThan,
            _ => return Err(found(word, ", expected: in, notin, =, ==, !=, gt, lt")),
        };
        let values = match operator {
            Operator::In | Operator::NotIn => self.set()?,
            _ => self.exact_value()?,
        };
        Ok((operator, values))
    }

    fn set(&mut self) -> Result<BTreeSet<String>, String> {
        let (token, word) = self.next();
        if token != Token::OpenParenthesis {
            return Err(found(word, " expected: '('"));
        }
        let (token, first) = self.peek();
        match token {
            Token::Identifier | Token::Comma => {
                let values = self.identifiers()?;
                if self.next().0 != Token::CloseParenthesis {
                    return Err(found(first, ", expected: ')'"));
                }
                Ok(values)
            }
            Token::CloseParenthesis => {
                self.next();
                Ok(BTreeSet::from([String::new()]))
            }
            _ => Err(found(first, ", expected: ',', ')' or identifier")),
        }
    }

    /// Values separated by commas; where none stands between two separators, the empty value.
    fn identifiers(&mut self) -> Result<BTreeSet<String>, String> {
        let mut values = BTreeSet::new();
        loop {
            match self.next() {
                (Token::Identifier, value) => {
                    values.insert(value.to_owned());
                    match self.peek() {
                        (Token::Comma, _) => {}
                        (Token::CloseParenthesis, _) => return Ok(values),
                        (_, word) => return Err(found(word, ", expected: ',' or ')'")),
                    }
                }
                (Token::Comma, _) => {
                    let next = self.peek().0;
                    if values.is_empty() || matches!(next, Token::Comma | Token::CloseParenthesis) {
                        values.insert(String::new());
                    }
                    if next == Token::CloseParenthesis {
                        return Ok(values);
                    }
                }
                (_, word) => return Err(found(word, ", expected: ',', or identifier")),
            }
        }
    }

    fn exact_value(&mut self) -> Result<BTreeSet<String>, String> {
        if matches!(self.peek().0, Token::End | Token::Comma) {
            return Ok(BTreeSet::from([String::new()]));
        }
        match self.next() {
            (Token::Identifier, value) => Ok(BTreeSet::from([value.to_owned()])),
            (_, word) => Err(found(word, ", expected: identifier")),
        }
    }
}

fn found(word: &str, expected: &str) -> String {
    format!("found '{word}'{expected}")
}

fn unexpected(word: &str, expected: &str) -> ParseError {
    ParseError::Unexpected(found(word, expected))
}

fn scan(text: &str) -> Vec<Item<'_>> {
    let mut rest = text;
    let mut items = Vec::new();
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\r', '\n']);
        let (item, length) = match rest.chars().next() {
            None => break,
            Some(c) if is_special(c) => scan_symbol(rest),
            Some(_) => scan_word(rest),
        };
        rest = &rest[length..];
        items.push(item);
    }
    items.push((Token::End, ""));
    items
}

fn scan_word(text: &str) -> (Item<'_>, usize) {
    let is_end = |c: char| is_special(c) || matches!(c, ' ' | '\t' | '\r' | '\n');
    let word = &text[..text.find(is_end).unwrap_or(text.len())];
    let token = match word {
        "in" => Token::In,
        "notin" => Token::NotIn,
        _ => Token::Identifier,
    };
    ((token, word), word.len())
}

/// Every single symbol is a token; of the pairs, `==` and `!=` are.
fn scan_symbol(text: &str) -> (Item<'_>, usize) {
    let symbols = [
        ("==", Token::DoubleEquals),
        ("!=", Token::NotEquals),
        ("=", Token::Equals),
        ("!", Token::Not),
        (">", Token::GreaterThan),
        ("<", Token::LessThan),
        ("(", Token::OpenParenthesis),
        (")", Token::CloseParenthesis),
        (",", Token::Comma),
    ];
    for (symbol, token) in symbols {
        if text.starts_with(symbol) {
            return ((token, symbol), symbol.len());
        }
    }
    // Not reached, since the first character is special; it would be refused.
    ((Token::Error, text), text.len())
}

fn is_special(c: char) -> bool {
    matches!(c, '=' | '!' | '(' | ')' | ',' | '>' | '<')
}
