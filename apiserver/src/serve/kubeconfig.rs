//! The file by which clients find a cluster, and are known there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::PemPair;

/// Where clients on this machine reach a server that listens at `listen`.
#[must_use]
pub fn server_url(listen: SocketAddr) -> String {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    format!("https://{}", SocketAddr::new(ip, listen.port()))
}

/// A user's kubeconfig. Everything that is put in is base64, or a URL or a name of ours, which YAML takes as they are.
pub(super) fn kubeconfig(url: &str, authority: &str, name: &str, user: &PemPair) -> String {
    let authority = STANDARD.encode(authority);
    let certificate = STANDARD.encode(&user.certificate);
    let key = STANDARD.encode(&user.key);
    format!(
        "apiVersion: v1
kind: Config
clusters:
- name: gantry
  cluster:
    certificate-authority-data: {authority}
    server: {url}
contexts:
- name: gantry
  context:
    cluster: gantry
    user: {name}
current-context: gantry
preferences: {{}}
users:
- name: {name}
  user:
    client-certificate-data: {certificate}
    client-key-data: {key}
"
    )
}
