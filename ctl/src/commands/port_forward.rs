//! `gantry port-forward`: ports of this machine that lead to ports of a pod.
//!
//! One connection to the server carries all of them, with two streams for each connection that is forwarded: its bytes, and
//! why it failed. The command ends when that connection does, as kubectl's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use clap::Args;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, mpsc};

use crate::pods::{self, Preference, metadata};
use crate::session::duration;
use crate::streams::{forwarding, spdy};
use crate::{Error, Session};

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 128;
/// How many connections are forwarded at once; others wait.
const MOST: usize = 512;
/// How much is read at once.
const PIECE: usize = 32 << 10;

/// The arguments.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// To what: a pod, or TYPE/NAME of what has pods; and which ports: PORT, LOCAL:PORT, or :PORT for one that is free.
    /// Ports may be numbers or names.
    #[arg(value_name = "WHAT PORT")]
    what: Vec<String>,
    /// Where to listen: addresses of this machine, or localhost, which is 127.0.0.1 and ::1 as far as they are there.
    #[arg(long, value_name = "ADDRESSES", default_value = "localhost", value_delimiter = ',')]
    address: Vec<String>,
    /// How long to wait for an owner to have a pod.
    #[arg(long, value_name = "DURATION", default_value = "1m0s")]
    pod_running_timeout: String,
}

/// A port here, and the pod's that it leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Forward {
    local: u16,
    remote: u16,
}

/// Something to be said.
enum News {
    Out(String),
    Err(String),
}

/// Listens, and forwards what comes, until it is interrupted or the connection to the pod is lost.
pub(crate) async fn run(arguments: Arguments, session: &mut Session<'_>) -> Result<(), Error> {
    let [what, ports @ ..] = &arguments.what[..] else { return Err(usage()) };
    if ports.is_empty() {
        return Err(usage());
    }
    let timeout = duration("--pod-running-timeout", &arguments.pod_running_timeout)?;
    let timeout = timeout.ok_or_else(|| Error::said("--pod-running-timeout must be higher than zero"))?;
    let object = pods::object(session, std::slice::from_ref(what)).await?;
    let (pod, _) = pods::of(session, &object, timeout, Preference::Running).await?;
    let addresses = addresses(&arguments.address)?;
    let forwards: Vec<Forward> = ports.iter().map(|port| forward(port, &object, &pod)).collect::<Result<_, _>>()?;
    let phase = pod["status"]["phase"].as_str().unwrap_or_default();
    if phase != "Running" {
        return Err(Error::said(format!("unable to forward port because pod is not running. Current status={phase}")));
    }
    let uri = format!("{}/portforward", pods::path(metadata(&pod, "namespace"), metadata(&pod, "name")));
    let client = session.client().await?;
    let connection = forwarding(&client, &uri).await.map_err(|error| match error {
        Error::Said(why) => Error::said(format!("error upgrading connection: {why}")),
        other => other,
    })?;
    let (news, mut heard) = mpsc::channel(64);
    let slots = Arc::new(Semaphore::new(MOST));
    let mut is_listening = false;
    for forward in &forwards {
        for (listener, forward) in listen(session, *forward, &addresses)? {
            is_listening = true;
            let (connection, news, slots) = (connection.clone(), news.clone(), Arc::clone(&slots));
            tokio::spawn(accept(listener, forward, connection, news, slots));
        }
    }
    session.flush()?;
    if !is_listening {
        let ports: Vec<String> = forwards.iter().map(|it| format!("{{{} {}}}", it.local, it.remote)).collect();
        let words = format!("unable to listen on any of the requested ports: [{}]", ports.join(" "));
        return Err(Error::said(words));
    }
    let interrupted = tokio::signal::ctrl_c();
    tokio::pin!(interrupted);
    loop {
        tokio::select! {
            news = heard.recv() => match news {
                Some(News::Out(line)) => {
                    session.say(&line)?;
                    session.flush()?;
                }
                Some(News::Err(line)) => session.remark(&line)?,
                None => return Err(Error::said("lost connection to pod")),
            },
            () = connection.closed() => return Err(Error::said("lost connection to pod")),
            _ = &mut interrupted => return Ok(()),
        }
    }
}

