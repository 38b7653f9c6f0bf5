//! The options of upstream's API server that say what is written to the audit log, and how.
//!
//! What always holds: they have upstream's names and defaults, but for the mode, as no disk is to hold requests up unless that is
//! asked for (see `apiserver::audit`); and what would have no effect is refused.

use std::path::PathBuf;
use std::time::Duration;

use apiserver::audit::{Batch, Format, LogOptions, Mode, Options, Rotation, Throttle, Truncate};
use clap::{Args, ValueEnum};

use crate::controller_manager::duration;

/// The most events that a queue may be asked to hold: its places are made at the start.
const MAX_EVENTS: u64 = 1_000_000;

/// What is written, and how.
#[derive(Clone, Debug, Args)]
pub(crate) struct Audit {
    /// The policy that says what is written to the audit log, of audit.k8s.io/v1.
    #[arg(long, value_name = "FILE", requires = "audit_log_path")]
    audit_policy_file: Option<PathBuf>,
    /// The audit log; - is the standard output.
    #[arg(long, value_name = "FILE")]
    audit_log_path: Option<PathBuf>,
    /// How it is written: as JSON, or as text with less in it.
    #[arg(long, value_enum, default_value_t = Lines::Json, requires = "audit_log_path")]
    audit_log_format: Lines,
    /// In which version events are written.
    #[arg(long, value_name = "VERSION", value_parser = ["audit.k8s.io/v1"], default_value = "audit.k8s.io/v1")]
    #[arg(requires = "audit_log_path")]
    audit_log_version: String,
    /// How many megabytes the audit log may have before it is put aside; 0 is 100.
    #[arg(long, value_name = "MB", default_value_t = 0, requires = "audit_log_path")]
    audit_log_maxsize: u64,
    /// How many audit logs that were put aside are kept; 0 is all.
    #[arg(long, value_name = "N", default_value_t = 0, requires = "audit_log_path")]
    audit_log_maxbackup: usize,
    /// How many days audit logs that were put aside are kept; 0 is forever.
    #[arg(long, value_name = "DAYS", default_value_t = 0, requires = "audit_log_path")]
    audit_log_maxage: u32,
    /// Compresses audit logs that are put aside.
    #[arg(long, requires = "audit_log_path")]
    audit_log_compress: bool,
    /// Whether requests wait for what is written of them: batch, and they do not; blocking, and they do; blocking-strict, and they
    /// fail if it cannot be written that they came. Upstream's default is blocking.
    #[arg(long, value_enum, default_value_t = Waits::Batch, requires = "audit_log_path")]
    audit_log_mode: Waits,
    /// How many events may wait to be written; what finds no room is lost [default: 10000].
    #[arg(long, value_name = "N", value_parser = number(MAX_EVENTS), requires = "audit_log_path")]
    audit_log_batch_buffer_size: Option<u64>,
    /// How many events are written at once [default: 1].
    #[arg(long, value_name = "N", value_parser = number(MAX_EVENTS), requires = "audit_log_path")]
    audit_log_batch_max_size: Option<u64>,
    /// How long an event waits for others to be written with it [default: 0s].
    #[arg(long, value_name = "TIME", value_parser = duration, requires = "audit_log_batch_max_size")]
    audit_log_batch_max_wait: Option<Duration>,
    /// Limits how often something is written.
    #[arg(long, requires_all = ["audit_log_path", "audit_log_batch_throttle_qps", "audit_log_batch_throttle_burst"])]
    audit_log_batch_throttle_enable: bool,
    /// How many times a second something is written, in the long run.
    #[arg(long, value_name = "N", value_parser = rate, requires = "audit_log_batch_throttle_enable")]
    audit_log_batch_throttle_qps: Option<f32>,
    /// How many times in a row something is written.
    #[arg(long, value_name = "N", value_parser = number(u32::MAX.into()), requires = "audit_log_batch_throttle_enable")]
    audit_log_batch_throttle_burst: Option<u64>,
    /// Limits how large events may be.
    #[arg(long, requires = "audit_log_path")]
    audit_log_truncate_enabled: bool,
    /// How many bytes are written at once, unless one event has more [default: 10485760].
    #[arg(long, value_name = "BYTES", value_parser = number(u64::MAX), requires = "audit_log_truncate_enabled")]
    audit_log_truncate_max_batch_size: Option<u64>,
    /// From how many bytes on an event goes without what was sent and answered, and, if that is not enough, is lost
    /// [default: 102400].
    #[arg(long, value_name = "BYTES", value_parser = number(u64::MAX), requires = "audit_log_truncate_enabled")]
    audit_log_truncate_max_event_size: Option<u64>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Lines {
    Json,
    Legacy,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Waits {
    Batch,
    Blocking,
    BlockingStrict,
}

/// Reads a number from 1 up to `most`.
fn number(most: u64) -> clap::builder::RangedU64ValueParser {
    clap::value_parser!(u64).range(1..=most)
}

fn rate(text: &str) -> Result<f32, String> {
    let rate: f32 = text.parse().map_err(|_| "it is not a number".to_owned())?;
    if rate.is_finite() && rate > 0.0 { Ok(rate) } else { Err("it must be a positive number".to_owned()) }
}

fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

impl Audit {
    /// What they say. Fails in words that name those that make no sense together.
    pub(crate) fn options(self) -> Result<Options, String> {
        let mode = match self.audit_log_mode {
            Waits::Batch => Mode::Batch,
            Waits::Blocking => Mode::Blocking,
            Waits::BlockingStrict => Mode::BlockingStrict,
        };
        let (batch, truncate) = (self.batch(mode)?, self.truncate()?);
        let rotation = Rotation {
            max_size: self.audit_log_maxsize,
            max_backup: self.audit_log_maxbackup,
            max_age: self.audit_log_maxage,
            compress: self.audit_log_compress,
        };
        let format = match self.audit_log_format {
            Lines::Json => Format::Json,
            Lines::Legacy => Format::Legacy,
        };
        let log = self.audit_log_path.map(|path| LogOptions { path, rotation, format, mode, batch, truncate });
        Ok(Options { policy_file: self.audit_policy_file, log })
    }

    fn batch(&self, mode: Mode) -> Result<Batch, String> {
        let named = [
            ("buffer-size", self.audit_log_batch_buffer_size.is_some()),
            ("max-size", self.audit_log_batch_max_size.is_some()),
            ("throttle-enable", self.audit_log_batch_throttle_enable),
        ];
        if let Some((name, _)) = named.into_iter().find(|(_, is_named)| *is_named && mode != Mode::Batch) {
            return Err(format!("--audit-log-batch-{name} has no effect: --audit-log-mode is not batch"));
        }
        let none = Batch::default();
        let throttle = self.audit_log_batch_throttle_qps.zip(self.audit_log_batch_throttle_burst);
        Ok(Batch {
            buffer_size: self.audit_log_batch_buffer_size.map_or(none.buffer_size, size),
            max_size: self.audit_log_batch_max_size.map_or(none.max_size, size),
            max_wait: self.audit_log_batch_max_wait.unwrap_or(none.max_wait),
            throttle: throttle.map(|(qps, burst)| Throttle { qps, burst: u32::try_from(burst).unwrap_or(u32::MAX) }),
        })
    }

    fn truncate(&self) -> Result<Option<Truncate>, String> {
        let none = Truncate::default();
        let max_batch_size = self.audit_log_truncate_max_batch_size.map_or(none.max_batch_size, size);
        let max_event_size = self.audit_log_truncate_max_event_size.map_or(none.max_event_size, size);
        if max_batch_size < max_event_size {
            return Err(format!(
                "--audit-log-truncate-max-batch-size is {max_batch_size}, and must not be less than \
                 --audit-log-truncate-max-event-size, which is {max_event_size}"
            ));
        }
        Ok(self.audit_log_truncate_enabled.then_some(Truncate { max_batch_size, max_event_size }))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        audit: Audit,
    }

    fn parse(line: &str) -> Result<Options, String> {
        let line = Line::try_parse_from(line.split(' ')).map_err(|error| error.to_string())?;
        line.audit.options()
    }

    #[test]
    fn options_are_upstreams() {
        assert_eq!(parse("x"), Ok(Options::default()));
        let log = |log| Ok(Options { policy_file: None, log: Some(log) });
        let least = LogOptions { path: "a.log".into(), ..LogOptions::default() };
        assert_eq!(parse("x --audit-log-path a.log"), log(least.clone()));
        let line = "x --audit-log-path a.log --audit-log-format legacy --audit-log-version audit.k8s.io/v1 \
                    --audit-log-maxsize 1 --audit-log-maxbackup 2 --audit-log-maxage 3 --audit-log-compress \
                    --audit-log-mode blocking-strict --audit-log-truncate-enabled";
        let expected = LogOptions {
            rotation: Rotation { max_size: 1, max_backup: 2, max_age: 3, compress: true },
            format: Format::Legacy,
            mode: Mode::BlockingStrict,
            truncate: Some(Truncate { max_batch_size: 10_485_760, max_event_size: 102_400 }),
            ..least.clone()
        };
        assert_eq!(parse(line), log(expected));
        let line = "x --audit-log-path - --audit-policy-file p --audit-log-batch-buffer-size 5 --audit-log-batch-max-size 4 \
                    --audit-log-batch-max-wait 1m30s --audit-log-batch-throttle-enable --audit-log-batch-throttle-qps 2.5 \
                    --audit-log-batch-throttle-burst 6 --audit-log-truncate-enabled \
                    --audit-log-truncate-max-batch-size 8 --audit-log-truncate-max-event-size 7";
        let throttle = Some(Throttle { qps: 2.5, burst: 6 });
        let expected = LogOptions {
            path: "-".into(),
            batch: Batch { buffer_size: 5, max_size: 4, max_wait: Duration::from_secs(90), throttle },
            truncate: Some(Truncate { max_batch_size: 8, max_event_size: 7 }),
            ..LogOptions::default()
        };
        assert_eq!(parse(line), Ok(Options { policy_file: Some("p".into()), log: Some(expected) }));
        assert_eq!(parse("x --audit-log-path a.log --audit-log-mode batch"), log(least));
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        let check = |options: &str, named: &str| {
            let error = parse(&format!("x {options}")).unwrap_err();
            assert!(error.contains(named), "{options}: {error}");
        };
        for option in [
            "--audit-policy-file p",
            "--audit-log-format json",
            "--audit-log-version audit.k8s.io/v1",
            "--audit-log-maxsize 1",
            "--audit-log-maxbackup 1",
            "--audit-log-maxage 1",
            "--audit-log-compress",
            "--audit-log-mode blocking",
            "--audit-log-batch-buffer-size 1",
            "--audit-log-batch-max-size 1",
            "--audit-log-truncate-enabled",
        ] {
            check(option, "--audit-log-path");
        }
        let with = |options: &str, named: &str| check(&format!("--audit-log-path a {options}"), named);
        with("--audit-log-format xml", "--audit-log-format");
        with("--audit-log-version audit.k8s.io/v1beta1", "--audit-log-version");
        with("--audit-log-maxage=-1", "--audit-log-maxage");
        with("--audit-log-mode sometimes", "--audit-log-mode");
        with("--audit-log-batch-buffer-size 0", "--audit-log-batch-buffer-size");
        with("--audit-log-batch-buffer-size 1000001", "--audit-log-batch-buffer-size");
        with("--audit-log-batch-max-size 0", "--audit-log-batch-max-size");
        with("--audit-log-batch-max-wait 1s", "--audit-log-batch-max-size");
        with("--audit-log-batch-max-size 2 --audit-log-batch-max-wait 1", "--audit-log-batch-max-wait");
        with("--audit-log-batch-throttle-enable", "--audit-log-batch-throttle-qps");
        with("--audit-log-batch-throttle-qps 1", "--audit-log-batch-throttle-enable");
        with("--audit-log-batch-throttle-burst 1", "--audit-log-batch-throttle-enable");
        let throttle =
            "--audit-log-batch-throttle-enable --audit-log-batch-throttle-burst 1 --audit-log-batch-throttle-qps";
        with(&format!("{throttle} 0"), "positive");
        with(&format!("--audit-log-mode blocking {throttle} 1"), "--audit-log-batch-throttle-enable has no effect");
        with("--audit-log-mode blocking --audit-log-batch-max-size 2", "--audit-log-batch-max-size has no effect");
        with(
            "--audit-log-mode blocking --audit-log-batch-buffer-size 2",
            "--audit-log-batch-buffer-size has no effect",
        );
        with("--audit-log-truncate-max-event-size 5", "--audit-log-truncate-enabled");
        with("--audit-log-truncate-max-batch-size 5", "--audit-log-truncate-enabled");
        let sizes = "--audit-log-truncate-enabled --audit-log-truncate-max-batch-size 5";
        with(sizes, "--audit-log-truncate-max-batch-size is 5");
        with(
            &format!("{sizes} --audit-log-truncate-max-event-size 6"),
            "--audit-log-truncate-max-event-size, which is 6",
        );
    }
}
