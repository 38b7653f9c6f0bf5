//! What Go's JSON reader says of text that is not JSON.
//!
//! Only asked once reading has failed: clients show these messages to people, who look them up.

/// The message for the first fault in the text, or nothing when Go would find none.
pub(super) fn syntax_error(text: &[u8]) -> Option<String> {
    let mut scanner = Scanner { text, at: 0 };
    scanner.document().err()
}

/// Nesting beyond this is refused before it could cost memory; upstream's own limit.
const MAX_DEPTH: usize = 10_000;

struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
}

/// What an open object or list waits for.
#[derive(Clone, Copy, PartialEq)]
enum Open {
    Object,
    List,
}

impl Scanner<'_> {
    fn document(&mut self) -> Result<(), String> {
        let mut open: Vec<Open> = Vec::new();
        loop {
            // At the start of a value.
            match self.next_token()? {
                b'{' => {
                    self.push(&mut open, Open::Object)?;
                    match self.next_token()? {
                        b'"' => {
                            self.string()?;
                            self.colon()?;
                            continue;
                        }
                        b'}' => {
                            open.pop();
                        }
                        other => return Err(invalid(other, "looking for beginning of object key string")),
                    }
                }
                b'[' => {
                    self.push(&mut open, Open::List)?;
                    if self.peek_token()? != b']' {
                        continue;
                    }
                    self.at += 1;
                    open.pop();
                }
                b'"' => self.string()?,
                b't' => self.literal("true")?,
                b'f' => self.literal("false")?,
                b'n' => self.literal("null")?,
                first @ (b'-' | b'0'..=b'9') => self.number(first)?,
                other => return Err(invalid(other, "looking for beginning of value")),
            }
            if self.after_value(&mut open)? {
                return Ok(());
            }
        }
    }

    /// Closes what ends after a value; answers whether the document does.
    fn after_value(&mut self, open: &mut Vec<Open>) -> Result<bool, String> {
        loop {
            let Some(innermost) = open.last().copied() else {
                self.skip_space();
                return match self.text.get(self.at) {
                    None => Ok(true),
                    Some(other) => Err(invalid(*other, "after top-level value")),
                };
            };
            match (innermost, self.next_token()?) {
                (Open::Object, b',') => {
                    match self.next_token()? {
                        b'"' => {}
                        other => return Err(invalid(other, "looking for beginning of object key string")),
                    }
                    self.string()?;
                    self.colon()?;
                    return Ok(false);
                }
                (Open::List, b',') => return Ok(false),
                (Open::Object, b'}') | (Open::List, b']') => {
                    open.pop();
                }
                (Open::Object, other) => return Err(invalid(other, "after object key:value pair")),
                (Open::List, other) => return Err(invalid(other, "after array element")),
            }
        }
    }

    fn push(&self, open: &mut Vec<Open>, what: Open) -> Result<(), String> {
        if open.len() >= MAX_DEPTH {
            return Err("exceeded max depth".to_owned());
        }
        open.push(what);
        Ok(())
    }

    fn colon(&mut self) -> Result<(), String> {
        match self.next_token()? {
            b':' => Ok(()),
            other => Err(invalid(other, "after object key")),
        }
    }

    /// The rest of a string whose opening quote has been read.
    fn string(&mut self) -> Result<(), String> {
        loop {
            match self.next()? {
                b'"' => return Ok(()),
                b'\\' => match self.next()? {
                    b'b' | b'f' | b'n' | b'r' | b't' | b'\\' | b'/' | b'"' => {}
                    b'u' => {
                        for _ in 0..4 {
                            let digit = self.next()?;
                            if !digit.is_ascii_hexdigit() {
                                return Err(invalid(digit, "in \\u hexadecimal character escape"));
                            }
                        }
                    }
                    other => return Err(invalid(other, "in string escape code")),
                },
                control @ 0..0x20 => return Err(invalid(control, "in string literal")),
                _ => {}
            }
        }
    }

    /// The rest of a word whose first letter has been read.
    fn literal(&mut self, word: &str) -> Result<(), String> {
        for expected in word.bytes().skip(1) {
            let found = self.next()?;
            if found != expected {
                return Err(invalid(found, &format!("in literal {word} (expecting {})", quote_char(expected))));
            }
        }
        Ok(())
    }

    /// The rest of a number whose first character has been read.
    fn number(&mut self, first: u8) -> Result<(), String> {
        let mut digit = first;
        if digit == b'-' {
            digit = self.next()?;
            if !digit.is_ascii_digit() {
                return Err(invalid(digit, "in numeric literal"));
            }
        }
        if digit != b'0' {
            self.digits();
        }
        if self.text.get(self.at) == Some(&b'.') {
            self.at += 1;
            let digit = self.next()?;
            if !digit.is_ascii_digit() {
                return Err(invalid(digit, "after decimal point in numeric literal"));
            }
            self.digits();
        }
        if matches!(self.text.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            let mut digit = self.next()?;
            if matches!(digit, b'+' | b'-') {
                digit = self.next()?;
            }
            if !digit.is_ascii_digit() {
                return Err(invalid(digit, "in exponent of numeric literal"));
            }
            self.digits();
        }
        Ok(())
    }

    fn digits(&mut self) {
        while self.text.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
    }

    fn next_token(&mut self) -> Result<u8, String> {
        self.skip_space();
        self.next()
    }

    fn peek_token(&mut self) -> Result<u8, String> {
        self.skip_space();
        self.text.get(self.at).copied().ok_or_else(end)
    }

    fn next(&mut self) -> Result<u8, String> {
        let found = self.text.get(self.at).copied().ok_or_else(end)?;
        self.at += 1;
        Ok(found)
    }

    fn skip_space(&mut self) {
        while matches!(self.text.get(self.at), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }
}

fn end() -> String {
    "unexpected end of JSON input".to_owned()
}

fn invalid(found: u8, context: &str) -> String {
    format!("invalid character {} {context}", quote_char(found))
}

/// A byte as Go quotes it: its reader sees bytes, and shows each as the character of that number.
fn quote_char(byte: u8) -> String {
    match byte {
        b'\'' => r"'\''".to_owned(),
        b'"' => "'\"'".to_owned(),
        _ => {
            let quoted = super::literals::quote(&char::from(byte).to_string());
            format!("'{}'", &quoted[1..quoted.len() - 1])
        }
    }
}
