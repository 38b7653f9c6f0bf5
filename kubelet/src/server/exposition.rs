//! Metrics as text, in the format of Prometheus (0.0.4).

use std::fmt::Write;

use jiff::Timestamp;

/// Its media type.
pub(super) const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What kind of figures a metric's samples are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// They only grow.
    Counter,
    /// They may take any value.
    Gauge,
    /// They are counts below bounds.
    Histogram,
}

/// Text that metrics are written to, one after the other.
#[derive(Debug, Default)]
pub(super) struct Text(String);

impl Text {
    /// Describes a metric, whose samples follow.
    pub(super) fn metric(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        self.0.push_str("# HELP ");
        self.0.push_str(name);
        self.0.push(' ');
        self.escaped(help, false);
        self.line(format_args!("\n# TYPE {name} {kind}"));
    }

    /// Writes a sample.
    pub(super) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64, at: Option<Timestamp>) {
        self.0.push_str(name);
        for (index, (label, value)) in labels.iter().enumerate() {
            self.0.push(if index == 0 { '{' } else { ',' });
            self.0.push_str(label);
            self.0.push_str("=\"");
            self.escaped(value, true);
            self.0.push('"');
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        match at {
            Some(at) => self.line(format_args!(" {value} {}", at.as_millisecond())),
            None => self.line(format_args!(" {value}")),
        }
    }

    /// All that was written.
    pub(super) fn finish(self) -> String {
        self.0
    }

    fn line(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = self.0.write_fmt(text);
        self.0.push('\n');
    }

    fn escaped(&mut self, text: &str, quotes: bool) {
        for character in text.chars() {
            match character {
                '\\' => self.0.push_str("\\\\"),
                '\n' => self.0.push_str("\\n"),
                '"' if quotes => self.0.push_str("\\\""),
                other => self.0.push(other),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_as_prometheus_reads_it() {
        let mut text = Text::default();
        text.metric("a_total", Kind::Counter, "Counts\nthings with a \\ and \"quotes\"");
        text.sample("a_total", &[], 3.0, None);
        text.sample("a_total", &[("b", "c\"\\\nd"), ("e", "")], 0.25, Some(Timestamp::from_millisecond(1500).unwrap()));
        let expected = "# HELP a_total Counts\\nthings with a \\\\ and \"quotes\"\n# TYPE a_total counter\na_total 3\n\
                        a_total{b=\"c\\\"\\\\\\nd\",e=\"\"} 0.25 1500\n";
        assert_eq!(text.finish(), expected);
    }
}