fn usage() -> Error {
    Error::said(
        "TYPE/NAME and list of ports are required for port-forward\nSee 'gantry port-forward -h' for help and examples",
    )
}

/// Where to listen, and whether it is enough that one of several can be listened on.
fn addresses(named: &[String]) -> Result<Vec<(IpAddr, bool)>, Error> {
    let mut addresses: Vec<(IpAddr, bool)> = Vec::new();
    for name in named {
        let all: Vec<(IpAddr, bool)> = if name == "localhost" {
            vec![(Ipv4Addr::LOCALHOST.into(), true), (Ipv6Addr::LOCALHOST.into(), true)]
        } else {
            vec![(name.parse().map_err(|_| Error::said(format!("{name} is not a valid IP")))?, false)]
        };
        for (address, may_fail) in all {
            match addresses.iter_mut().find(|(known, _)| *known == address) {
                Some((_, known)) => *known &= may_fail,
                None => addresses.push((address, may_fail)),
            }
        }
    }
    addresses.sort_by_key(|(address, _)| address.to_string());
    Ok(addresses)
}

/// What a port that was named leads to.
fn forward(named: &str, object: &Value, pod: &Value) -> Result<Forward, Error> {
    let (local, remote) = match named.split(':').collect::<Vec<_>>()[..] {
        [both] => (both, both),
        [local, remote] => (local, remote),
        _ => return Err(Error::said(format!("invalid port format '{named}'"))),
    };
    if remote.is_empty() {
        return Err(Error::said("remote port cannot be empty"));
    }
    let (own, target) = if object["kind"] == "Service" {
        of_service(remote, object, pod)?
    } else {
        let number = of_pod(remote, pod)?;
        (number, number)
    };
    if target == 0 {
        return Err(Error::said("remote port must be > 0"));
    }
    let local = match local {
        // The same as there, which of a service is the port that it shows.
        _ if local == remote => own,
        "" => 0,
        local => {
            local.parse().map_err(|_| Error::said(format!("error parsing local port '{local}': invalid syntax")))?
        }
    };
    Ok(Forward { local, remote: target })
}

fn number(text: &str) -> Result<Option<u16>, Error> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    let number = text.parse();
    number.map(Some).map_err(|_| Error::said(format!("error parsing remote port '{text}': value out of range")))
}

fn entries<'a>(object: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    object.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

fn port_of(entry: &Value, field: &str) -> u16 {
    entry[field].as_u64().and_then(|port| port.try_into().ok()).unwrap_or(0)
}

fn is_udp(entry: &Value) -> bool {
    entry["protocol"] == "UDP"
}

/// Refuses a port that is one of UDP only.
fn check_protocol<'a>(named: &str, mut entries: impl Iterator<Item = &'a Value>) -> Result<(), Error> {
    let mut udp = false;
    if entries.any(|entry| {
        udp |= is_udp(entry);
        !is_udp(entry)
    }) || !udp
    {
        return Ok(());
    }
    Err(Error::said(format!("UDP protocol is not supported for {named}")))
}

/// A pod's port, by number or name.
fn of_pod(named: &str, pod: &Value) -> Result<u16, Error> {
    let ports = || entries(pod, "/spec/containers").flat_map(|container| entries(container, "/ports"));
    let port = match number(named)? {
        Some(port) => port,
        None => {
            let found = ports().find(|port| port["name"] == named);
            let words = || Error::said(format!("Pod '{}' does not have a named port '{named}'", metadata(pod, "name")));
            port_of(found.ok_or_else(words)?, "containerPort")
        }
    };
    check_protocol(named, ports().filter(|entry| port_of(entry, "containerPort") == port))?;
    Ok(port)
}

