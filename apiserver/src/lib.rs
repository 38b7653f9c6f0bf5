//! Serves Kubernetes resources over HTTP from a store.

mod admission;
pub mod audit;
pub mod authn;
pub mod authz;
mod config_file;
pub mod core;
pub mod discovery;
pub mod encryption;
pub mod engine;
pub mod entry;
mod follow;
pub mod health;
pub mod kind;
pub mod metrics;
pub mod object;
pub mod openapi;
pub mod proxy;
pub mod registry;
pub mod request;
pub mod reservation;
pub mod resources;
pub mod router;
pub mod serve;
pub mod server;
pub mod strategy;
pub mod usage;
pub mod version;

pub use admission::{Admission, AdmissionError, ConfigurationError};
pub use server::{EncryptionFile, Etcd, Kubelets, Options, Ready, RunError, Server, StoreChoice, run};
