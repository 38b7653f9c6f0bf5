//! Rules that hold for objects of every kind.

pub mod conditions;
pub mod meta;
