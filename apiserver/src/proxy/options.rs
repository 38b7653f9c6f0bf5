//! What clients may say of logs, commands and ports, read from the query and said again to kubelets.

use api::field::{Error, ErrorList, Path};
use api::status::{GroupKind, Status};
use form_urlencoded::Serializer;
use k8s_openapi::jiff::Timestamp;

use crate::request::Query;

/// `PodLogOptions`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LogOptions {
    pub(super) container: Option<String>,
    pub(super) follow: bool,
    pub(super) insecure: bool,
    previous: bool,
    timestamps: bool,
    since_seconds: Option<i64>,
    since_time: Option<Timestamp>,
    tail_lines: Option<i64>,
    limit_bytes: Option<i64>,
}

impl LogOptions {
    /// Reads those of the pod `name`.
    pub(super) fn parse(query: &Query, name: &str) -> Result<LogOptions, Status> {
        let flag = |name: &str| query.flag(name).unwrap_or(false);
        let options = LogOptions {
            container: query.text("container").map(str::to_owned),
            follow: flag("follow"),
            insecure: flag("insecureSkipTLSVerifyBackend"),
            previous: flag("previous"),
            timestamps: flag("timestamps"),
            since_seconds: query.number("sinceSeconds")?,
            since_time: since_time(query)?,
            tail_lines: query.number("tailLines")?,
            limit_bytes: query.number("limitBytes")?,
        };
        let errors = options.validate(query.has("stream"));
        if errors.is_empty() {
            Ok(options)
        } else {
            Err(Status::invalid(&GroupKind::new("", "PodLogOptions"), name, &errors))
        }
    }

    /// Upstream's rules. Choosing one of the streams is an alpha feature there, which is off.
    fn validate(&self, stream: bool) -> ErrorList {
        let mut errors = ErrorList::default();
        let at = |name: &str| Path::new(name);
        if let Some(lines) = self.tail_lines.filter(|lines| *lines < 0) {
            errors.push(Error::invalid(&at("tailLines"), lines, "must be greater than or equal to 0"));
        }
        if let Some(bytes) = self.limit_bytes.filter(|bytes| *bytes < 1) {
            errors.push(Error::invalid(&at("limitBytes"), bytes, "must be greater than 0"));
        }
        match (self.since_seconds, self.since_time) {
            (Some(_), Some(_)) => {
                errors.push(Error::forbidden(&at(""), "at most one of `sinceTime` or `sinceSeconds` may be specified"))
            }
            (Some(seconds), None) if seconds < 1 => {
                errors.push(Error::invalid(&at("sinceSeconds"), seconds, "must be greater than 0"));
            }
            _ => {}
        }
        if stream {
            errors.push(Error::forbidden(&at("stream"), "may not be specified"));
        }
        errors
    }

    /// As a kubelet is told them: in the order of their names.
    pub(super) fn query(&self) -> String {
        let mut query = Serializer::new(String::new());
        let mut add = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                query.append_pair(name, &value);
            }
        };
        let truth = |set: bool| set.then(|| "true".to_owned());
        let number = |set: Option<i64>| set.map(|number| number.to_string());
        add("follow", truth(self.follow));
        add("limitBytes", number(self.limit_bytes));
        add("previous", truth(self.previous));
        add("sinceSeconds", number(self.since_seconds));
        // To the second, as upstream writes it.
        let whole = self.since_time.and_then(|time| Timestamp::from_second(time.as_second()).ok());
        add("sinceTime", whole.map(|time| time.to_string()));
        add("tailLines", number(self.tail_lines));
        add("timestamps", truth(self.timestamps));
        query.finish()
    }
}

/// A time as RFC 3339 has it; `null` is none, which old clients write.
fn since_time(query: &Query) -> Result<Option<Timestamp>, Status> {
    match query.text("sinceTime") {
        None | Some("null") => Ok(None),
        Some(text) => {
            let wrong = |error| Status::bad_request(format!("sinceTime {text:?} is no time of RFC 3339: {error}"));
            text.parse().map(Some).map_err(wrong)
        }
    }
}

/// `PodExecOptions` and `PodAttachOptions`, which have no command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct StreamOptions {
    pub(super) container: Option<String>,
    streams: Vec<&'static str>,
    command: Vec<String>,
}

