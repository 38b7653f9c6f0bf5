//! What it can be told to do.
//!
//! | action | what it does |
//! | --- | --- |
//! | `listen=PORT`, `udp=PORT` | serves HTTP and gRPC health; sends back what it gets |
//! | `ready=false`, `live=false`, `started=false` | fails probes; `true` lets them succeed |
//! | `ignore-term`, `term-takes=SECONDS` | ignores SIGTERM; takes a while to end |
//! | `exit=CODE`, `exit-after=SECONDS:CODE` | ends, at once or later |
//! | `delay=SECONDS` | waits before the next action |
//! | `memory=MIB`, `cpu=THREADS`, `disk=PATH:MIB` | uses memory, processors, or a file |
//! | `fork` | forks without end |
//! | `say=TEXT`, `complain=TEXT` | writes a line to standard output or standard error |
//! | `stdout=BYTES` | writes so many bytes a second to standard output, in lines |
//! | `message=TEXT` | writes a termination message, to `TERMINATION_LOG` or `/dev/termination-log` |
//! | `crash` | ends by SIGSEGV |
//! | `hammer=URL` | asks it again and again and counts the answers; stops if there is no URL |

use std::io::{self, Write};
use std::net::{TcpListener, UdpSocket};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::state::State;
use crate::{http, say};

/// What a line of `stdout=` is made of, its end included.
const LINE: usize = 100;
/// How many of them are written at once, at most.
const LINES: usize = 500;
/// How many times a second `stdout=` writes.
const TICKS: u64 = 20;

/// Does something. What goes on does so in a thread of its own. Fails if there is no such action, or if it cannot be done.
pub(crate) fn act(state: &Arc<State>, name: &str, value: &str) -> Result<(), String> {
    match name {
        "listen" => listen(state, number(value)?),
        "udp" => echo(number(value)?),
        "ready" => flag(&state.ready, value),
        "live" => flag(&state.live, value),
        "started" => flag(&state.started, value),
        "ignore-term" => flag(&state.ignores_term, value),
        "term-takes" => number(value).map(|seconds| state.term_takes.store(seconds, Ordering::Relaxed)),
        "exit" => std::process::exit(number(value)?),
        "exit-after" => exit_after(value),
        "delay" => number(value).map(|seconds| std::thread::sleep(Duration::from_secs(seconds))),
        "memory" => number(value).and_then(use_memory),
        "cpu" => number(value).map(use_processors),
        "disk" => fill_disk(value),
        "fork" => fork(),
        "say" => {
            say(value);
            Ok(())
        }
        "complain" => writeln!(io::stderr(), "{value}").map_err(|error| error.to_string()),
        "stdout" => number(value).map(write_on),
        "message" => leave_message(value),
        "crash" => std::process::abort(),
        "hammer" => {
            state.hammer.swing(value);
            Ok(())
        }
        _ => Err("there is no such action".to_owned()),
    }
}

fn number<T: std::str::FromStr>(value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("{value:?} is no number that fits"))
}

/// Nothing means yes.
fn flag(flag: &std::sync::atomic::AtomicBool, value: &str) -> Result<(), String> {
    let value = match value {
        "" | "true" => true,
        "false" => false,
        _ => return Err(format!("{value:?} is neither true nor false")),
    };
    flag.store(value, Ordering::Relaxed);
    Ok(())
}

fn listen(state: &Arc<State>, port: u16) -> Result<(), String> {
    // Both families, where there are two.
    let listener = TcpListener::bind(("::", port)).or_else(|_| TcpListener::bind(("0.0.0.0", port)));
    let listener = listener.map_err(|error| format!("port {port}: {error}"))?;
    say(&format!("listens on port {port}"));
    let state = Arc::clone(state);
    std::thread::spawn(move || http::serve(&state, &listener));
    Ok(())
}

fn echo(port: u16) -> Result<(), String> {
    let socket = UdpSocket::bind(("::", port)).or_else(|_| UdpSocket::bind(("0.0.0.0", port)));
    let socket = socket.map_err(|error| format!("port {port}: {error}"))?;
    std::thread::spawn(move || {
        let mut buffer = [0; 65_536];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(&buffer[..length], from);
        }
    });
    Ok(())
}

fn exit_after(value: &str) -> Result<(), String> {
    let (seconds, code) = value.split_once(':').ok_or("is written SECONDS:CODE")?;
    let (seconds, code): (u64, i32) = (number(seconds)?, number(code)?);
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(seconds));
        std::process::exit(code);
    });
    Ok(())
}

/// Has memory and touches it, so that it counts.
fn use_memory(mebibytes: usize) -> Result<(), String> {
    let bytes = mebibytes.checked_mul(1 << 20).ok_or("is more than there can be")?;
    let mut memory = Vec::new();
    memory.try_reserve_exact(bytes).map_err(|error| error.to_string())?;
    // Not zero, which the allocator would get from the kernel untouched.
    memory.resize(bytes, 1_u8);
    std::mem::forget(memory);
    Ok(())
}

fn use_processors(threads: usize) {
    for _ in 0..threads {
        std::thread::spawn(|| {
            loop {
                std::hint::spin_loop();
            }
        });
    }
}

fn fill_disk(value: &str) -> Result<(), String> {
    let (path, mebibytes) = value.rsplit_once(':').ok_or("is written PATH:MIB")?;
    let mebibytes: u64 = number(mebibytes)?;
    let mut file = std::fs::File::create(path).map_err(|error| format!("{path}: {error}"))?;
    let block = vec![1; 1 << 20];
    for _ in 0..mebibytes {
        file.write_all(&block).map_err(|error| format!("{path}: {error}"))?;
    }
    file.sync_all().map_err(|error| format!("{path}: {error}"))
}

/// Runs itself again, which does the same, and again as soon as that fails.
fn fork() -> Result<(), String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    std::thread::spawn(move || {
        loop {
            let mut command = Command::new(&program);
            let child = command.args(["listen=0", "fork"]).stdin(Stdio::null()).stdout(Stdio::null()).spawn();
            if child.is_err() {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    });
    Ok(())
}

/// Writes lines at a steady rate, or as fast as they are taken.
fn write_on(bytes_per_second: u64) {
    std::thread::spawn(move || {
        let mut line = vec![b'x'; LINE - 1];
        line.push(b'\n');
        let lines = line.repeat(LINES);
        let began = Instant::now();
        let mut written = 0;
        loop {
            let elapsed = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            let mut due = (bytes_per_second.saturating_mul(elapsed) / 1000).saturating_sub(written);
            while due >= LINE as u64 {
                let length = usize::try_from(due).unwrap_or(usize::MAX).min(lines.len()) / LINE * LINE;
                if io::stdout().write_all(&lines[..length]).is_err() {
                    return;
                }
                written += length as u64;
                due -= length as u64;
            }
            std::thread::sleep(Duration::from_millis(1000 / TICKS));
        }
    });
}

fn leave_message(text: &str) -> Result<(), String> {
    let path = std::env::var("TERMINATION_LOG").unwrap_or_else(|_| "/dev/termination-log".to_owned());
    std::fs::write(&path, text).map_err(|error| format!("{path}: {error}"))
}
