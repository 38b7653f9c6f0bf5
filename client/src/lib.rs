//! What the API's clients share, whether they are controllers, the scheduler or a node's agent.

pub mod cache;
pub mod clock;
pub mod connection;
pub mod election;
pub mod events;
pub mod queue;
pub mod resource;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod told;
