//! The format of logs, `<RFC 3339 time> stdout|stderr P|F <text>` for each line, and what is left of it when only some is
//! asked for. Pure.
//!
//! `P` marks a part of a line that goes on with the next one. Text is passed on as it comes in: no line is too long, and no
//! more than the head of a line is ever kept.

use jiff::Timestamp;

/// The most bytes that come before a line's text: a time, a stream and tags.
const HEAD: usize = 256;

/// Whose text is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Selected {
    /// Both streams', in the order in which the runtime wrote it down.
    #[default]
    All,
    /// Only what was written to the standard output.
    Stdout,
    /// Only what was written to the standard error output.
    Stderr,
}

/// What is asked for (`PodLogOptions`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Whether to go on until the container has ended.
    pub follow: bool,
    /// Only the last lines, this many.
    pub tail: Option<u64>,
    /// Only what was written at this time or later (`sinceTime`, or the time of now without `sinceSeconds`).
    pub since: Option<Timestamp>,
    /// Whether each line begins with its time.
    pub timestamps: bool,
    /// The most bytes.
    pub limit: Option<u64>,
    /// Whose.
    pub stream: Selected,
}

/// Takes a log as it is read, and gives what is asked for of it.
#[derive(Debug)]
pub(super) struct Decoder {
    since: Option<Timestamp>,
    timestamps: bool,
    stream: Selected,
    left: u64,
    state: State,
    /// Whether the text that comes next begins a line of the container's.
    begins_line: bool,
    /// Whether any line was in the format.
    understood: bool,
}

#[derive(Debug)]
enum State {
    /// In what comes before a line's text.
    Head(Vec<u8>),
    /// In a line's text.
    Text {
        /// Whether it is asked for.
        wanted: bool,
        /// Whether it goes on with the next line.
        partial: bool,
        /// Whether there was any yet.
        empty: bool,
    },
    /// In a line that is not in the format.
    Broken,
}

/// A line's head.
#[derive(Debug, PartialEq, Eq)]
struct Head<'a> {
    time: &'a str,
    at: Timestamp,
    stdout: bool,
    partial: bool,
}

/// A log that is in another format.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unsupported(pub(super) String);

impl Decoder {
    pub(super) fn new(options: &Options) -> Decoder {
        Decoder {
            since: options.since,
            timestamps: options.timestamps,
            stream: options.stream,
            left: options.limit.unwrap_or(u64::MAX),
            state: State::Head(Vec::new()),
            begins_line: true,
            understood: false,
        }
    }

    /// Whether as much was given as was asked for at most.
    pub(super) fn is_done(&self) -> bool {
        self.left == 0
    }

    /// What is read next comes from another file.
    pub(super) fn begin_file(&mut self) {
        self.state = State::Head(Vec::new());
    }

    /// Takes what was read, and adds what is asked for of it to `out`. A line in another format is passed over, unless it
    /// is the first.
    pub(super) fn take(&mut self, mut read: &[u8], out: &mut Vec<u8>) -> Result<(), Unsupported> {
        while !read.is_empty() && !self.is_done() {
            read = match &mut self.state {
                State::Head(_) => self.take_head(read, out)?,
                State::Text { .. } => self.take_text(read, out),
                State::Broken => match memchr(b'\n', read) {
                    Some(end) => {
                        self.state = State::Head(Vec::new());
                        &read[end + 1..]
                    }
                    None => &[],
                },
            };
        }
        Ok(())
    }

