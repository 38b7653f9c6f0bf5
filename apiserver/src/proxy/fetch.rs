//! What the server itself asks kubelets.

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Node;

use super::exchange::{Asked, ask};
use super::location::Location;
use super::transport::Security;
use super::{Proxy, kubelet};
use crate::serve::read_body;

impl Proxy {
    /// What the kubelet of `node` answers to a GET, if that is no more than `most` bytes. The error is for people to read.
    pub(crate) fn read<'a>(
        &'a self,
        node: &'a Node,
        path: &'a str,
        query: &'a str,
        most: usize,
    ) -> BoxFuture<'a, Result<Bytes, String>> {
        async move {
            let kubelet = kubelet::find(node, &self.options.address_types);
            let kubelet = kubelet.ok_or_else(|| "the node has no address of a preferred type".to_owned())?;
            let called = self.call(&kubelet, Security::Kubelet).await.map_err(|error| error.to_string())?;
            let location = Location { endpoint: called.endpoint, path: path.to_owned(), query: Some(query.to_owned()) };
            let answered = ask(called.stream, &location, Asked::get()).await.map_err(|error| error.to_string())?;
            let response = answered.pass_on();
            let status = response.status();
            if !status.is_success() {
                return Err(format!("{} answers {status}", location.url()));
            }
            read_body(response.into_body(), most).boxed().await.map_err(|status| status.message)
        }
        .boxed()
    }
}
