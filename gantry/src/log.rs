//! What is logged, and where: lines on standard error.

use std::str::FromStr;

use tracing_subscriber::EnvFilter;

use crate::process;

/// Which events are logged, as `tracing-subscriber` reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Levels(String);

impl FromStr for Levels {
    type Err = String;

    fn from_str(text: &str) -> Result<Levels, String> {
        EnvFilter::try_new(text).map_err(|error| error.to_string())?;
        Ok(Levels(text.to_owned()))
    }
}

/// Begins to log. Once a process.
pub(crate) fn start(levels: &Levels) {
    let stderr = std::io::stderr;
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(&levels.0))
        .with_ansi(process::is_rich(&stderr()))
        .with_writer(stderr)
        .init();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_checked() {
        let check = |text: &str, good: bool| assert_eq!(text.parse::<Levels>().is_ok(), good, "{text}");
        check("info", true);
        check("warn,apiserver=debug", true);
        check("apiserver=loud", false);
        check("a=b=c", false);
    }
}
