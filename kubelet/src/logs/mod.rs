//! What containers write: where it is found, how it is read, and when it is rotated.
