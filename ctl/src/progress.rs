//! How far something is that takes long: on a terminal lines that are written anew in their place, and nothing elsewhere.

use std::fmt::Write;

use crate::{Error, Session};

/// What is seen of it.
#[derive(Debug)]
pub(crate) struct Progress {
    is_terminal: bool,
    /// The lines on the terminal that are to be written anew.
    lines: usize,
}

impl Progress {
    pub(crate) fn new(session: &Session<'_>) -> Progress {
        Progress { is_terminal: session.is_terminal(), lines: 0 }
    }

    /// Whether lines can be written anew.
    pub(crate) fn is_shown(&self) -> bool {
        self.is_terminal
    }

    /// Writes all lines anew.
    pub(crate) fn redraw(
        &mut self,
        session: &mut Session<'_>,
        lines: impl ExactSizeIterator<Item = String>,
    ) -> Result<(), Error> {
        if !self.is_terminal {
            return Ok(());
        }
        let count = lines.len();
        session.write(&redrawn(self.lines, lines))?;
        self.lines = count;
        session.flush()
    }

    /// Takes the lines away, so that something else can be said.
    pub(crate) fn clear(&mut self, session: &mut Session<'_>) -> Result<(), Error> {
        if self.lines == 0 {
            return Ok(());
        }
        session.write(&redrawn(std::mem::take(&mut self.lines), std::iter::empty()))?;
        session.flush()
    }
}

/// Lines in the place of so many that are on the terminal.
fn redrawn(before: usize, lines: impl Iterator<Item = String>) -> String {
    let (mut text, mut count) = (String::new(), 0);
    if before > 0 {
        // Writing to a string does not fail.
        let _ = write!(text, "\x1b[{before}A");
    }
    for line in lines {
        // A line that wraps would be two.
        let _ = writeln!(text, "\x1b[2K\x1b[?7l{line}\x1b[?7h");
        count += 1;
    }
    if count < before {
        text.push_str("\x1b[J");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_written_in_the_place_of_the_former_ones() {
        let lines = || ["a".to_owned(), "b".to_owned()].into_iter();
        assert_eq!(redrawn(0, lines()), "\x1b[2K\x1b[?7la\x1b[?7h\n\x1b[2K\x1b[?7lb\x1b[?7h\n");
        assert!(redrawn(2, lines()).starts_with("\x1b[2A\x1b[2K"));
        assert!(!redrawn(2, lines()).contains("\x1b[J"));
        assert!(redrawn(3, lines()).ends_with("\n\x1b[J"));
        assert_eq!(redrawn(1, std::iter::empty()), "\x1b[1A\x1b[J");
        assert_eq!(redrawn(0, std::iter::empty()), "");
    }
}
