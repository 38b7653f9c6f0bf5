//! What is mounted into containers, and the objects whose content that is.
