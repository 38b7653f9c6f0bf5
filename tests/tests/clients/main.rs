//! Client libraries in three languages against a server: each creates, pages, watches, patches and deletes, over the
//! embedded store and over etcd.
//!
//! What kubectl sees word by word is the subject of the test `kubectl`; here it is that other programs work at all, with
//! their own ways of encoding, paging and watching.

mod kube_rs;
mod old_kubectl;
mod python;
