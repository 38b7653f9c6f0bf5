//! Probes by gRPC: `grpc.health.v1.Health/Check`, without encryption.

use std::time::Duration;

use http::uri::PathAndQuery;
use tokio::time::{Instant, sleep, timeout_at};
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

use super::dial::joined;
use super::http::USER_AGENT_VERSION;
use super::{Verdict, error_of, spoken};

/// How long to wait until a server is dialled again that was not there (what gRPC's clients wait at first).
const AGAIN: Duration = Duration::from_secs(1);

/// What is asked: `grpc.health.v1.HealthCheckRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct HealthCheckRequest {
    /// The service, or nothing for the whole server.
    #[prost(string, tag = "1")]
    pub(super) service: String,
}

/// What is answered: `grpc.health.v1.HealthCheckResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct HealthCheckResponse {
    /// How the service is.
    #[prost(enumeration = "ServingStatus", tag = "1")]
    pub(super) status: i32,
}

/// How a service is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub(super) enum ServingStatus {
    Unknown = 0,
    Serving = 1,
    NotServing = 2,
    ServiceUnknown = 3,
}

impl ServingStatus {
    fn name(status: i32) -> String {
        match ServingStatus::try_from(status) {
            Ok(ServingStatus::Unknown) => "UNKNOWN".to_owned(),
            Ok(ServingStatus::Serving) => "SERVING".to_owned(),
            Ok(ServingStatus::NotServing) => "NOT_SERVING".to_owned(),
            Ok(ServingStatus::ServiceUnknown) => "SERVICE_UNKNOWN".to_owned(),
            Err(_) => status.to_string(),
        }
    }
}

/// Asks a server how a service is. That it is not there, or does not answer in time, is a failure.
pub(super) async fn look(host: &str, port: u16, service: &str, timeout: Duration) -> Verdict {
    let address = joined(host, port);
    let deadline = Instant::now() + timeout;
    let agent = format!("kube-probe/{USER_AGENT_VERSION}");
    let endpoint = Endpoint::from_shared(format!("http://{address}")).and_then(|endpoint| endpoint.user_agent(agent));
    let endpoint = match endpoint {
        Ok(endpoint) => endpoint,
        Err(error) => return Verdict::Bad(format!("error: failed to connect service at {address:?}: {error}")),
    };
    let Ok(channel) = timeout_at(deadline, connected(&endpoint)).await else {
        return Verdict::Bad(format!(
            "timeout: failed to connect service {address:?} within {}: context deadline exceeded",
            spoken(timeout)
        ));
    };
    let answer = timeout_at(deadline, ask(channel, service)).await;
    of(answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("context deadline exceeded"))), timeout)
}

/// A connection, as soon as there is one.
async fn connected(endpoint: &Endpoint) -> Channel {
    loop {
        match endpoint.connect().await {
            Ok(channel) => return channel,
            Err(_) => sleep(AGAIN).await,
        }
    }
}

async fn ask(channel: Channel, service: &str) -> Result<i32, Status> {
    let mut client = Grpc::new(channel).max_decoding_message_size(super::KEPT);
    client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let codec = ProstCodec::<HealthCheckRequest, HealthCheckResponse>::default();
    let request = Request::new(HealthCheckRequest { service: service.to_owned() });
    let path = PathAndQuery::from_static("/grpc.health.v1.Health/Check");
    Ok(client.unary(request, path, codec).await?.into_inner().status)
}

fn of(answer: Result<i32, Status>, timeout: Duration) -> Verdict {
    match answer {
        Ok(status) if status == ServingStatus::Serving as i32 => Verdict::Good,
        Ok(status) => Verdict::Bad(format!("service unhealthy (responded with {:?})", ServingStatus::name(status))),
        Err(status) => Verdict::Bad(match status.code() {
            Code::Unimplemented => format!(
                "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): {}",
                status.message()
            ),
            Code::DeadlineExceeded => format!("timeout: health rpc did not complete within {}", spoken(timeout)),
            _ => format!("error: health rpc probe failed: {}", error_of(&status)),
        }),
    }
}