impl StreamOptions {
    pub(super) fn parse(query: &Query, with_command: bool) -> StreamOptions {
        // The names are those of the API, and of what kubelets call the same.
        let streams = [("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty")];
        let wanted = streams.into_iter().filter(|(name, _)| query.flag(name).unwrap_or(false));
        StreamOptions {
            container: query.text("container").map(str::to_owned),
            streams: wanted.map(|(_, kubelets)| kubelets).collect(),
            command: if with_command { query.all("command").to_vec() } else { Vec::new() },
        }
    }

    pub(super) fn query(&self) -> String {
        let mut query = Serializer::new(String::new());
        for argument in &self.command {
            query.append_pair("command", argument);
        }
        for stream in &self.streams {
            query.append_pair(stream, "1");
        }
        query.finish()
    }
}

/// The query by which a kubelet is told the ports of `PodPortForwardOptions`.
pub(super) fn ports(query: &Query) -> Result<String, Status> {
    let mut ports = Serializer::new(String::new());
    // One name with several values, or several names.
    for text in query.all("ports").iter().flat_map(|value| value.split(',')).filter(|text| !text.is_empty()) {
        let wrong = || {
            let quoted = api::field::go_quote(text);
            Status::bad_request(format!("strconv.ParseInt: parsing {quoted}: invalid syntax"))
        };
        ports.append_pair("port", &text.parse::<i32>().map_err(|_| wrong())?.to_string());
    }
    Ok(ports.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_logs_are_read_and_said_again() {
        let check = |query: &str, expected: Result<&str, (u16, &str)>| {
            let found = LogOptions::parse(&Query::parse(query), "p").map(|options| options.query());
            match (found, expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{query}"),
                (Err(found), Err((code, expected))) => {
                    assert_eq!(found.code, code, "{query}");
                    assert!(found.message.contains(expected), "{query}: {}", found.message);
                }
                (found, expected) => panic!("{query}: {found:?} is not {expected:?}"),
            }
        };
        check("", Ok(""));
        check("container=a&follow=true&previous=0&timestamps", Ok("follow=true&timestamps=true"));
        check("tailLines=0&limitBytes=1&sinceSeconds=1", Ok("limitBytes=1&sinceSeconds=1&tailLines=0"));
        check("sinceTime=2026-03-01T12:00:00.5Z", Ok("sinceTime=2026-03-01T12%3A00%3A00Z"));
        check("sinceTime=2026-03-01T12:00:00%2B01:00", Ok("sinceTime=2026-03-01T11%3A00%3A00Z"));
        check("sinceTime=null", Ok(""));
        check("sinceTime=yesterday", Err((400, "is no time of RFC 3339")));
        check("tailLines=x", Err((400, "strconv.ParseInt: parsing \"x\": invalid syntax")));
        let invalid = "PodLogOptions \"p\" is invalid: ";
        let check_invalid = |query: &str, expected: &str| check(query, Err((422, &format!("{invalid}{expected}"))));
        check_invalid("tailLines=-1", "tailLines: Invalid value: -1: must be greater than or equal to 0");
        check_invalid("limitBytes=0", "limitBytes: Invalid value: 0: must be greater than 0");
        check_invalid("sinceSeconds=0", "sinceSeconds: Invalid value: 0: must be greater than 0");
        check_invalid(
            "sinceSeconds=1&sinceTime=2026-03-01T12:00:00Z",
            ": Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified",
        );
        check_invalid("stream=Stdout", "stream: Forbidden: may not be specified");
    }

    #[test]
    fn commands_and_streams_are_said_in_the_words_of_kubelets() {
        let check = |query: &str, with_command: bool, expected: &str| {
            assert_eq!(StreamOptions::parse(&Query::parse(query), with_command).query(), expected, "{query}");
        };
        check("", true, "");
        check(
            "command=sh&command=-c&command=echo%20%26&stdin=true&stdout=1&stderr=false&tty=true&container=a",
            true,
            "command=sh&command=-c&command=echo+%26&input=1&output=1&tty=1",
        );
        check("command=sh&stderr=true", false, "error=1");
    }

    #[test]
    fn ports_are_numbers() {
        let check = |query: &str, expected: Option<&str>| {
            assert_eq!(ports(&Query::parse(query)).ok().as_deref(), expected, "{query}");
        };
        check("", Some(""));
        check("ports=80", Some("port=80"));
        check("ports=80&ports=443", Some("port=80&port=443"));
        check("ports=80,443", Some("port=80&port=443"));
        check("ports=http", None);
    }
}
