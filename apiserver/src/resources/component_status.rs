//! ComponentStatuses: whether the parts of the control plane answer. Deprecated since long, and still asked for.
//!
//! The store is asked; the others are looked for where they listen on this machine.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use api::field::ErrorList;
use api::status::Status;
use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::{ComponentCondition, ComponentStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::engine::Call;
use crate::strategy::{Column, NAME_COLUMN, Names, Source, Strategy};

/// How long a component may take to answer (upstream's time).
const LIMIT: Duration = Duration::from_secs(20);

/// The components beside the store, and the ports of their health checks.
const COMPONENTS: [(&str, u16); 2] = [("controller-manager", 10257), ("scheduler", 10259)];
const STORE: &str = "etcd-0";

pub(crate) struct ComponentStatuses;

impl Strategy for ComponentStatuses {
    type Object = ComponentStatus;

    fn names(&self) -> Names {
        Names::of::<ComponentStatus>("componentstatus", false).short(&["cs"])
    }

    fn source(&self) -> Source<ComponentStatus> {
        Source::Computed(compute)
    }

    fn validate(&self, _: &ComponentStatus) -> ErrorList {
        // Nobody can write one.
        ErrorList::new()
    }

    fn validate_update(&self, _: &ComponentStatus, _: &ComponentStatus) -> ErrorList {
        ErrorList::new()
    }

    fn columns(&self) -> &'static [Column] {
        const {
            &[
                NAME_COLUMN,
                Column::new("Status", "Status of the component conditions"),
                Column::new("Message", "Message of the component conditions"),
                Column::new("Error", "Error of the component conditions"),
            ]
        }
    }

    fn row(&self, object: &ComponentStatus, _: Timestamp) -> Vec<Value> {
        let healthy = object.conditions.iter().flatten().find(|condition| condition.type_ == "Healthy");
        let (status, message, error) = match healthy {
            None => ("Unknown", None, None),
            Some(ComponentCondition { status, message, error, .. }) => {
                let word = if status == "True" { "Healthy" } else { "Unhealthy" };
                (word, message.as_deref(), error.as_deref())
            }
        };
        let name = object.metadata.name.clone();
        vec![name.into(), status.into(), message.unwrap_or_default().into(), error.unwrap_or_default().into()]
    }
}

fn compute<'a>(call: &'a Call<'a>, name: Option<&'a str>) -> BoxFuture<'a, Result<Vec<ComponentStatus>, Status>> {
    async move {
        call.warn("v1 ComponentStatus is deprecated in v1.19+");
        let wanted = |known: &str| name.is_none_or(|name| name == known);
        let mut found = Vec::new();
        for (component, port) in COMPONENTS.into_iter().filter(|(component, _)| wanted(component)) {
            found.push(status_of(component, look(port).await));
        }
        if wanted(STORE) {
            found.push(status_of(STORE, call.engine.store().check().await.map_err(|error| error.to_string())));
        }
        Ok(found)
    }
    .boxed()
}

/// Whether something listens at `port`; if not, the error that upstream's probe shows.
async fn look(port: u16) -> Result<(), String> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let why = match tokio::time::timeout(LIMIT, TcpStream::connect(address)).await {
        Ok(Ok(_)) => return Ok(()),
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            "connect: connection refused".to_owned()
        }
        Ok(Err(error)) => format!("connect: {error}"),
        Err(_) => "i/o timeout".to_owned(),
    };
    Err(format!("Get \"https://{address}/healthz\": dial tcp {address}: {why}"))
}

fn status_of(name: &str, health: Result<(), String>) -> ComponentStatus {
    let (status, message) = match health {
        Ok(()) => ("True", "ok".to_owned()),
        Err(why) => ("False", why),
    };
    let condition = ComponentCondition {
        type_: "Healthy".to_owned(),
        status: status.to_owned(),
        message: Some(message),
        error: None,
    };
    ComponentStatus {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
        conditions: Some(vec![condition]),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rows() {
        let check = |object: &ComponentStatus, expected: [&str; 4]| {
            assert_eq!(ComponentStatuses.row(object, Timestamp::UNIX_EPOCH), expected.map(|cell| json!(cell)));
        };
        check(&status_of("etcd-0", Ok(())), ["etcd-0", "Healthy", "ok", ""]);
        check(&status_of("scheduler", Err("gone".to_owned())), ["scheduler", "Unhealthy", "gone", ""]);
        let named = |conditions: Value| json!({"metadata": {"name": "x"}, "conditions": conditions});
        let parsed = |value: Value| serde_json::from_value::<ComponentStatus>(value).unwrap();
        check(&parsed(named(json!([]))), ["x", "Unknown", "", ""]);
        check(
            &parsed(named(json!([{"type": "Healthy", "status": "Unknown", "error": "e"}]))),
            ["x", "Unhealthy", "", "e"],
        );
    }

    #[tokio::test]
    async fn what_does_not_listen_is_refused() {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(look(port).await, Ok(()));
        drop(listener);
        let expected =
            format!("Get \"https://127.0.0.1:{port}/healthz\": dial tcp 127.0.0.1:{port}: connect: connection refused");
        assert_eq!(look(port).await, Err(expected));
    }
}
