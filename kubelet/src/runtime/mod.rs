//! A container runtime of our own: containerd, found, configured, supervised and ended.
