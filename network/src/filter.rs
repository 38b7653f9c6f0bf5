//! Letting pods' packets pass where iptables lets nobody's pass.
//!
//! Docker, for one, sets the policy of iptables' chain `FORWARD` to drop. What another table accepts is dropped there
//! nevertheless, so that the packets of pods have to be accepted there: by a chain of ours, which comes last, behind all
//! that the administrator forbids. Where the policy lets everybody pass, iptables has nothing of us. A table that others made
//! with nftables itself is not looked at.

use std::process::Stdio;

use nft::Prefix;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::{Duration, timeout};

use crate::members::text;
use crate::{Error, FORWARD_CHAIN};

/// How long another program may hold iptables' lock.
const LOCK: &str = "5";
/// How long iptables may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Where the programs are even if the search path does not say so.
const DIRECTORIES: [&str; 4] = ["/usr/sbin", "/sbin", "/usr/local/sbin", "/usr/bin"];

/// Has the packets from and to these ranges pass.
pub(crate) async fn accept(ranges: &[Prefix]) -> Result<(), Error> {
    for is_ipv4 in [true, false] {
        let ranges: Vec<&Prefix> = ranges.iter().filter(|range| range.address.is_ipv4() == is_ipv4).collect();
        let Some(listing) = list(is_ipv4).await? else { continue };
        if let Some(script) = script(&listing, &ranges) {
            restore(is_ipv4, &script).await?;
        }
    }
    Ok(())
}

/// Removes what is ours, and says whether there was something.
pub(crate) async fn remove() -> Result<bool, Error> {
    let mut found = false;
    for is_ipv4 in [true, false] {
        let Some(listing) = list(is_ipv4).await? else { continue };
        if let Some(script) = removal(&listing) {
            found = true;
            restore(is_ipv4, &script).await?;
        }
    }
    Ok(found)
}

/// What `iptables -S` says. `None` without the program, as nobody has rules by it then.
async fn list(is_ipv4: bool) -> Result<Option<String>, Error> {
    run(if is_ipv4 { "iptables" } else { "ip6tables" }, &["-w", LOCK, "-S"], "").await
}

async fn restore(is_ipv4: bool, script: &str) -> Result<(), Error> {
    let program = if is_ipv4 { "iptables-restore" } else { "ip6tables-restore" };
    run(program, &["-w", LOCK, "--noflush"], script).await.map(drop)
}

async fn run(program: &str, arguments: &[&str], input: &str) -> Result<Option<String>, Error> {
    let path = std::env::var("PATH").unwrap_or_default();
    let path = [&[path.as_str()], &DIRECTORIES[..]].concat().join(":");
    let mut command = Command::new(program);
    command.args(arguments).env("PATH", path).kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let wrong = |why: String| Error::Program(format!("{program}: {why}"));
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(wrong(error.to_string())),
    };
    let worked = async {
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.as_bytes()).await?;
        }
        child.wait_with_output().await
    };
    let output = timeout(PATIENCE, worked).await.map_err(|_| wrong(format!("not within {PATIENCE:?}")))?;
    let output = output.map_err(|error| wrong(error.to_string()))?;
    if !output.status.success() {
        return Err(wrong(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    Ok(Some(String::from_utf8_lossy(&output.stdout).into_owned()))
}

/// What leads to packets of the ranges passing, in the words of `iptables-restore`. `None` if nothing is to be done.
fn script(listing: &str, ranges: &[&Prefix]) -> Option<String> {
    if ranges.is_empty() || !listing.lines().any(|line| line == "-P FORWARD DROP") {
        return None;
    }
    let rule = |side: &str, range: &Prefix| format!("-A {FORWARD_CHAIN} {side} {} -j ACCEPT", text(range));
    let wanted: Vec<String> = ranges.iter().flat_map(|range| [rule("-s", range), rule("-d", range)]).collect();
    let prefix = format!("-A {FORWARD_CHAIN} ");
    let there: Vec<&str> = listing.lines().filter(|line| line.starts_with(&prefix)).collect();
    let jumps = listing.lines().any(|line| line == jump());
    if there == wanted && jumps {
        return None;
    }
    let jump = if jumps { String::new() } else { format!("{}\n", jump()) };
    Some(format!("*filter\n:{FORWARD_CHAIN} - [0:0]\n{}\n{jump}COMMIT\n", wanted.join("\n")))
}

/// What leads to iptables having nothing of us. `None` if it has nothing.
fn removal(listing: &str) -> Option<String> {
    if !listing.lines().any(|line| line == format!("-N {FORWARD_CHAIN}")) {
        return None;
    }
    let jumps = listing.lines().filter(|line| *line == jump()).count();
    let jumps = format!("-D FORWARD -j {FORWARD_CHAIN}\n").repeat(jumps);
    Some(format!("*filter\n:{FORWARD_CHAIN} - [0:0]\n{jumps}-X {FORWARD_CHAIN}\nCOMMIT\n"))
}

fn jump() -> String {
    format!("-A FORWARD -j {FORWARD_CHAIN}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::members::parse;

    const DOCKER: &str =
        "-P INPUT ACCEPT\n-P FORWARD DROP\n-P OUTPUT ACCEPT\n-N DOCKER-USER\n-A FORWARD -j DOCKER-USER\n";

    #[test]
    fn pods_pass_where_nobody_else_does() {
        let range = parse("10.0.1.0/24").unwrap();
        assert_eq!(script("-P FORWARD ACCEPT\n", &[&range]), None);
        assert_eq!(script(DOCKER, &[]), None);
        let rules = "-A GANTRY-FORWARD -s 10.0.1.0/24 -j ACCEPT\n-A GANTRY-FORWARD -d 10.0.1.0/24 -j ACCEPT\n";
        let whole = format!("*filter\n:GANTRY-FORWARD - [0:0]\n{rules}-A FORWARD -j GANTRY-FORWARD\nCOMMIT\n");
        assert_eq!(script(DOCKER, &[&range]), Some(whole));
        let done = format!("{DOCKER}-N GANTRY-FORWARD\n-A FORWARD -j GANTRY-FORWARD\n{rules}");
        assert_eq!(script(&done, &[&range]), None);
        let other = parse("10.0.2.0/24").unwrap();
        let changed = script(&done, &[&other]).unwrap();
        assert!(changed.contains("-s 10.0.2.0/24") && !changed.contains("-A FORWARD"), "{changed}");
    }

    #[test]
    fn what_is_ours_is_removed() {
        assert_eq!(removal(DOCKER), None);
        let there = format!("{DOCKER}-N GANTRY-FORWARD\n-A FORWARD -j GANTRY-FORWARD\n");
        let expected = "*filter\n:GANTRY-FORWARD - [0:0]\n-D FORWARD -j GANTRY-FORWARD\n-X GANTRY-FORWARD\nCOMMIT\n";
        assert_eq!(removal(&there).as_deref(), Some(expected));
    }
}
