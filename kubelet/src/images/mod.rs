//! Images: pulled by policy and with the right credentials, loaded from archives, and removed when nobody needs them.

pub mod archive;
mod containerd;
pub mod pause;

#[cfg(test)]
mod real;
