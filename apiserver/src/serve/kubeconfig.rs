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

/// The administrator's kubeconfig. Everything that is put in is base64 or a URL of ours, which YAML takes as they are.
pub(super) fn kubeconfig(url: &str, authority: &str, admin: &PemPair) -> String {
    let authority = STANDARD.encode(authority);
    let certificate = STANDARD.encode(&admin.certificate);
    let key = STANDARD.encode(&admin.key);
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
    user: kubernetes-admin
current-context: gantry
preferences: {{}}
users:
- name: kubernetes-admin
  user:
    client-certificate-data: {certificate}
    client-key-data: {key}
"
    )
}
