//! What runs in the pods of tests: a server that tells who it is and does what it is told, by arguments or over HTTP.
//!
//! Arguments are actions, `name` or `name=value`, done in their order (`actions.rs` lists them). Over HTTP, `/do?name=value`
//! does the same, and `answers.rs` lists what else there is. One port serves HTTP/1 and the gRPC health protocol.
//!
//! It is linked statically and needs no file of its image. Names are looked up by it alone, as `/etc/resolv.conf` says: a
//! static C library cannot.

mod actions;
mod answers;
mod dial;
mod dns;
mod hammer;
mod health;
mod http;
mod signals;
mod state;

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

use state::State;

/// Where it listens unless it is told.
const PORT: u16 = 8080;

fn main() -> ExitCode {
    let state = Arc::new(State::default());
    signals::attend(&state);
    let mut listening = false;
    for argument in std::env::args().skip(1) {
        let (name, value) = argument.split_once('=').unwrap_or((&argument, ""));
        listening |= matches!(name, "listen" | "udp");
        if let Err(problem) = actions::act(&state, name, value) {
            say(&format!("{argument}: {problem}"));
            return ExitCode::from(2);
        }
    }
    if !listening && let Err(problem) = actions::act(&state, "listen", &PORT.to_string()) {
        say(&problem);
        return ExitCode::from(2);
    }
    loop {
        std::thread::park();
    }
}

/// Writes a line to standard output. Whoever does not read it does not need it.
fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}
