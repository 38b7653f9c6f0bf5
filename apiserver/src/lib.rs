//! Serves Kubernetes resources over HTTP from a store.

pub mod discovery;
pub mod engine;
pub mod entry;
pub mod kind;
pub mod object;
pub mod openapi;
pub mod registry;
pub mod request;
pub mod reservation;
pub mod resources;
pub mod strategy;
