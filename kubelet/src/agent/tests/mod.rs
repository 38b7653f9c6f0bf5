//! An agent at work, on paused time: what it asks of the API and of a runtime in memory.

mod admission;
mod metrics;
mod resize;
mod stage;
mod writes;
