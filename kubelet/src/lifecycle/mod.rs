//! What is done to containers while they live: hooks and probes.
