//! A page of the docs as a test sees it: its fenced blocks in their order. Nothing that looks like a command or like output is
//! passed over: a block is run, compared, or says why not in a comment above it.

use std::path::Path;

/// Above commands that are not run, and output that is not compared: why not.
const NOT_RUN: &str = "<!-- not run: ";
/// Above what a file of the repository says: its path.
const FILE: &str = "<!-- file: ";
const END: &str = " -->";
/// As a line it stands for any number of lines, and within one for whatever is there.
const ANYTHING: &str = "...";

/// What a block is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// Commands, and what they say, if the page shows it.
    Run(Option<String>),
    /// Commands or output that cannot be tested, for this reason.
    Show(String),
    /// What this file says.
    File(String),
}

/// A fenced block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// The line that its fence is on.
    pub(crate) line: usize,
    /// What it is for.
    pub(crate) used: Use,
    /// What is in it.
    pub(crate) text: String,
}

/// The blocks of a page. Fails at the line where something is neither tested nor excused.
pub(crate) fn blocks(markdown: &str) -> Result<Vec<Block>, String> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut above = "";
    // Whether a block of output would belong to the last block.
    let mut follows = false;
    let mut lines = markdown.lines().zip(1..);
    while let Some((line, number)) = lines.next() {
        let Some(language) = line.strip_prefix("```") else {
            if !line.trim().is_empty() {
                (above, follows) = (line, line.starts_with("<!--") && follows);
            }
            continue;
        };
        let mut text = String::new();
        loop {
            match lines.next() {
                Some(("```", _)) => break,
                Some((line, _)) => text.extend([line, "\n"]),
                None => return Err(format!("line {number}: the block has no end")),
            }
        }
        let wrong = |what: &str| Err(format!("line {number}: {what}"));
        let excuse = above.strip_prefix(NOT_RUN).and_then(|rest| rest.strip_suffix(END));
        let file = above.strip_prefix(FILE).and_then(|rest| rest.strip_suffix(END));
        let used = match (language, excuse, file) {
            (_, None, Some(file)) => Use::File(file.to_owned()),
            ("sh" | "text", Some(why), None) => Use::Show(why.to_owned()),
            ("sh", None, None) => Use::Run(None),
            ("text", None, None) => {
                let last = blocks.last_mut().filter(|_| follows);
                let Some(Block { used: Use::Run(output @ None), .. }) = last else {
                    return wrong("output has to follow the commands that it is of");
                };
                *output = Some(text);
                (above, follows) = ("", false);
                continue;
            }
            _ => return wrong("what is neither sh nor text has to say by a comment above it which file it is"),
        };
        (above, follows) = ("", used == Use::Run(None));
        blocks.push(Block { line: number, used, text });
    }
    Ok(blocks)
}

/// Whether this is what a page shows. How many blanks are between words depends on what the words are, and is not looked at.
pub(crate) fn is_shown(shown: &str, found: &str) -> bool {
    let words = |text: &str| text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let (shown, found): (Vec<String>, Vec<String>) = (words(shown), words(found));
    lines_match(&shown, &found)
}

fn lines_match(shown: &[String], found: &[String]) -> bool {
    match shown {
        [] => found.is_empty(),
        [any, rest @ ..] if any == ANYTHING => (0..=found.len()).any(|at| lines_match(rest, &found[at..])),
        [line, rest @ ..] => {
            found.split_first().is_some_and(|(first, others)| line_matches(line, first) && lines_match(rest, others))
        }
    }
}

fn line_matches(shown: &str, found: &str) -> bool {
    let Some((begin, rest)) = shown.split_once(ANYTHING) else { return shown == found };
    let Some(mut found) = found.strip_prefix(begin) else { return false };
    let mut parts: Vec<&str> = rest.split(ANYTHING).collect();
    let end = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(at) = found.find(part) else { return false };
        found = &found[at + part.len()..];
    }
    found.ends_with(end)
}

/// The Markdown files that are tested: of the repository's root and of `docs`, by their paths from the root.
pub(crate) fn all(repository: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(repository.join("docs")).expect("docs are there").flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut pages: Vec<String> =
        names.filter(|name| name.ends_with(".md")).map(|name| format!("docs/{name}")).collect();
    pages.push("README.md".to_owned());
    pages.sort();
    pages
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(line: usize, used: Use, text: &str) -> Block {
        Block { line, used, text: text.to_owned() }
    }

    #[test]
    fn blocks_are_found() {
        let page = "# A\n```sh\nls\n```\n\n```text\na\n```\n<!-- not run: no network -->\n```sh\napt\n```\n\
                    <!-- file: a/b -->\n\n```yaml\na: b\n```\nwords\n\n```sh\nls\n```\n";
        let expected = [
            block(2, Use::Run(Some("a\n".to_owned())), "ls\n"),
            block(10, Use::Show("no network".to_owned()), "apt\n"),
            block(15, Use::File("a/b".to_owned()), "a: b\n"),
            block(20, Use::Run(None), "ls\n"),
        ];
        assert_eq!(blocks(page).unwrap(), expected);
    }

    #[test]
    fn nothing_is_passed_over() {
        let check = |page: &str, expected: &str| assert_eq!(blocks(page).unwrap_err(), expected);
        let orphan = "output has to follow the commands that it is of";
        check("```text\na\n```\n", &format!("line 1: {orphan}"));
        check("```sh\nls\n```\nThat says\n```text\na\n```\n", &format!("line 5: {orphan}"));
        check("```sh\nls\n```\n```text\na\n```\n```text\na\n```\n", &format!("line 7: {orphan}"));
        check("\n```sh\nls\n", "line 2: the block has no end");
        let file = "what is neither sh nor text has to say by a comment above it which file it is";
        check("```\nls\n```\n", &format!("line 1: {file}"));
        check("```yaml\na: b\n```\n", &format!("line 1: {file}"));
        check("<!-- not run: why -->\n```yaml\na: b\n```\n", &format!("line 2: {file}"));
    }

    #[test]
    fn output_is_compared() {
        let check = |shown: &str, found: &str, expected: bool| {
            assert_eq!(is_shown(shown, found), expected, "{shown:?} {found:?}");
        };
        check("a  b\n", "a b \n", true);
        check("a\n", "a\nb\n", false);
        check("a\n...\n", "a\nb\nc\n", true);
        check("...\nb\n...\n", "a\nb\nc\n", true);
        check("...\nd\n...\n", "a\nb\nc\n", false);
        check("...\n", "", true);
        check("web-...   1/1   Running\n", "web-5d-x   1/1   Running\n", true);
        check("web-...   1/1   Running\n", "web-5d-x   0/1   Running\n", false);
        check("a ... c ... e", "a b c d e", true);
        check("a ... c ... e", "a b d e", false);
        check("...", "a\nb", true);
        check("a ...", "a\n", false);
    }
}
