//! `gantry logs`: of one container, or of many at once.
//!
//! Lines of several containers are never mixed within a line. At most as many are followed at once as `--max-log-requests`
//! allows; whoever follows a selector or all pods of an owner also gets the pods that come later.

use std::time::Duration;

use clap::Args;
use futures::stream::{BoxStream, SelectAll};
use futures::{StreamExt, TryStreamExt};
use http_body_util::BodyExt;
use k8s_openapi::jiff::Timestamp;
use kube::client::Body;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt};

use crate::pods::{self, Preference, metadata};
use crate::session::{Ask, duration};
use crate::{Error, Session};

/// How much of a line is kept together.
const LONGEST_LINE: u64 = 1 << 20;
/// The lines of each container that are shown if a selector is given, and not how many.
const SELECTOR_TAIL: i64 = 10;
/// Colours of containers, as terminals number them: none that is hard to read on black or white.
const COLOURS: [u8; 6] = [36, 33, 32, 35, 34, 31];
const USAGE: &str = "expected 'logs [-f] [-p] (POD | TYPE/NAME) [-c CONTAINER]'.\nPOD or TYPE/NAME is a required argument for \
                     the logs command\nSee 'gantry logs -h' for help and examples";

/// The arguments.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// What: a pod or TYPE/NAME, and possibly a container.
    #[arg(value_name = "WHAT")]
    what: Vec<String>,
    /// Of all pods with these labels.
    #[arg(short = 'l', long, value_name = "LABELS", default_value = "", hide_default_value = true)]
    selector: String,
    /// Go on with what is said from now on.
    #[arg(short, long)]
    follow: bool,
    /// How many of the last lines: all of them by default, or 10 with a selector.
    #[arg(long, value_name = "LINES", allow_negative_numbers = true)]
    tail: Option<i64>,
    /// Only what was said so lately, such as 5s, 2m or 3h.
    #[arg(long, value_name = "DURATION", default_value = "0s", allow_hyphen_values = true)]
    since: String,
    /// Only what was said after this time, as in RFC 3339.
    #[arg(long, value_name = "TIME")]
    since_time: Option<String>,
    /// With the time before each line.
    #[arg(long)]
    timestamps: bool,
    /// Of the container that was there before the one that is.
    #[arg(short, long)]
    previous: bool,
    /// Of which container.
    #[arg(short, long, value_name = "NAME", default_value = "", hide_default_value = true)]
    container: String,
    /// Of all containers.
    #[arg(long, value_name = "BOOL", default_value_t = false, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    all_containers: bool,
    /// Of all pods of the owner that is named; each line says which one it is of.
    #[arg(long, value_name = "BOOL", default_value_t = false, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    all_pods: bool,
    /// With the pod and container before each line.
    #[arg(long)]
    prefix: bool,
    /// At most so many bytes.
    #[arg(long, value_name = "BYTES", default_value_t = 0, allow_negative_numbers = true)]
    limit_bytes: i64,
    /// How many containers may be followed at once.
    #[arg(long, value_name = "COUNT", default_value_t = 5)]
    max_log_requests: usize,
    /// Show errors among the lines, and go on.
    #[arg(long)]
    ignore_errors: bool,
    /// Do not have the server check who the node is that it asks.
    #[arg(long)]
    insecure_skip_tls_verify_backend: bool,
    /// How long to wait for an owner to have a pod.
    #[arg(long, value_name = "DURATION", default_value = "20s")]
    pod_running_timeout: String,
}

/// A container that is read.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Source {
    path: String,
    pod: String,
    container: String,
}

impl Source {
    fn of(pod: &Value, container: &str) -> Source {
        let (namespace, name) = (metadata(pod, "namespace"), metadata(pod, "name"));
        Source {
            path: format!("{}/log", pods::path(namespace, name)),
            pod: name.to_owned(),
            container: container.to_owned(),
        }
    }
}

