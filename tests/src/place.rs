//! A network of a test's own, without anything else of a machine: a namespace that is held by a process, which ends with
//! whoever made it, even if that was killed.

use std::io::{BufRead, BufReader};
use std::os::fd::AsFd;
use std::panic::resume_unwind;
use std::process::{Child, Command, Stdio};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// A network. Dropping it removes it, and what is in it.
pub struct Place(Child);

impl Place {
    /// A network of nothing but the loopback device.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn new() -> Place {
        let mut command = Command::new("unshare");
        // It ends when its standard input does, which is when this process drops it or ends.
        command.args(["--net", "sh", "-c", "ip link set lo up && echo ready && exec cat >/dev/null"]);
        let mut holder = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("unshare is there");
        let mut line = String::new();
        let mut output = BufReader::new(holder.stdout.take().expect("it was piped"));
        output.read_line(&mut line).expect("it can be read");
        let place = Place(holder);
        assert_eq!(line.trim(), "ready", "a network cannot be made");
        place
    }

    /// The process that holds it.
    #[must_use]
    pub fn holder(&self) -> u32 {
        self.0.id()
    }

    /// A program that is to run in it.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg("--target").arg(self.holder().to_string()).args(["--net", "--"]).arg(program);
        command
    }

    /// Runs a program in it, which has to succeed.
    ///
    /// # Panics
    /// If it does not.
    pub fn run(&self, line: &str) {
        let mut words = line.split(' ');
        let mut command = self.command(words.next().unwrap_or_default());
        let output = command.args(words).stdin(Stdio::null()).output().expect("it can be run");
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Does something in it.
    ///
    /// # Panics
    /// If it does, or the network cannot be entered.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        within(self.holder(), work)
    }
}

impl Default for Place {
    fn default() -> Place {
        Place::new()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Has this thread be in the network of a process from now on.
pub(crate) fn enter(process: u32) -> std::io::Result<()> {
    let network = std::fs::File::open(format!("/proc/{process}/ns/net"))?;
    Ok(move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))?)
}

/// Does something in the network of a process, on a thread of its own.
pub(crate) fn within<T: Send>(process: u32, work: impl FnOnce() -> T + Send) -> T {
    let entered = || {
        enter(process).expect("root may enter a network");
        work()
    };
    std::thread::scope(|scope| scope.spawn(entered).join()).unwrap_or_else(|panic| resume_unwind(panic))
}
