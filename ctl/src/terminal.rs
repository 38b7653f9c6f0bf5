//! The terminal that somebody sits at: raw while a command in a container has it, and as it was before afterwards, however
//! that ended, unless the process is killed without being asked.

use std::io;

use bytes::Bytes;
use rustix::stdio::stdin;
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

/// How much is read at once.
const PIECE: usize = 32 << 10;
/// How many pieces may wait.
const WAITING: usize = 4;

/// Whether input is from a terminal.
pub(crate) fn is_terminal() -> bool {
    isatty(stdin())
}

/// Standard input's terminal, raw: what is typed is passed on as it is, ^C too. Dropping it restores what was before.
pub(crate) struct Raw {
    before: Termios,
}

impl Raw {
    /// Makes it raw.
    pub(crate) fn begin() -> io::Result<Raw> {
        let before = tcgetattr(stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdin(), OptionalActions::Drain, &raw)?;
        Ok(Raw { before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // If it has gone away there is nothing to restore.
        let _ = tcsetattr(stdin(), OptionalActions::Drain, &self.before);
    }
}

/// How many columns and rows the terminal has.
pub(crate) fn size() -> Option<(u16, u16)> {
    let size = tcgetwinsize(stdin()).ok()?;
    Some((size.ws_col, size.ws_row))
}

/// Standard input, piece by piece, until it ends.
///
/// A thread reads it, which nobody waits for: what is typed next may be for somebody else.
pub(crate) fn input() -> io::Result<mpsc::Receiver<Bytes>> {
    let (sender, receiver) = mpsc::channel(WAITING);
    let read = move || {
        let mut buffer = vec![0; PIECE];
        loop {
            match rustix::io::read(stdin(), &mut buffer) {
                Ok(size) if size > 0 => {
                    if sender.blocking_send(Bytes::copy_from_slice(&buffer[..size])).is_err() {
                        return;
                    }
                }
                Err(rustix::io::Errno::INTR) => {}
                Ok(_) | Err(_) => return,
            }
        }
    };
    std::thread::Builder::new().name("input".to_owned()).spawn(read)?;
    Ok(receiver)
}

/// The signals that matter while the terminal is raw.
pub(crate) struct Signals {
    resized: Signal,
    ends: [(u8, Signal); 4],
}

impl Signals {
    /// Heeds them from now on.
    pub(crate) fn heed() -> io::Result<Signals> {
        let end = |kind: SignalKind, number| Ok::<_, io::Error>((number, signal(kind)?));
        let ends = [
            end(SignalKind::hangup(), 1)?,
            end(SignalKind::interrupt(), 2)?,
            end(SignalKind::quit(), 3)?,
            end(SignalKind::terminate(), 15)?,
        ];
        Ok(Signals { resized: signal(SignalKind::window_change())?, ends })
    }

    /// The exit code of a process that such a signal ends, when one comes. None if the terminal has another size now.
    pub(crate) async fn next(&mut self) -> Option<u8> {
        let [hangup, interrupt, quit, terminate] = &mut self.ends;
        let number = tokio::select! {
            _ = self.resized.recv() => return None,
            _ = hangup.1.recv() => hangup.0,
            _ = interrupt.1.recv() => interrupt.0,
            _ = quit.1.recv() => quit.0,
            _ = terminate.1.recv() => terminate.0,
        };
        Some(128 + number)
    }
}
