//! Who uses a cluster by kubectl, and waits for what is to become of their objects.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::kubectl::{Kubectl, Reachable};
use crate::node::Node;

/// A user of a cluster, of one node unless it is said otherwise, in a namespace of their own.
pub struct User<'a, S = Node> {
    kubectl: Kubectl<&'a S>,
    namespace: String,
}

impl<S: Reachable> Reachable for &S {
    fn url(&self) -> &str {
        (**self).url()
    }

    fn kubeconfig(&self) -> &Path {
        (**self).kubeconfig()
    }

    fn command(&self, program: &str) -> Command {
        (**self).command(program)
    }
}

impl<'a, S: Reachable> User<'a, S> {
    /// A user with a new namespace.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn of(cluster: &'a S, namespace: &str) -> User<'a, S> {
        let user = User { kubectl: Kubectl::to(cluster), namespace: namespace.to_owned() };
        user.ok(&format!("create namespace {namespace}"));
        // Pods need the account, which a controller makes.
        user.ok("wait --for=create serviceaccount/default --timeout=60s");
        user
    }

    /// A user of a namespace that is there.
    ///
    /// # Panics
    /// If there is no kubectl.
    #[must_use]
    pub fn known(cluster: &'a S, namespace: &str) -> User<'a, S> {
        User { kubectl: Kubectl::to(cluster), namespace: namespace.to_owned() }
    }

    /// The cluster, where it is one node.
    #[must_use]
    pub fn node(&self) -> &'a S {
        self.kubectl.server
    }

    /// The namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// A kubectl that has not been started.
    #[must_use]
    pub fn command(&self, line: &str) -> Command {
        self.kubectl.command(&format!("-n {} {line}", self.namespace))
    }

    /// Runs kubectl, which has to succeed, and returns what it wrote to standard output.
    ///
    /// # Panics
    /// If it fails.
    pub fn ok(&self, line: &str) -> String {
        let output = self.command(line).output().expect("kubectl can be run");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "kubectl {line}: {text}{error}");
        text
    }

    /// Waits until kubectl writes what `is_so` wants.
    ///
    /// # Panics
    /// If it does not within a minute.
    pub fn until(&self, line: &str, is_so: impl Fn(&str) -> bool) -> String {
        let began = std::time::Instant::now();
        loop {
            let text = self.ok(line);
            if is_so(&text) {
                return text;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "kubectl {line}: {text}");
        }
    }

    /// Runs kubectl, which has to fail, and returns what it wrote to standard error.
    ///
    /// # Panics
    /// If it succeeds.
    pub fn fails(&self, line: &str) -> String {
        let output = self.command(line).output().expect("kubectl can be run");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "kubectl {line}: {}", String::from_utf8_lossy(&output.stdout));
        error
    }

    /// Makes objects.
    ///
    /// # Panics
    /// If they are refused.
    pub fn apply(&self, manifest: &serde_json::Value) {
        let name = format!("{}.json", manifest["metadata"]["name"].as_str().unwrap_or("list"));
        self.kubectl.file(&name, &manifest.to_string());
        self.ok(&format!("apply -f {name}"));
    }

    /// Writes a file where kubectl runs.
    pub fn file(&self, name: &str, content: &str) {
        self.kubectl.file(name, content);
    }

    /// Where kubectl runs.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.kubectl.directory()
    }

    /// Waits until something of an object is so (`kubectl wait --for`).
    ///
    /// # Panics
    /// If it does not become so.
    pub fn wait(&self, object: &str, what: &str) {
        let output = self.command(&format!("wait {object} --for={what} --timeout=120s")).output();
        let output = output.expect("kubectl can be run");
        if !output.status.success() {
            let error = String::from_utf8_lossy(&output.stderr);
            let so = self.command(&format!("get {object} -o 'jsonpath={{.status}}'")).output();
            let so = so.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
            panic!("kubectl wait {object} --for={what}: {error}it is: {so}");
        }
    }

    /// A part of an object.
    ///
    /// # Panics
    /// If it cannot be had.
    pub fn get(&self, object: &str, path: &str) -> String {
        self.ok(&format!("get {object} -o 'jsonpath={{{path}}}'"))
    }
}
