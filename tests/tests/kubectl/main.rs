//! The real kubectl against a server: what a user sees, word by word.
//!
//! Each test has a cluster of its own, once over the embedded store and once over etcd, and sees the same. Snapshots have everything replaced that differs from run to run
//! ([`tests::kubectl::stable`]); `INSTA_UPDATE=always cargo test -p tests --test kubectl` writes them anew.

mod audit;
mod changes;
mod deletion;
mod describe;
mod discovery;
mod encryption;
mod errors;
mod everyday;
mod identity;
mod lists;
mod services;
mod sessions;
mod tokens;
mod watches;

/// Makes two tests of each function: over the embedded store, and over etcd.
macro_rules! on_each_store {
    ($($session:ident),+ $(,)?) => {$(
        mod $session {
            use tests::kubectl::Kubectl;
            use tests::server::Backing;

            #[test]
            fn over_embedded() {
                super::$session(&Kubectl::over(Backing::Embedded));
            }

            #[test]
            fn over_etcd() {
                super::$session(&Kubectl::over(Backing::Etcd));
            }
        }
    )+};
}
pub(crate) use on_each_store;

/// Fails unless a session prints what its snapshot says.
macro_rules! check_session {
    ($kubectl:expr, $name:literal, $lines:literal) => {
        insta::assert_snapshot!($name, $kubectl.session($lines))
    };
}
pub(crate) use check_session;

/// A Deployment.
pub(crate) const DEPLOYMENT: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: 'nginx:1'}]}
";

/// A Pod.
pub(crate) const POD: &str = "\
apiVersion: v1
kind: Pod
metadata: {name: one, labels: {app: web}}
spec: {containers: [{name: c, image: nginx}]}
";