/// A service's port, by number or name, and the pod's that it leads to.
fn of_service(named: &str, service: &Value, pod: &Value) -> Result<(u16, u16), Error> {
    let name = metadata(service, "name");
    let ports = || entries(service, "/spec/ports");
    let asked = number(named)?;
    let port = match asked {
        Some(port) => ports().find(|entry| port_of(entry, "port") == port),
        None => ports().find(|entry| entry["name"] == named),
    };
    let Some(port) = port else {
        return Err(Error::said(match asked {
            Some(port) => format!("Service {name} does not have a service port {port}"),
            None => format!("Service '{name}' does not have a named port '{named}'"),
        }));
    };
    let own = port_of(port, "port");
    check_protocol(named, ports().filter(|entry| port_of(entry, "port") == own))?;
    // Without an address it leads nowhere else than where it is.
    if service["spec"]["clusterIP"] == "None" {
        return Ok((own, own));
    }
    let target = &port["targetPort"];
    match target.as_str() {
        Some(named) => {
            let container_ports = entries(pod, "/spec/containers").flat_map(|container| entries(container, "/ports"));
            let found = container_ports.into_iter().find(|entry| entry["name"] == named);
            let words = || Error::said(format!("Pod '{}' does not have a named port '{named}'", metadata(pod, "name")));
            Ok((own, port_of(found.ok_or_else(words)?, "containerPort")))
        }
        None => match port_of(port, "targetPort") {
            0 => Ok((own, own)),
            target => Ok((own, target)),
        },
    }
}

/// Listens for what is to be forwarded, at all addresses with the same port. What cannot be is said.
fn listen(
    session: &mut Session<'_>,
    mut forward: Forward,
    addresses: &[(IpAddr, bool)],
) -> Result<Vec<(TcpListener, Forward)>, Error> {
    let mut listeners = Vec::new();
    let mut failures = Vec::new();
    let mut has_failed = false;
    let (mut some, mut may_fail) = (false, false);
    for (address, is_optional) in addresses {
        may_fail |= is_optional;
        match bind(SocketAddr::new(*address, forward.local)) {
            Ok(listener) => {
                some |= is_optional;
                // What was chosen for one address holds for the others, too.
                forward.local = listener.local_addr()?.port();
                let at = SocketAddr::new(*address, forward.local);
                session.say(&format!("Forwarding from {at} -> {}", forward.remote))?;
                listeners.push((listener, forward));
            }
            Err(error) => {
                has_failed |= !is_optional;
                let at = SocketAddr::new(*address, forward.local);
                failures.push(format!("unable to create listener: Error listen {at}: {error}"));
            }
        }
    }
    if has_failed || (may_fail && !some) {
        session.remark(&format!(
            "Unable to listen on port {}: Listeners failed to create with the following errors: [{}]",
            forward.local,
            failures.join(" ")
        ))?;
        // As kubectl: what could be listened on is forwarded.
    }
    Ok(listeners)
}

fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

async fn accept(
    listener: TcpListener,
    forward: Forward,
    connection: spdy::Connection,
    news: mpsc::Sender<News>,
    slots: Arc<Semaphore>,
) {
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        let local = match listener.accept().await {
            Ok((local, _)) => local,
            Err(error) => {
                let _ = news.send(News::Err(format!("error accepting connection: {error}"))).await;
                continue;
            }
        };
        let (connection, news) = (connection.clone(), news.clone());
        tokio::spawn(async move {
            let _ = news.send(News::Out(format!("Handling connection for {}", forward.local))).await;
            if let Err(why) = carry(local, forward.remote, &connection).await {
                let Forward { local, remote } = forward;
                let words = format!("error: an error occurred forwarding {local} -> {remote}: {why}");
                let _ = news.send(News::Err(words)).await;
            }
            drop(slot);
        });
    }
}

/// Carries one connection to its end. Fails with why the pod's side could not be had.
async fn carry(local: TcpStream, port: u16, connection: &spdy::Connection) -> Result<(), String> {
    let words = |error: std::io::Error| error.to_string();
    let number = connection.number();
    let headers = |kind: &str| {
        vec![("streamtype", kind.to_owned()), ("port", port.to_string()), ("requestid", number.to_string())]
    };
    let mut errors = connection.open(headers("error")).await.map_err(words)?;
    // Nothing is said on it from here.
    errors.sender().finish().await.map_err(words)?;
    let mut data = connection.open(headers("data")).await.map_err(words)?;
    exchange(local, &mut data).await;
    // Whatever was not read must not stand in the way of what follows.
    data.reset().await;
    let mut why = Vec::new();
    while let Some(bytes) = errors.next().await {
        why.extend_from_slice(&bytes);
    }
    if why.is_empty() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&why).into_owned())
}

