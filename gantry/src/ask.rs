//! `gantry VERB`: what people and scripts ask of a cluster. Here is only what a process has to do with it; the verbs are in the
//! crate `ctl`.

use std::io::{BufWriter, Write};
use std::process::ExitCode;

use ctl::plugins::Call;
use ctl::{Command, Completion, Error, Output, Session};

use crate::process;

/// Runs a verb to its end. Errors are in the words of the verb, which are kubectl's where the verb is.
pub(crate) fn run(command: Command) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            process::report(&format!("error: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let mut out = BufWriter::new(std::io::stdout());
    let is_terminal = process::is_rich(&std::io::stdout());
    let (mut err, mut input) = (std::io::stderr(), std::io::stdin());
    let output = Output { out: &mut out, err: &mut err, input: &mut input, is_terminal };
    let mut session = Session::new(command.connection().clone(), output);
    let result = runtime.block_on(command.run(&mut session));
    drop(session);
    let result = result.and_then(|()| Ok(out.flush()?));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read it has had enough.
        Err(Error::Io(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            let words = error.to_string();
            if !words.is_empty() {
                process::report(&words);
            }
            ExitCode::from(error.exit_code())
        }
    }
}

/// Becomes a plugin.
pub(crate) fn plugin(call: &Call) -> ExitCode {
    let error =
        std::os::unix::process::CommandExt::exec(std::process::Command::new(&call.plugin).args(&call.arguments));
    process::report(&format!("error: {}: {error}", call.plugin.display()));
    ExitCode::FAILURE
}

/// Says what can stand at the end of a line, for a shell. Nothing is said of errors: they would be in the middle of the line.
pub(crate) fn complete(program: clap::Command, words: &[String]) -> ExitCode {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return ExitCode::FAILURE;
    };
    let completion = Completion::of(program, words);
    let (mut out, mut err, mut input) = (std::io::sink(), std::io::sink(), std::io::empty());
    let output = Output { out: &mut out, err: &mut err, input: &mut input, is_terminal: false };
    let mut session = Session::new(completion.connection(), output);
    let offers = runtime.block_on(completion.offers(&mut session));
    drop(session);
    // A name that is still being resolved is not waited for.
    runtime.shutdown_background();
    let _ = write!(std::io::stdout(), "{offers}");
    ExitCode::SUCCESS
}
