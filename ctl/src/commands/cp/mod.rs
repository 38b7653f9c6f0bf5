//! `gantry cp`: files and directories, to and from containers, by the `tar` that is in them.

mod archive;

use std::path::{Path, PathBuf};

use bytes::Bytes;
use clap::Args;
use tokio::sync::mpsc;

use crate::commands::exec;
use crate::pods;
use crate::streams::remote::{Ended, Input, Output, Remote, Wanted, ended};
use crate::{Error, Session};

/// How many pieces, or warnings, may wait.
const WAITING: usize = 16;

/// The arguments.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// From where, and to where: PATH here, or [NAMESPACE/]POD:PATH.
    #[arg(value_name = "FROM TO")]
    what: Vec<String>,
    /// To or from which container.
    #[arg(short, long, value_name = "NAME", default_value = "", hide_default_value = true)]
    container: String,
    /// Leave owners and permissions to the container.
    #[arg(long, value_name = "BOOL", default_value_t = false, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    no_preserve: bool,
    /// How often to go on with a copy from a container that broke off; as often as it takes if less than 0.
    #[arg(long, value_name = "COUNT", default_value_t = 0, allow_negative_numbers = true)]
    retries: i64,
}

/// A place.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Here(String),
    There { namespace: Option<String>, pod: String, path: String },
}

impl std::str::FromStr for Place {
    type Err = Error;

    fn from_str(text: &str) -> Result<Place, Error> {
        let wrong = || Error::said("filespec must match the canonical format: [[namespace/]pod:]file/path");
        let (pod, path) = match text.split_once(':') {
            None => return Ok(Place::Here(without_slash(text))),
            Some(("", _)) => return Err(wrong()),
            Some((pod, path)) => (pod, without_slash(path).replace('\\', "/")),
        };
        match pod.split('/').collect::<Vec<_>>()[..] {
            [pod] => Ok(Place::There { namespace: None, pod: pod.to_owned(), path }),
            [namespace, pod] => Ok(Place::There { namespace: Some(namespace.to_owned()), pod: pod.to_owned(), path }),
            _ => Err(wrong()),
        }
    }
}

fn without_slash(path: &str) -> String {
    let shorter = path.strip_suffix('/').filter(|shorter| !shorter.is_empty());
    shorter.unwrap_or(path).to_owned()
}

/// A container, in which commands are run.
struct Container {
    namespace: String,
    pod: String,
    name: String,
}

/// Copies.
pub(crate) async fn run(arguments: Arguments, session: &mut Session<'_>) -> Result<(), Error> {
    let [from, to] = &arguments.what[..] else { return Err(Error::said("source and destination are required")) };
    let empty = || Error::said("filepath can not be empty");
    match (from.parse()?, to.parse()?) {
        (Place::There { .. }, Place::There { .. }) => {
            Err(Error::said("one of src or dest must be a local file specification"))
        }
        (Place::Here(from), Place::There { path, .. }) if from.is_empty() || path.is_empty() => Err(empty()),
        (Place::There { path, .. }, Place::Here(to)) if path.is_empty() || to.is_empty() => Err(empty()),
        (Place::There { namespace, pod, path }, Place::Here(to)) => {
            let container = container(session, namespace, pod, &arguments).await?;
            fetch(session, &container, &path, PathBuf::from(to), arguments.retries).await
        }
        (Place::Here(from), Place::There { namespace, pod, path }) => {
            if std::fs::metadata(&from).is_err() {
                return Err(Error::said(format!("{from} doesn't exist in local filesystem")));
            }
            let container = container(session, namespace, pod, &arguments).await?;
            send(session, &container, Path::new(&from), &path, arguments.no_preserve).await
        }
        (Place::Here(_), Place::Here(_)) => Err(Error::said("one of src or dest must be a remote file specification")),
    }
}

async fn container(
    session: &mut Session<'_>,
    namespace: Option<String>,
    pod: String,
    arguments: &Arguments,
) -> Result<Container, Error> {
    let namespace = match namespace {
        Some(namespace) => namespace,
        None => session.namespace().await?,
    };
    let object = pods::pod(session, &namespace, &pod).await?;
    if pods::is_completed(&object) {
        let phase = object["status"]["phase"].as_str().unwrap_or_default();
        return Err(Error::said(format!("cannot exec into a container in a completed pod; current phase is {phase}")));
    }
    let (name, remark) = pods::container(&object, &arguments.container)?;
    if let Some(remark) = remark {
        session.remark(&remark)?;
    }
    Ok(Container { namespace, pod, name })
}

