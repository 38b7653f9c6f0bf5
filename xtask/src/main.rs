//! House checks, code generation, test images and release steps: `cargo xtask <command>`.

use std::process::ExitCode;

mod codegen;
mod images;
mod tidy;

const USAGE: &str = "usage: cargo xtask <tidy | codegen | images>";

fn main() -> ExitCode {
    let command = std::env::args().nth(1);
    let outcome = match command.as_deref() {
        Some("tidy") => tidy::run(),
        Some("codegen") => codegen::run(),
        Some("images") => images::run(),
        _ => Err(USAGE.to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            report(&message);
            ExitCode::FAILURE
        }
    }
}

#[allow(clippy::print_stderr, reason = "a command-line tool's errors go to standard error")]
fn report(message: &str) {
    eprintln!("{message}");
}