    fn take_head<'a>(&mut self, read: &'a [u8], out: &mut Vec<u8>) -> Result<&'a [u8], Unsupported> {
        let State::Head(head) = &mut self.state else { return Ok(read) };
        let mut spaces = head.iter().filter(|byte| **byte == b' ').count();
        for (index, byte) in read.iter().enumerate() {
            if *byte == b'\n' || head.len() == HEAD {
                let head = String::from_utf8_lossy(head).into_owned();
                if !self.understood {
                    return Err(Unsupported(head));
                }
                self.state = State::Broken;
                return Ok(&read[index..]);
            }
            head.push(*byte);
            spaces += usize::from(*byte == b' ');
            if spaces == 3 {
                let head = std::mem::take(head);
                self.begin_text(&head, out)?;
                return Ok(&read[index + 1..]);
            }
        }
        Ok(&[])
    }

    fn begin_text(&mut self, head: &[u8], out: &mut Vec<u8>) -> Result<(), Unsupported> {
        let Some(parsed) = std::str::from_utf8(head).ok().and_then(parse_head) else {
            if !self.understood {
                return Err(Unsupported(String::from_utf8_lossy(head).into_owned()));
            }
            self.state = State::Broken;
            return Ok(());
        };
        self.understood = true;
        let selected = match self.stream {
            Selected::All => true,
            Selected::Stdout => parsed.stdout,
            Selected::Stderr => !parsed.stdout,
        };
        let wanted = selected && self.since.is_none_or(|since| parsed.at >= since);
        if wanted && self.timestamps && self.begins_line {
            let mut time = in_nanoseconds(parsed.time);
            time.push(' ');
            self.give(time.as_bytes(), out);
        }
        self.state = State::Text { wanted, partial: parsed.partial, empty: true };
        Ok(())
    }

    fn take_text<'a>(&mut self, read: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
        let State::Text { wanted, partial, empty } = &mut self.state else { return read };
        let (wanted, partial) = (*wanted, *partial);
        let Some(end) = memchr(b'\n', read) else {
            *empty = false;
            if wanted {
                self.give(read, out);
            }
            return &[];
        };
        let text = &read[..end + usize::from(!partial)];
        // As upstream has it, a part without any text ends its line.
        self.begins_line = !partial || (*empty && text.is_empty());
        if wanted {
            self.give(text, out);
        }
        self.state = State::Head(Vec::new());
        &read[end + 1..]
    }

    fn give(&mut self, text: &[u8], out: &mut Vec<u8>) {
        let length = usize::try_from(self.left).map_or(text.len(), |left| text.len().min(left));
        out.extend_from_slice(&text[..length]);
        self.left -= length as u64;
    }
}

fn memchr(byte: u8, text: &[u8]) -> Option<usize> {
    text.iter().position(|other| *other == byte)
}

fn parse_head(head: &str) -> Option<Head<'_>> {
    let mut words = head.split(' ');
    let (time, stream, tags) = (words.next()?, words.next()?, words.next()?);
    let at = time.parse().ok()?;
    let stdout = match stream {
        "stdout" => true,
        "stderr" => false,
        _ => return None,
    };
    // More tags may come to be, behind colons.
    let partial = tags.split(':').next() == Some("P");
    Some(Head { time, at, stdout, partial })
}