impl Container {
    async fn begin(&self, session: &mut Session<'_>, command: &[String], stdin: bool) -> Result<Remote, Error> {
        let wanted = Wanted { stdin, stderr: true, tty: false };
        let uri = exec::uri(&self.namespace, &self.pod, &self.name, command, wanted);
        Remote::begin(&session.client().await?, &uri, wanted).await
    }

    /// Whether there is a directory of this name.
    async fn has_directory(&self, session: &mut Session<'_>, path: &str) -> Result<bool, Error> {
        let mut remote = self.begin(session, &words(&["test", "-d", path]), false).await?;
        let mut status = None;
        while let Some(output) = remote.next().await {
            if let Output::Status(bytes) = output {
                status = Some(bytes);
            }
        }
        Ok(ended(status.as_deref()) == Ended::Well)
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

/// Says how a command ended, and fails if it did.
fn conclude(session: &mut Session<'_>, ended: Ended) -> Result<(), Error> {
    match ended {
        Ended::Well => Ok(()),
        Ended::With(code) => {
            session.remark(&format!("command terminated with exit code {code}"))?;
            Err(Error::Exit(code))
        }
        Ended::Badly(why) => Err(Error::said(why)),
    }
}

/// Copies to a container.
async fn send(
    session: &mut Session<'_>,
    container: &Container,
    from: &Path,
    to: &str,
    no_preserve: bool,
) -> Result<(), Error> {
    let mut to = archive::clean(to);
    if container.has_directory(session, &to).await? {
        let name = archive::base(from)?;
        to = archive::clean(&format!("{to}/{name}"));
    }
    let (directory, name) = archive::split(&to);
    let mut command = words(&["tar"]);
    if no_preserve {
        command.extend(words(&["--no-same-permissions", "--no-same-owner"]));
    }
    command.extend(words(&["-xmf", "-", "-C", directory]));
    let mut remote = container.begin(session, &command, true).await?;
    let (warnings, mut warned) = mpsc::channel(WAITING);
    let (input, from, name) = (remote.input.clone(), from.to_owned(), name.to_owned());
    let packing = tokio::task::spawn_blocking(move || {
        let packed = archive::pack(&from, &name, Sink(&input), &mut |warning| {
            let _ = warnings.blocking_send(warning);
        });
        // Also after a failure: what is there should not wait for more.
        let _ = input.blocking_send(Input::End);
        packed
    });
    let mut status = None;
    loop {
        tokio::select! {
            output = remote.next() => match output {
                Some(Output::Stdout(bytes)) => session.write_bytes(&bytes)?,
                Some(Output::Stderr(bytes)) => session.remark_bytes(&bytes)?,
                Some(Output::Status(bytes)) => status = Some(bytes),
                None => break,
            },
            Some(warning) = warned.recv() => session.remark(&warning)?,
        }
    }
    drop(remote);
    // Nobody hears what is still to be warned of, and nobody waits for it to be heard.
    while let Some(warning) = warned.recv().await {
        session.remark(&warning)?;
    }
    let packed = packing.await.map_err(|error| Error::said(error.to_string()))?;
    conclude(session, ended(status.as_deref()))?;
    Ok(packed?)
}

/// Copies from a container.
async fn fetch(
    session: &mut Session<'_>,
    container: &Container,
    from: &str,
    to: PathBuf,
    retries: i64,
) -> Result<(), Error> {
    let (pieces, received) = mpsc::channel::<Bytes>(WAITING);
    let (warnings, mut warned) = mpsc::channel(WAITING);
    let prefix = archive::prefix(from);
    let mut unpacking = tokio::task::spawn_blocking(move || {
        let mut source = Source { received, rest: Bytes::new() };
        archive::unpack(&mut source, &prefix, &to, &mut |warning| {
            let _ = warnings.blocking_send(warning);
        })
    });
    let (mut copied, mut tries, mut is_unpacked) = (0_u64, 0_i64, false);
    let ended = loop {
        let mut remote = container.begin(session, &reading(from, copied), false).await?;
        let mut status = None;
        loop {
            tokio::select! {
                // Whether the command ended well is still to be seen.
                unpacked = &mut unpacking, if !is_unpacked => {
                    unpacked.map_err(|error| Error::said(error.to_string()))??;
                    is_unpacked = true;
                }
                Some(warning) = warned.recv() => session.remark(&warning)?,
                output = remote.next() => match output {
                    Some(Output::Stdout(bytes)) => {
                        copied += bytes.len() as u64;
                        pass_on(session, &pieces, bytes, &mut warned).await?;
                    }
                    Some(Output::Stderr(bytes)) => session.remark_bytes(&bytes)?,
                    Some(Output::Status(bytes)) => status = Some(bytes),
                    None => break,
                },
            }
        }
        let ended = ended(status.as_deref());
        if ended == Ended::Well || retries == 0 || is_unpacked {
            break ended;
        }
        if retries > 0 && tries >= retries {
            session.remark(&format!("Dropping out copy after {tries} retries"))?;
            break ended;
        }
        tries += 1;
        session.remark(&format!("Resuming copy at {copied} bytes, retry {tries}/{retries}"))?;
    };
    drop(pieces);
    while let Some(warning) = warned.recv().await {
        session.remark(&warning)?;
    }
    // What the command says of itself says more than that its archive broke off.
    conclude(session, ended)?;
    if !is_unpacked {
        unpacking.await.map_err(|error| Error::said(error.to_string()))??;
    }
    Ok(())
}

/// Gives a piece to the archive's reader, which may have something to say before it takes it.
async fn pass_on(
    session: &mut Session<'_>,
    pieces: &mpsc::Sender<Bytes>,
    bytes: Bytes,
    warned: &mut mpsc::Receiver<String>,
) -> Result<(), Error> {
    let sent = pieces.send(bytes);
    tokio::pin!(sent);
    loop {
        tokio::select! {
            // Who does not read any more has failed, or seen the archive's end.
            _ = &mut sent => return Ok(()),
            Some(warning) = warned.recv() => session.remark(&warning)?,
        }
    }
}

/// The command that shows a path as an archive, from a byte on.
fn reading(path: &str, from: u64) -> Vec<String> {
    if from == 0 {
        return words(&["tar", "cf", "-", path]);
    }
    let quoted = path.replace('\'', r"'\''");
    words(&["sh", "-c", &format!("tar cf - '{quoted}' | tail -c+{}", from + 1)])
}

/// The way into a command, for who writes and waits.
struct Sink<'a>(&'a mpsc::Sender<Input>);

impl std::io::Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let sent = self.0.blocking_send(Input::Bytes(Bytes::copy_from_slice(bytes)));
        sent.map(|()| bytes.len()).map_err(|_| std::io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What comes out of a command, for who reads and waits.
struct Source {
    received: mpsc::Receiver<Bytes>,
    rest: Bytes,
}

impl std::io::Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.rest.is_empty() {
            match self.received.blocking_recv() {
                Some(bytes) => self.rest = bytes,
                None => return Ok(0),
            }
        }
        let size = self.rest.len().min(buffer.len());
        buffer[..size].copy_from_slice(&self.rest.split_to(size));
        Ok(size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_here_or_in_a_pod() {
        let there = |namespace: Option<&str>, pod: &str, path: &str| Place::There {
            namespace: namespace.map(str::to_owned),
            pod: pod.to_owned(),
            path: path.to_owned(),
        };
        let check = |text: &str, expected: Place| assert_eq!(text.parse::<Place>().unwrap(), expected, "{text}");
        check("/a/b", Place::Here("/a/b".to_owned()));
        check("a/", Place::Here("a".to_owned()));
        check("/", Place::Here("/".to_owned()));
        check("p:/a/", there(None, "p", "/a"));
        check("n/p:a:b", there(Some("n"), "p", "a:b"));
        check(r"p:a\b", there(None, "p", "a/b"));
        for text in [":a", "a/b/c:d"] {
            let error = text.parse::<Place>().unwrap_err().to_string();
            assert_eq!(error, "error: filespec must match the canonical format: [[namespace/]pod:]file/path");
        }
    }

    #[test]
    fn a_copy_goes_on_where_it_broke_off() {
        assert_eq!(reading("/a b", 0), ["tar", "cf", "-", "/a b"]);
        assert_eq!(reading("/a'b", 9), ["sh", "-c", r"tar cf - '/a'\''b' | tail -c+10"]);
    }
}