/// Shows what containers have said.
pub(crate) async fn run(arguments: Arguments, session: &mut Session<'_>) -> Result<(), Error> {
    let query = arguments.query()?;
    let timeout = duration("--pod-running-timeout", &arguments.pod_running_timeout)?;
    let timeout = timeout.ok_or_else(|| Error::said("--pod-running-timeout must be higher than zero"))?;
    let (found, selector) = arguments.pods(session, timeout).await?;
    let mut reader = Reader { arguments, query, session, streams: SelectAll::new(), sources: Vec::new() };
    let mut sources = Vec::new();
    for pod in found["items"].as_array().into_iter().flatten() {
        sources.extend(reader.sources_of(pod, true)?);
    }
    if !reader.arguments.follow {
        return reader.in_turn(sources).await;
    }
    let (count, most) = (sources.len(), reader.arguments.max_log_requests);
    if count > 1 && count > most {
        return Err(Error::said(format!(
            "you are attempting to follow {count} log streams, but maximum allowed concurrency is {most}, use \
             --max-log-requests to increase the limit"
        )));
    }
    let is_many = count > 1 || selector.is_some();
    for source in sources {
        reader.begin(source).await?;
    }
    let version = found["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
    let watched = selector.filter(|_| count > 0).map(|selector| (selector, version));
    reader.all_at_once(is_many, watched).await
}

impl Arguments {
    fn container(&self) -> &str {
        self.what.get(1).unwrap_or(&self.container)
    }

    /// What the server is asked for, besides the container.
    fn query(&self) -> Result<Vec<(&'static str, String)>, Error> {
        match (self.what.len(), self.selector.is_empty()) {
            (0, true) | (3.., _) => return Err(Error::said(USAGE)),
            (1, false) => {
                let words = "only a selector (-l) or a POD name is allowed\nSee 'gantry logs -h' for help and examples";
                return Err(Error::said(words));
            }
            _ => {}
        }
        let since = if self.since.starts_with('-') {
            return Err(Error::said("--since must be greater than 0"));
        } else {
            duration("--since", &self.since)?
        };
        if self.since_time.is_some() && since.is_some() {
            return Err(Error::said("at most one of `sinceTime` or `sinceSeconds` may be specified"));
        }
        if let Some(time) = &self.since_time {
            time.parse::<Timestamp>().map_err(|error| Error::said(format!("parsing time {time:?}: {error}")))?;
        }
        if self.all_containers && !self.container().is_empty() {
            let name = self.container();
            return Err(Error::said(format!(
                "--all-containers=true should not be specified with container name {name}"
            )));
        }
        if self.what.len() == 2 && !self.container.is_empty() {
            return Err(Error::said("only one of -c or an inline [CONTAINER] arg is allowed"));
        }
        if self.limit_bytes < 0 {
            return Err(Error::said("--limit-bytes must be greater than 0"));
        }
        let tail = self.tail.unwrap_or(if self.selector.is_empty() { -1 } else { SELECTOR_TAIL });
        if tail < -1 {
            return Err(Error::said("--tail must be greater than or equal to -1"));
        }
        let flag = |is: bool| if is { "true".to_owned() } else { String::new() };
        let seconds = since.map(|since| (since + Duration::from_millis(500)).as_secs().to_string());
        Ok(vec![
            ("follow", flag(self.follow)),
            ("previous", flag(self.previous)),
            ("timestamps", flag(self.timestamps)),
            ("insecureSkipTLSVerifyBackend", flag(self.insecure_skip_tls_verify_backend)),
            ("sinceSeconds", seconds.unwrap_or_default()),
            ("sinceTime", self.since_time.clone().unwrap_or_default()),
            ("limitBytes", if self.limit_bytes > 0 { self.limit_bytes.to_string() } else { String::new() }),
            ("tailLines", if tail >= 0 { tail.to_string() } else { String::new() }),
        ])
    }

    /// The list of the pods that are meant, and the selector by which others will be, too.
    async fn pods(&self, session: &mut Session<'_>, timeout: Duration) -> Result<(Value, Option<String>), Error> {
        if !self.selector.is_empty() {
            let list = pods::selected(session, &self.selector).await?;
            if list["items"].as_array().is_none_or(Vec::is_empty) {
                let namespace = session.namespace().await?;
                session.remark(&format!("No resources found in {namespace} namespace."))?;
            }
            return Ok((list, Some(self.selector.clone())));
        }
        let namespace = session.namespace().await?;
        let object = pods::object(session, &self.what[..1]).await.map_err(|error| absent(error, &namespace))?;
        let (pod, count) = pods::of(session, &object, timeout, Preference::Talking).await?;
        if self.all_pods && object["kind"] != "Pod" {
            let selector = pods::selector(&object, Preference::Talking.failure())?;
            return Ok((pods::selected(session, &selector).await?, Some(selector)));
        }
        if count > 1 {
            session.remark(&format!("Found {count} pods, using pod/{}", metadata(&pod, "name")))?;
        }
        Ok((serde_json::json!({"items": [pod]}), None))
    }
}

/// In kubectl's words of logs, which name the namespace in which something is not.
fn absent(error: Error, namespace: &str) -> Error {
    match &error {
        Error::Server(status) if error.reason() == Some("NotFound") => {
            let message = status["message"].as_str().unwrap_or_default();
            Error::said(format!("error from server (NotFound): {message} in namespace {namespace:?}"))
        }
        _ => error,
    }
}

/// A piece of what a container says, a line where possible, and whose it is.
type Pieces = BoxStream<'static, (usize, std::io::Result<Vec<u8>>)>;

struct Reader<'a, 'b> {
    arguments: Arguments,
    query: Vec<(&'static str, String)>,
    session: &'a mut Session<'b>,
    streams: SelectAll<Pieces>,
    sources: Vec<Source>,
}

impl Reader<'_, '_> {
    /// The containers of a pod that are meant.
    fn sources_of(&mut self, pod: &Value, is_loud: bool) -> Result<Vec<Source>, Error> {
        if self.arguments.all_containers {
            return Ok(pods::container_names(pod).into_iter().map(|name| Source::of(pod, name)).collect());
        }
        let (container, remarks) = pods::talking_container(pod, self.arguments.container())?;
        for remark in remarks.iter().filter(|_| is_loud) {
            self.session.remark(remark)?;
        }
        Ok(vec![Source::of(pod, &container)])
    }

    async fn open(&mut self, source: &Source) -> Result<Body, Error> {
        let ask = Ask { accept: "*/*", ..Ask::get(&source.path) }.query("container", source.container.as_str());
        let ask = self.query.iter().fold(ask, |ask, (name, value)| ask.query(name, value.as_str()));
        self.session.open(ask).await
    }

    /// Opens a container's log, and lets what it says be among the others'.
    async fn begin(&mut self, source: Source) -> Result<(), Error> {
        let opened = self.open(&source).await;
        match opened {
            Ok(body) => {
                self.streams.push(pieces(self.sources.len(), body));
                self.sources.push(source);
                Ok(())
            }
            Err(error) if self.arguments.ignore_errors => self.session.say(&format!("error: {error}")),
            Err(error) => Err(error),
        }
    }

    /// One after the other.
    async fn in_turn(&mut self, sources: Vec<Source>) -> Result<(), Error> {
        let is_many = sources.len() > 1;
        for source in sources {
            let before = self.sources.len();
            self.begin(source).await?;
            if self.sources.len() > before {
                while let Some((index, piece)) = self.streams.next().await {
                    self.show(index, piece, is_many)?;
                }
            }
        }
        Ok(())
    }

    /// All as they come, until all have ended. `watched` says which pods are read, too, once they are there.
    async fn all_at_once(&mut self, is_many: bool, watched: Option<(String, String)>) -> Result<(), Error> {
        let mut events = match watched {
            Some((selector, version)) => self.watch(&selector, version).await?,
            None => futures::stream::pending().boxed(),
        };
        loop {
            tokio::select! {
                piece = self.streams.next() => match piece {
                    Some((index, piece)) => {
                        self.show(index, piece, is_many)?;
                        self.session.flush()?;
                    }
                    None => return Ok(()),
                },
                event = events.next() => match event {
                    Some(pod) => self.join(&pod).await?,
                    None => events = futures::stream::pending().boxed(),
                },
            }
        }
    }

    /// The pods of a selector as they change.
    async fn watch(&mut self, selector: &str, version: String) -> Result<BoxStream<'static, Value>, Error> {
        let namespace = self.session.namespace().await?;
        let path = format!("/api/v1/namespaces/{}/pods", crate::resources::escape(&namespace));
        let ask = Ask::get(&path).query("labelSelector", selector).query("watch", "true");
        let body = self.session.open(ask.query("resourceVersion", version)).await?;
        let lines = tokio_util::io::StreamReader::new(body.into_data_stream().map_err(std::io::Error::other)).lines();
        let events = futures::stream::try_unfold(lines, |mut lines| async move {
            Ok::<_, std::io::Error>(lines.next_line().await?.map(|line| (line, lines)))
        });
        let pods = events.filter_map(|line| async move {
            let mut event: Value = serde_json::from_str(&line.ok()?).ok()?;
            matches!(event["type"].as_str(), Some("ADDED" | "MODIFIED")).then(|| event["object"].take())
        });
        Ok(pods.boxed())
    }

    /// Reads the containers of a pod, too, that run and are not read yet.
    async fn join(&mut self, pod: &Value) -> Result<(), Error> {
        let Ok(sources) = self.sources_of(pod, false) else { return Ok(()) };
        for source in sources {
            if self.sources.contains(&source) || !is_running(pod, &source.container) {
                continue;
            }
            let most = self.arguments.max_log_requests;
            if self.streams.len() >= most {
                let Source { pod, container, .. } = &source;
                self.session.remark(&format!(
                    "not following pod/{pod}/{container}: --max-log-requests allows {most} at once"
                ))?;
                self.sources.push(source);
                continue;
            }
            self.begin(source).await?;
        }
        Ok(())
    }

    fn show(&mut self, index: usize, piece: std::io::Result<Vec<u8>>, is_many: bool) -> Result<(), Error> {
        let piece = match piece {
            Ok(piece) => piece,
            Err(error) if self.arguments.ignore_errors => return self.session.say(&format!("error: {error}")),
            Err(error) => return Err(error.into()),
        };
        let Source { pod, container, .. } = &self.sources[index];
        let has_prefix = self.arguments.prefix || self.arguments.all_pods;
        let prefix = if has_prefix { format!("[pod/{pod}/{container}] ") } else { String::new() };
        let colour = (is_many && self.session.is_terminal()).then(|| COLOURS[index % COLOURS.len()]);
        self.session.write_bytes(&dressed(&prefix, &piece, colour))
    }
}

/// A line with what is before it, and in a colour: of the prefix, or of the line if there is none.
fn dressed(prefix: &str, line: &[u8], colour: Option<u8>) -> Vec<u8> {
    let Some(colour) = colour else { return [prefix.as_bytes(), line].concat() };
    let begin = format!("\x1b[{colour}m");
    if !prefix.is_empty() {
        return [begin.as_bytes(), prefix.as_bytes(), b"\x1b[0m", line].concat();
    }
    let (text, end) = line.split_at(line.len() - usize::from(line.ends_with(b"\n")));
    [begin.as_bytes(), text, b"\x1b[0m", end].concat()
}

/// What a container says, line by line; lines that are too long, in pieces.
fn pieces(index: usize, body: Body) -> Pieces {
    let reader = tokio_util::io::StreamReader::new(body.into_data_stream().map_err(std::io::Error::other));
    let read = move |mut reader: tokio_util::io::StreamReader<_, bytes::Bytes>| async move {
        let mut line = Vec::new();
        match (&mut reader).take(LONGEST_LINE).read_until(b'\n', &mut line).await {
            Ok(0) => None,
            Ok(_) => Some(((index, Ok(line)), Some(reader))),
            Err(error) => Some(((index, Err(error)), None)),
        }
    };
    futures::stream::unfold(Some(reader), move |reader| async move {
        match reader {
            Some(reader) => read(reader).await,
            None => None,
        }
    })
    .boxed()
}

fn is_running(pod: &Value, container: &str) -> bool {
    let fields = ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"];
    let mut statuses = fields.iter().flat_map(|field| pod["status"][field].as_array().into_iter().flatten());
    statuses.any(|status| status["name"] == container && status["state"]["running"].is_object())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn query(line: &str) -> Result<String, String> {
        let arguments = Line::try_parse_from(["logs"].into_iter().chain(line.split_whitespace())).unwrap().arguments;
        let query = arguments.query().map_err(|error| error.to_string())?;
        let set = query.into_iter().filter(|(_, value)| !value.is_empty());
        Ok(set.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&"))
    }

    #[test]
    fn options_become_parameters() {
        let check = |line: &str, expected: &str| assert_eq!(query(line).as_deref(), Ok(expected), "{line}");
        check("a", "");
        check("a -f --tail 3", "follow=true&tailLines=3");
        check("-l x=y", "tailLines=10");
        check("-l x=y --tail=-1", "");
        check("a --since 90s --timestamps -p", "previous=true&timestamps=true&sinceSeconds=90");
        check("a --since 1500ms", "sinceSeconds=2");
        check("a --since-time 2026-01-01T00:00:00Z", "sinceTime=2026-01-01T00:00:00Z");
        check("a --limit-bytes 5", "limitBytes=5");
    }

    #[test]
    fn what_makes_no_sense_is_refused_in_kubectls_words() {
        let check = |line: &str, expected: &str| {
            assert_eq!(
                query(line).map_err(|error| error.split('\n').next().unwrap().to_owned()),
                Err(expected.to_owned())
            );
        };
        check("", "error: expected 'logs [-f] [-p] (POD | TYPE/NAME) [-c CONTAINER]'.");
        check("a -l x=y", "error: only a selector (-l) or a POD name is allowed");
        check("a b -c c", "error: only one of -c or an inline [CONTAINER] arg is allowed");
        check("a -c c --all-containers", "error: --all-containers=true should not be specified with container name c");
        check("a --limit-bytes=-1", "error: --limit-bytes must be greater than 0");
        check("a --tail=-2", "error: --tail must be greater than or equal to -1");
        check("a --since=-1s", "error: --since must be greater than 0");
        let both = "a --since 1s --since-time 2026-01-01T00:00:00Z";
        check(both, "error: at most one of `sinceTime` or `sinceSeconds` may be specified");
        assert!(query("a --since-time yesterday").unwrap_err().starts_with("error: parsing time \"yesterday\": "));
    }

    #[test]
    fn colours_are_of_the_prefix_or_of_the_line() {
        let check = |prefix: &str, colour, expected: &str| {
            assert_eq!(String::from_utf8(dressed(prefix, b"x\n", colour)).unwrap(), expected);
        };
        check("", None, "x\n");
        check("[p] ", None, "[p] x\n");
        check("[p] ", Some(36), "\x1b[36m[p] \x1b[0mx\n");
        check("", Some(36), "\x1b[36mx\x1b[0m\n");
    }

    #[tokio::test]
    async fn lines_come_whole() {
        let body = Body::from(b"one\ntwo\nno end".to_vec());
        let lines: Vec<_> = pieces(7, body).map(|(index, line)| (index, line.unwrap())).collect().await;
        let expected = ["one\n", "two\n", "no end"].map(|line| (7, line.as_bytes().to_vec()));
        assert_eq!(lines, expected);
    }
}
