//! What is decided about pods, as data; and about worlds that nobody thought of ([`model`]).

mod ending;
mod living;
mod model;
mod status;
mod world;
