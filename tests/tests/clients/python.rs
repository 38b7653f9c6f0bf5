//! The Python client `kubernetes`, in the virtual environment that `make deps` makes.

use std::path::Path;
use std::process::Command;

use tests::server::{Backing, Server};

fn run(backing: Backing) {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = here.join("../target/python-client/bin/python");
    assert!(python.exists(), "there is no {}: run `make deps`", python.display());
    let server = Server::start(backing);
    let output = Command::new(python)
        .arg(here.join("tests/clients/session.py"))
        .arg(&server.kubeconfig)
        // Proxies are not for a server on this machine.
        .env("NO_PROXY", "*")
        .output()
        .expect("Python can be run");
    let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}", shown(&output.stdout), shown(&output.stderr));
    assert_eq!(shown(&output.stdout), "every step passed\n");
}

#[test]
fn works_over_embedded() {
    run(Backing::Embedded);
}

#[test]
fn works_over_etcd() {
    run(Backing::Etcd);
}
