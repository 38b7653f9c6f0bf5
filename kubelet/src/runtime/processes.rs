//! Processes of a former life: they are known by what they were started with, and ended.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// How long a process that was killed may take until it is gone.
const GONE: Duration = Duration::from_secs(10);

/// The processes of a program that were given `option` with this path.
pub(super) fn with_option(program: &str, option: &str, path: &Path) -> Vec<i32> {
    let Ok(all) = procfs::process::all_processes() else { return Vec::new() };
    let processes = all.filter_map(Result::ok).map(|process| process.pid);
    processes.filter(|pid| was_started_with(*pid, program, option, path)).collect()
}

fn was_started_with(pid: i32, program: &str, option: &str, path: &Path) -> bool {
    let command = procfs::process::Process::new(pid).and_then(|process| process.cmdline()).unwrap_or_default();
    let named = command.first().is_some_and(|first| Path::new(first).file_name().is_some_and(|name| name == program));
    named && command.windows(2).any(|pair| pair[0] == option && Path::new(&pair[1]) == path)
}

/// Ends those processes: tells them to, and kills what is still there after `patience`. Says how many there were.
pub(super) async fn end(program: &str, option: &str, path: &Path, patience: Duration) -> io::Result<usize> {
    let mut ended = 0;
    for pid in with_option(program, option, path) {
        let Some(process) = Pid::from_raw(pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()) else {
            continue;
        };
        // Its number may have become somebody else's before it was held fast.
        if was_started_with(pid, program, option, path) {
            end_one(process, patience).await?;
            ended += 1;
        }
    }
    Ok(ended)
}

async fn end_one(process: OwnedFd, patience: Duration) -> io::Result<()> {
    // One that has ended already has ended.
    let _ = pidfd_send_signal(&process, Signal::TERM);
    let (process, ended) = wait(process, patience).await?;
    if ended {
        return Ok(());
    }
    let _ = pidfd_send_signal(&process, Signal::KILL);
    match wait(process, GONE).await? {
        (_, true) => Ok(()),
        _ => Err(io::Error::new(io::ErrorKind::TimedOut, "a process does not end although it was killed")),
    }
}

/// Whether a process ends within a time. It need not be our child.
async fn wait(process: OwnedFd, most: Duration) -> io::Result<(OwnedFd, bool)> {
    let waiting = tokio::task::spawn_blocking(move || {
        let deadline = std::time::Instant::now() + most;
        loop {
            let left = deadline.saturating_duration_since(std::time::Instant::now());
            // No wait here is longer than a kernel can count.
            let left = Timespec::try_from(left).unwrap_or_default();
            match poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&left)) {
                Ok(ended) => return Ok((process, ended > 0)),
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    });
    waiting.await.map_err(io::Error::other)?
}
