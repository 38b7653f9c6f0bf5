//! Requests of this process: a function call in place of a connection, TLS and a certificate. Everything behind is the
//! same: authorization, limits, metrics, the handler.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body::Body;
use tokio_util::sync::CancellationToken;

use super::connection::Activity;
use super::{BoxError, Pipeline, ResponseBody};
use crate::authn::{Identity, PeerCertificate};

/// A way into a server for one identity of its process, as a `tower` service. Cloning it is cheap.
#[derive(Clone)]
pub struct Local {
    pipeline: Arc<Pipeline>,
    peer: Arc<PeerCertificate>,
    activity: Arc<Activity>,
    stopping: CancellationToken,
}

impl Local {
    /// Leads into `pipeline` as `identity`. Streams end when `stopping` is cancelled.
    #[must_use]
    pub fn new(pipeline: Arc<Pipeline>, identity: Identity, stopping: CancellationToken) -> Local {
        let peer = Arc::new(PeerCertificate::of_this_process(identity.authenticated()));
        Local { pipeline, peer, activity: Activity::new(), stopping }
    }

    /// Leads into `pipeline` as somebody who does not say who they are.
    #[cfg(test)]
    pub(crate) fn of_nobody(pipeline: Arc<Pipeline>) -> Local {
        Local { pipeline, peer: Arc::default(), activity: Activity::new(), stopping: CancellationToken::new() }
    }
}

impl<B> tower_service::Service<Request<B>> for Local
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let Local { pipeline, peer, activity, stopping } = self.clone();
        let active = activity.begin();
        async move { Ok(pipeline.serve(request, &peer, active, &stopping).await) }.boxed()
    }
}
