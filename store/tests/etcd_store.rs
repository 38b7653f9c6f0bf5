//! The suite over the etcd backend, with a real etcd of one member and of three.

// The lint's leave for tests does not reach their helpers.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use store::{Backend, EtcdBackend};

#[allow(dead_code, reason = "the tests of the backend itself use the rest of it")]
#[path = "etcd/harness/mod.rs"]
mod harness;
mod suite;

use harness::{Cluster, Setup};

struct Etcd<const MEMBERS: usize>(Cluster);

impl<const MEMBERS: usize> suite::Fixture for Etcd<MEMBERS> {
    const KEEPS: bool = true;

    async fn create() -> Self {
        Etcd(Cluster::start(Setup { members: MEMBERS, ..Setup::default() }).await)
    }

    async fn backend(&self) -> Arc<dyn Backend> {
        Arc::new(EtcdBackend::new(self.0.options()).expect("valid options"))
    }
}

mod one_member {
    use crate::{Etcd, backend_suite, suite};

    backend_suite!(Etcd<1>);
}

mod three_members {
    use crate::{Etcd, backend_suite, suite};

    backend_suite!(Etcd<3>);
}
