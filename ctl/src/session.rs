//! What a verb works with: the server, and where its output goes.

use std::io::{Read, Write};

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use serde_json::Value;

use crate::resources::Catalog;
use crate::{Connection, Error};

/// How often a server is asked again that says that it has too much to do.
const MOST_AGAIN: usize = 10;

/// Where output goes and input comes from.
pub struct Output<'a> {
    /// What was asked for.
    pub out: &'a mut dyn Write,
    /// What is said besides.
    pub err: &'a mut dyn Write,
    /// What `-f -` reads.
    pub input: &'a mut dyn Read,
    /// Whether somebody looks at it, on a terminal that knows colours.
    pub is_terminal: bool,
}

/// A verb's means.
pub struct Session<'a> {
    connection: Connection,
    connected: Option<(Client, String)>,
    catalog: Option<Catalog>,
    /// How often the server has warned of something.
    warnings: usize,
    output: Output<'a>,
}

impl<'a> Session<'a> {
    /// A session with the server that the options name, which is not asked before it is needed.
    #[must_use]
    pub fn new(connection: Connection, output: Output<'a>) -> Session<'a> {
        Session { connection, connected: None, catalog: None, warnings: 0, output }
    }

    /// A session with a server that is connected already, and in this namespace unless the options name another.
    #[must_use]
    pub fn with(client: Client, namespace: &str, connection: Connection, output: Output<'a>) -> Session<'a> {
        let namespace = connection.namespace.clone().unwrap_or_else(|| namespace.to_owned());
        Session { connection, connected: Some((client, namespace)), catalog: None, warnings: 0, output }
    }

    async fn connected(&mut self) -> Result<&(Client, String), Error> {
        let connected = match self.connected.take() {
            Some(connected) => connected,
            None => self.connection.connect().await?,
        };
        Ok(self.connected.insert(connected))
    }

    /// The client.
    pub(crate) async fn client(&mut self) -> Result<Client, Error> {
        Ok(self.connected().await?.0.clone())
    }

    /// The namespace to work in.
    pub(crate) async fn namespace(&mut self) -> Result<String, Error> {
        Ok(self.connected().await?.1.clone())
    }

    /// Whether the options name the namespace: then objects of another one are a mistake.
    pub(crate) fn namespace_is_demanded(&self) -> bool {
        self.connection.namespace.is_some()
    }

    /// Fails if the server has warned of something, where that is to be a failure.
    pub(crate) fn heed_warnings(&self) -> Result<(), Error> {
        match self.warnings {
            _ if !self.connection.warnings_as_errors => Ok(()),
            0 => Ok(()),
            1 => Err(Error::said("1 warning received")),
            many => Err(Error::said(format!("{many} warnings received"))),
        }
    }

    /// Fails if the server is of another version, where that is to be a failure.
    pub(crate) async fn match_version(&mut self) -> Result<(), Error> {
        if !self.connection.match_server_version {
            return Ok(());
        }
        let own = crate::commands::version::own();
        let server = self.json(Ask::get("/version")).await?;
        match server["gitVersion"].as_str().unwrap_or_default() {
            version if version == own => Ok(()),
            version => Err(Error::said(format!("server version ({version}) differs from client version ({own})"))),
        }
    }

    /// What the server has to offer. It is asked once.
    pub(crate) async fn catalog(&mut self) -> Result<&Catalog, Error> {
        let catalog = match self.catalog.take() {
            Some(catalog) => catalog,
            None => Catalog::discover(self).await?,
        };
        Ok(self.catalog.insert(catalog))
    }

    /// Whether somebody looks at the output, on a terminal.
    pub(crate) fn is_terminal(&self) -> bool {
        self.output.is_terminal
    }

    /// The options that say which server it is.
    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Where input comes from.
    pub(crate) fn input(&mut self) -> &mut dyn Read {
        self.output.input
    }

    /// A line of what was asked for.
    pub(crate) fn say(&mut self, line: &str) -> Result<(), Error> {
        Ok(writeln!(self.output.out, "{line}")?)
    }

    /// What was asked for, as it is.
    pub(crate) fn write(&mut self, text: &str) -> Result<(), Error> {
        Ok(self.output.out.write_all(text.as_bytes())?)
    }

    /// The same for what need not be text.
    pub(crate) fn write_bytes(&mut self, bytes: &[u8]) -> Result<(), Error> {
        Ok(self.output.out.write_all(bytes)?)
    }

    /// What is said besides, as it is.
    pub(crate) fn remark_bytes(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.output.err.write_all(bytes)?;
        Ok(self.output.err.flush()?)
    }

    /// Has what was written be seen now.
    pub(crate) fn flush(&mut self) -> Result<(), Error> {
        Ok(self.output.out.flush()?)
    }

    /// A line of what is said besides.
    pub(crate) fn remark(&mut self, line: &str) -> Result<(), Error> {
        Ok(writeln!(self.output.err, "{line}")?)
    }

    /// Asks the server, and returns the whole answer. What it warns of is passed on.
    pub(crate) async fn ask(&mut self, request: Ask<'_>) -> Result<Bytes, Error> {
        let limit = duration("--request-timeout", &self.connection.request_timeout)?;
        let body = self.open(request).await?;
        let whole = within(limit, body.collect()).await?;
        let whole = whole.map_err(|error| Error::Unreachable(format!("error: {error}")))?;
        Ok(whole.to_bytes())
    }

    /// Asks the server for JSON.
    pub(crate) async fn json(&mut self, request: Ask<'_>) -> Result<Value, Error> {
        let whole = self.ask(request).await?;
        serde_json::from_slice(&whole).map_err(|error| Error::said(format!("the server's answer is not JSON: {error}")))
    }

    /// Asks the server, and returns the answer as it comes: for watches and logs.
    pub(crate) async fn open(&mut self, ask: Ask<'_>) -> Result<Body, Error> {
        let limit = duration("--request-timeout", &self.connection.request_timeout)?;
        let client = self.client().await?;
        let send = async || -> Result<_, Error> {
            within(limit, client.send(ask.request()?)).await?.map_err(|error| unreachable(&error))
        };
        let mut response = send().await?;
        // A server that has too much to do says when it has less.
        for _ in 0..MOST_AGAIN {
            let is_busy = response.status() == StatusCode::TOO_MANY_REQUESTS || response.status().is_server_error();
            let after = response.headers().get(header::RETRY_AFTER).filter(|_| is_busy);
            let Some(seconds) = after.and_then(|after| after.to_str().ok()?.parse().ok()) else { break };
            tokio::time::sleep(std::time::Duration::from_secs(seconds)).await;
            response = send().await?;
        }
        for warning in response.headers().get_all(header::WARNING) {
            // `299 - "text"`, as the API has them.
            let text =
                warning.to_str().ok().and_then(|text| Some(text.split_once('"')?.1.strip_suffix('"')?.to_owned()));
            if let Some(text) = text {
                self.warnings += 1;
                self.remark(&format!("Warning: {}", text.replace("\\\"", "\"")))?;
            }
        }
        let status = response.status();
        if status.is_success() {
            return Ok(response.into_body());
        }
        let whole = response.into_body().collect().await.map(|whole| whole.to_bytes()).unwrap_or_default();
        let said = serde_json::from_slice::<Value>(&whole).ok().filter(|said| said["kind"] == "Status");
        Err(Error::Server(Box::new(said.unwrap_or_else(|| of_plain(status, &whole)))))
    }
}

/// Waits for an answer, for as long as a request may take.
async fn within<T>(limit: Option<std::time::Duration>, answer: impl Future<Output = T>) -> Result<T, Error> {
    let Some(limit) = limit else { return Ok(answer.await) };
    let late = "Unable to connect to the server: it has not answered within the --request-timeout";
    tokio::time::timeout(limit, answer).await.map_err(|_| Error::Unreachable(late.to_owned()))
}

/// A question to the server.
#[derive(Clone, Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) method: Method,
    /// Its path, without what follows a question mark.
    pub(crate) path: &'a str,
    /// Its parameters. Those without a value are left out.
    pub(crate) query: Vec<(&'a str, String)>,
    pub(crate) accept: &'a str,
    pub(crate) content_type: Option<&'a str>,
    pub(crate) body: Vec<u8>,
}

impl<'a> Ask<'a> {
    /// For what is at a path, as JSON.
    pub(crate) fn get(path: &'a str) -> Ask<'a> {
        Ask {
            method: Method::GET,
            path,
            query: Vec::new(),
            accept: "application/json",
            content_type: None,
            body: Vec::new(),
        }
    }

    /// To do something with JSON.
    pub(crate) fn with(method: Method, path: &'a str, body: &Value) -> Ask<'a> {
        let body = body.to_string().into_bytes();
        Ask { method, content_type: Some("application/json"), body, ..Ask::get(path) }
    }

    /// With a parameter, unless its value is empty.
    pub(crate) fn query(mut self, name: &'a str, value: impl Into<String>) -> Ask<'a> {
        let value = value.into();
        if !value.is_empty() {
            self.query.push((name, value));
        }
        self
    }

    fn request(&self) -> Result<Request<Body>, Error> {
        let mut request = Request::builder().uri(self.uri()).method(self.method.clone());
        request = request.header(header::ACCEPT, self.accept);
        if let Some(content_type) = self.content_type {
            request = request.header(header::CONTENT_TYPE, content_type);
        }
        request.body(Body::from(self.body.clone())).map_err(|error| Error::said(error.to_string()))
    }

    pub(crate) fn uri(&self) -> String {
        if self.query.is_empty() {
            return self.path.to_owned();
        }
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.query).finish();
        format!("{}?{query}", self.path)
    }
}

/// What an answer means that is no status of the API, in kubectl's words.
fn of_plain(status: StatusCode, body: &[u8]) -> Value {
    let text = String::from_utf8_lossy(body);
    let (reason, message) = match status {
        StatusCode::UNAUTHORIZED => {
            ("Unauthorized", "the server has asked for the client to provide credentials".into())
        }
        StatusCode::FORBIDDEN => ("Forbidden", format!("forbidden: {}", text.trim())),
        StatusCode::NOT_FOUND => ("NotFound", "the server could not find the requested resource".into()),
        StatusCode::METHOD_NOT_ALLOWED => {
            ("MethodNotAllowed", "the server does not allow this method on the requested resource".into())
        }
        _ => ("", text.trim().to_owned()),
    };
    serde_json::json!({"reason": reason, "message": message, "code": status.as_u16()})
}

/// In kubectl's words, if nobody listens there.
pub(crate) fn unreachable(error: &kube::Error) -> Error {
    let mut cause: &dyn std::error::Error = error;
    let mut last = cause.to_string();
    while let Some(next) = cause.source() {
        cause = next;
        last = cause.to_string();
    }
    if last.contains("Connection refused") {
        return Error::Unreachable(
            "The connection to the server was refused - is the cluster running? Start it with `gantry up`, or choose \
             another with --kubeconfig, --context or --server"
                .to_owned(),
        );
    }
    Error::Unreachable(format!("Unable to connect to the server: {last}"))
}

/// A duration as Go writes it, such as `1m30s`, or a number of seconds; none if it is 0.
pub(crate) fn duration(option: &str, text: &str) -> Result<Option<std::time::Duration>, Error> {
    if let Ok(seconds) = text.parse::<u64>() {
        return Ok((seconds > 0).then(|| std::time::Duration::from_secs(seconds)));
    }
    let wrong = |why: String| Error::said(format!("{option} {text:?}: {why}: write it as 30s or 1m30s"));
    let nanoseconds = api::cron::duration::parse(text).map_err(|error| wrong(error.to_string()))?;
    let nanoseconds = u64::try_from(nanoseconds).map_err(|_| wrong("it is less than nothing".to_owned()))?;
    Ok((nanoseconds > 0).then(|| std::time::Duration::from_nanos(nanoseconds)))
}