/// Both ways, until the pod's side has ended or this side has failed. That this side sends no more does not end it.
async fn exchange(mut local: TcpStream, data: &mut spdy::Stream) {
    let sender = data.sender();
    let (mut read, mut write) = local.split();
    let upwards = async {
        let mut buffer = vec![0; PIECE];
        loop {
            match read.read(&mut buffer).await {
                Ok(0) => break sender.finish().await,
                Ok(size) => sender.send(buffer[..size].to_vec().into()).await?,
                Err(error) => break Err(error),
            }
        }
    };
    let downwards = async {
        while let Some(bytes) = data.next().await {
            if write.write_all(&bytes).await.is_err() {
                return;
            }
        }
        let _ = write.shutdown().await;
    };
    tokio::pin!(upwards, downwards);
    let mut sends = true;
    loop {
        tokio::select! {
            sent = &mut upwards, if sends => match sent {
                Ok(()) => sends = false,
                Err(_) => return,
            },
            () = &mut downwards => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod() -> Value {
        json!({"kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [{"ports": [
            {"name": "http", "containerPort": 8080, "protocol": "TCP"}, {"containerPort": 53, "protocol": "UDP"}]}]}})
    }

    #[test]
    fn ports_are_numbers_or_names() {
        let service = json!({"kind": "Service", "metadata": {"name": "s"}, "spec": {"clusterIP": "10.0.0.1", "ports": [
            {"name": "web", "port": 80, "targetPort": "http"}, {"port": 81, "targetPort": 8081}, {"port": 82},
            {"port": 83, "protocol": "UDP"}, {"port": 84, "targetPort": "none"}]}});
        let found = |named: &str, object: &Value| {
            forward(named, object, &pod()).map(|it| (it.local, it.remote)).map_err(|error| error.to_string())
        };
        let check = |named: &str, object: &Value, expected| assert_eq!(found(named, object), Ok(expected), "{named}");
        check("5000", &pod(), (5000, 5000));
        check("8888:5000", &pod(), (8888, 5000));
        check(":5000", &pod(), (0, 5000));
        check("http", &pod(), (8080, 8080));
        check("1:http", &pod(), (1, 8080));
        check("80", &service, (80, 8080));
        check("web", &service, (80, 8080));
        check(":81", &service, (0, 8081));
        check("82", &service, (82, 82));
        let check = |named: &str, object: &Value, expected: &str| {
            assert_eq!(found(named, object), Err(format!("error: {expected}")), "{named}");
        };
        check("1:2:3", &pod(), "invalid port format '1:2:3'");
        check("1:", &pod(), "remote port cannot be empty");
        check("x:80", &pod(), "error parsing local port 'x': invalid syntax");
        check("70000", &pod(), "error parsing remote port '70000': value out of range");
        check("1:0", &pod(), "remote port must be > 0");
        check("53", &pod(), "UDP protocol is not supported for 53");
        check("x", &pod(), "Pod 'p' does not have a named port 'x'");
        check("79", &service, "Service s does not have a service port 79");
        check("x", &service, "Service 's' does not have a named port 'x'");
        check("83", &service, "UDP protocol is not supported for 83");
        check("84", &service, "Pod 'p' does not have a named port 'none'");
    }

    #[test]
    fn addresses_are_numbers_or_localhost() {
        let check = |named: &[&str], expected: &[(&str, bool)]| {
            let named: Vec<String> = named.iter().map(|&name| name.to_owned()).collect();
            let expected: Vec<_> = expected.iter().map(|(address, may)| (address.parse().unwrap(), *may)).collect();
            assert_eq!(addresses(&named).unwrap(), expected);
        };
        check(&["localhost"], &[("127.0.0.1", true), ("::1", true)]);
        check(&["localhost", "10.0.0.1"], &[("10.0.0.1", false), ("127.0.0.1", true), ("::1", true)]);
        check(&["127.0.0.1", "localhost"], &[("127.0.0.1", false), ("::1", true)]);
        let error = addresses(&["example.com".to_owned()]).unwrap_err().to_string();
        assert_eq!(error, "error: example.com is not a valid IP");
    }
}
