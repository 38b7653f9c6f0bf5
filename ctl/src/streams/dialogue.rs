//! Somebody and a command in a container: input goes in, output comes out, and the terminal is the command's if it wants one.

use bytes::Bytes;
use tokio::sync::mpsc;

use super::remote::{Ended, Input, Output, Remote, Wanted, ended};
use crate::terminal::{self, Raw, Signals};
use crate::{Error, Session};

/// What somebody has asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dialogue {
    /// The path, with parameters.
    pub(crate) uri: String,
    pub(crate) wanted: Wanted,
    /// What is typed to leave a command that goes on; empty if there is no such thing.
    pub(crate) detach: Vec<u8>,
    /// Whether the command is to draw anew what it shows.
    pub(crate) redraw: bool,
}

/// Whether a terminal is to be had, and what is to be said if not.
pub(crate) fn can_be_raw(session: &mut Session<'_>, stdin: bool, tty: bool, quiet: bool) -> Result<bool, Error> {
    if !stdin || !tty {
        return Ok(false);
    }
    let is_terminal = terminal::is_terminal();
    if !is_terminal && !quiet {
        session.remark("Unable to use a TTY - input is not a terminal or the right kind of file")?;
    }
    Ok(is_terminal)
}

impl Dialogue {
    /// Holds it. Fails with the command's own exit code if it failed.
    pub(crate) async fn hold(self, session: &mut Session<'_>) -> Result<(), Error> {
        let client = session.client().await?;
        let is_raw = self.wanted.tty;
        let mut remote = Remote::begin(&client, &self.uri, self.wanted).await?;
        // Not before it runs: until then ^C ends what is waited for.
        let mut signals = if is_raw { Some(Signals::heed()?) } else { None };
        let raw = if is_raw { Some(Raw::begin()?) } else { None };
        if let (true, Some((columns, rows))) = (is_raw, terminal::size()) {
            if self.redraw {
                let _ = remote.input.send(Input::Size(columns.saturating_add(1), rows.saturating_add(1))).await;
            }
            let _ = remote.input.send(Input::Size(columns, rows)).await;
        }
        let (leave, mut left) = mpsc::channel(1);
        if self.wanted.stdin {
            let keys = Keys::new(if is_raw { self.detach } else { Vec::new() });
            tokio::spawn(pass_on(terminal::input()?, remote.input.clone(), keys, leave));
        }
        let mut status = None;
        let said = loop {
            tokio::select! {
                output = remote.next() => match output {
                    Some(Output::Stdout(bytes)) => {
                        session.write_bytes(&bytes)?;
                        session.flush()?;
                    }
                    Some(Output::Stderr(bytes)) => session.remark_bytes(&bytes)?,
                    Some(Output::Status(bytes)) => status = Some(bytes),
                    None => break ended(status.as_deref()),
                },
                Some(()) = left.recv() => break Ended::Well,
                signal = next(signals.as_mut()) => match signal {
                    Some(code) => return Err(Error::Exit(code)),
                    None => resize(&remote.input),
                },
            }
        };
        drop(raw);
        match said {
            Ended::Well => Ok(()),
            Ended::With(code) => {
                session.flush()?;
                session.remark(&format!("command terminated with exit code {code}"))?;
                Err(Error::Exit(code))
            }
            Ended::Badly(why) => Err(Error::said(why)),
        }
    }
}

async fn next(signals: Option<&mut Signals>) -> Option<u8> {
    match signals {
        Some(signals) => signals.next().await,
        None => std::future::pending().await,
    }
}

/// Says what size the terminal has now. If too much waits to be sent, the next change will say it.
fn resize(input: &mpsc::Sender<Input>) {
    if let Some((columns, rows)) = terminal::size() {
        let _ = input.try_send(Input::Size(columns, rows));
    }
}

/// Passes input on, until it ends or somebody leaves.
async fn pass_on(
    mut typed: mpsc::Receiver<Bytes>,
    input: mpsc::Sender<Input>,
    mut keys: Keys,
    leave: mpsc::Sender<()>,
) {
    while let Some(bytes) = typed.recv().await {
        let (bytes, leaves) = keys.filter(bytes);
        if !bytes.is_empty() && input.send(Input::Bytes(bytes)).await.is_err() {
            return;
        }
        if leaves {
            let _ = leave.try_send(());
            return;
        }
    }
    let _ = input.send(Input::End).await;
}

/// The keys by which somebody leaves, and how many of them have been typed.
#[derive(Clone, Debug)]
struct Keys {
    keys: Vec<u8>,
    typed: usize,
}

impl Keys {
    fn new(keys: Vec<u8>) -> Keys {
        Keys { keys, typed: 0 }
    }

    /// What of this is for the command, and whether somebody leaves. Keys that began the sequence and did not end it are held
    /// back until that is known.
    fn filter(&mut self, bytes: Bytes) -> (Bytes, bool) {
        if self.keys.is_empty() {
            return (bytes, false);
        }
        let mut rest = Vec::new();
        for byte in bytes {
            if self.keys.get(self.typed) != Some(&byte) && self.typed > 0 {
                rest.extend_from_slice(&self.keys[..self.typed]);
                self.typed = 0;
            }
            if self.keys.get(self.typed) == Some(&byte) {
                self.typed += 1;
            } else {
                rest.push(byte);
            }
            if self.typed == self.keys.len() {
                return (rest.into(), true);
            }
        }
        (rest.into(), false)
    }
}

/// Keys as they are named: `ctrl-p,ctrl-q`, or single characters.
pub(crate) fn keys(named: &str) -> Result<Vec<u8>, Error> {
    let key = |name: &str| match (name.strip_prefix("ctrl-"), name.as_bytes()) {
        (None, &[byte]) => Ok(byte),
        (Some(name), _) => match name.as_bytes() {
            [byte @ b'a'..=b'z'] => Ok(byte - b'a' + 1),
            [b'@'] => Ok(0),
            [byte @ (b'[' | b'\\' | b']' | b'^' | b'_')] => Ok(byte - b'[' + 27),
            _ => Err(Error::said(format!("could not bind detach keys: unknown character: 'ctrl-{name}'"))),
        },
        _ => Err(Error::said(format!("could not bind detach keys: unknown character: '{name}'"))),
    };
    named.split(',').map(key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_names() {
        assert_eq!(keys("ctrl-p,ctrl-q").unwrap(), [16, 17]);
        assert_eq!(keys("ctrl-@,ctrl-[,ctrl-_,x").unwrap(), [0, 27, 31, b'x']);
        let error = keys("ctrl-1").unwrap_err().to_string();
        assert_eq!(error, "error: could not bind detach keys: unknown character: 'ctrl-1'");
        assert!(keys("").is_err());
    }

    #[test]
    fn whoever_types_the_keys_leaves_and_nothing_else_is_lost() {
        let check = |pieces: &[&'static str], passed: &str, leaves: bool| {
            let mut keys = Keys::new(b"pq".to_vec());
            let mut all = Vec::new();
            let mut has_left = false;
            for piece in pieces {
                let (bytes, left) = keys.filter(Bytes::from_static(piece.as_bytes()));
                all.extend_from_slice(&bytes);
                has_left |= left;
            }
            assert_eq!((String::from_utf8(all).unwrap().as_str(), has_left), (passed, leaves), "{pieces:?}");
        };
        check(&["abc"], "abc", false);
        check(&["apqb"], "a", true);
        check(&["ap", "qb"], "a", true);
        check(&["ap", "b"], "apb", false);
        check(&["pp", "q"], "p", true);
        check(&["p"], "", false);
    }
}