/// A time with nine digits of fractions of seconds, so that all are of the same length.
fn in_nanoseconds(time: &str) -> String {
    let seconds_end = time.find(['.', ',']).or_else(|| time.get(10..)?.find(['Z', 'z', '+', '-']).map(|at| at + 10));
    let (seconds, rest) = time.split_at(seconds_end.unwrap_or(time.len()));
    let rest = rest.strip_prefix(['.', ',']).unwrap_or(rest);
    let (digits, zone) = rest.split_at(rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len()));
    format!("{seconds}.{:0<9.9}{zone}", digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "2026-03-01T12:00:00.1Z stdout F one\n\
        2026-03-01T12:00:01.25+00:00 stderr F two\n\
        2026-03-01T12:00:02.123456789Z stdout P th\n\
        2026-03-01T12:00:03Z stdout F ree\n\
        2026-03-01T12:00:04Z stdout F \n\
        2026-03-01T12:00:05Z stdout F:x last one\n";

    /// Decodes a log in pieces of any size, and always gets the same.
    fn check(log: &str, options: &Options, expected: Result<&str, &str>) {
        for size in [1, 2, 3, 7, 64, log.len().max(1)] {
            let mut decoder = Decoder::new(options);
            let mut out = Vec::new();
            let result = log.as_bytes().chunks(size).try_for_each(|piece| decoder.take(piece, &mut out));
            let result = result.map(|()| String::from_utf8(out).unwrap()).map_err(|error| error.0);
            assert_eq!(result, expected.map(str::to_owned).map_err(str::to_owned), "in pieces of {size}: {options:?}");
        }
    }

    #[test]
    fn text_is_what_the_container_wrote() {
        let with = |change: fn(&mut Options)| {
            let mut options = Options::default();
            change(&mut options);
            options
        };
        check(LOG, &Options::default(), Ok("one\ntwo\nthree\n\nlast one\n"));
        check(LOG, &with(|options| options.stream = Selected::Stderr), Ok("two\n"));
        check(LOG, &with(|options| options.stream = Selected::Stdout), Ok("one\nthree\n\nlast one\n"));
        check(LOG, &with(|options| options.since = "2026-03-01T12:00:02.2Z".parse().ok()), Ok("ree\n\nlast one\n"));
        check(LOG, &with(|options| options.since = "2026-03-01T13:00:05+01:00".parse().ok()), Ok("last one\n"));
        check(LOG, &with(|options| options.limit = Some(10)), Ok("one\ntwo\nth"));
        check(
            LOG,
            &with(|options| options.timestamps = true),
            Ok("2026-03-01T12:00:00.100000000Z one\n2026-03-01T12:00:01.250000000+00:00 two\n\
                2026-03-01T12:00:02.123456789Z three\n2026-03-01T12:00:04.000000000Z \n\
                2026-03-01T12:00:05.000000000Z last one\n"),
        );
        let both = with(|options| (options.timestamps, options.limit) = (true, Some(35)));
        check(LOG, &both, Ok("2026-03-01T12:00:00.100000000Z one\n"));
        check("", &Options::default(), Ok(""));
        check("2026-03-01T12:00:00Z stdout F unended", &Options::default(), Ok("unended"));
        check("2026-03-01T12:00:00Z stdo", &Options::default(), Ok(""));
    }

    #[test]
    fn what_is_broken_is_passed_over_unless_all_is() {
        let broken = "2026-03-01T12:00:00Z stdout F one\n\nrubbish\n2026-03-01T12:00:00Z stdin F x\n";
        let log = format!("{broken}{}\n{} F \n2026-03-01T12:00:00Z stdout F two\n", "x".repeat(1000), "y ".repeat(999));
        check(&log, &Options::default(), Ok("one\ntwo\n"));
        check("{\"log\":\"json\"}\n", &Options::default(), Err("{\"log\":\"json\"}"));
        check("yesterday stdout F x\n", &Options::default(), Err("yesterday stdout F "));
        check("\n", &Options::default(), Err(""));
    }

    #[test]
    fn a_part_without_text_ends_its_line_as_upstream_has_it() {
        let log = "2026-03-01T12:00:00Z stdout P \n2026-03-01T12:00:01Z stdout F x\n";
        let options = Options { timestamps: true, ..Options::default() };
        check(log, &options, Ok("2026-03-01T12:00:00.000000000Z 2026-03-01T12:00:01.000000000Z x\n"));
    }

    #[test]
    fn times_get_nine_digits() {
        for (time, expected) in [
            ("2026-03-01T12:00:00Z", "2026-03-01T12:00:00.000000000Z"),
            ("2026-03-01T12:00:00-07:00", "2026-03-01T12:00:00.000000000-07:00"),
            ("2026-03-01T12:00:00.5+02:00", "2026-03-01T12:00:00.500000000+02:00"),
            ("2026-03-01T12:00:00.123456789Z", "2026-03-01T12:00:00.123456789Z"),
        ] {
            assert_eq!(in_nanoseconds(time), expected);
        }
    }
}
