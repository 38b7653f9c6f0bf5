//! The two text formats that metrics are read in.

use http::HeaderMap;
use http::header::ACCEPT;

/// A text format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposition {
    /// OpenMetrics 1.0.0, which Prometheus asks for.
    OpenMetrics,
    /// Prometheus' own text format 0.0.4, which everybody else reads.
    Plain,
}

impl Exposition {
    /// OpenMetrics for those who say that they read it.
    #[must_use]
    pub fn negotiate(headers: &HeaderMap) -> Exposition {
        let accepts = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        if accepts.into_iter().any(|value| value.contains("application/openmetrics-text")) {
            Exposition::OpenMetrics
        } else {
            Exposition::Plain
        }
    }

    /// Its media type.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Exposition::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Exposition::Plain => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// Rewrites OpenMetrics as the plain format: a counter is described there by the name that its samples have, with
/// `_total`, and nothing marks the end.
pub(super) fn plain(open_metrics: &str) -> String {
    let lines: Vec<&str> = open_metrics.lines().collect();
    let is_counter = |name: &str| {
        let kind = format!("# TYPE {name} counter");
        move |line: &&str| *line == kind
    };
    let mut text = String::with_capacity(open_metrics.len());
    for (at, line) in lines.iter().enumerate() {
        if *line == "# EOF" || line.starts_with("# UNIT ") {
            continue;
        }
        let described = line.strip_prefix("# HELP ").or_else(|| line.strip_prefix("# TYPE "));
        match described.and_then(|rest| rest.split_once(' ')) {
            // The type follows the help, perhaps with a unit between.
            Some((name, rest)) if lines[at..].iter().take(3).any(is_counter(name)) => {
                text.push_str(&line[..7]);
                text.push_str(name);
                text.push_str("_total ");
                text.push_str(rest);
            }
            _ => text.push_str(line),
        }
        text.push('\n');
    }
    text
}
