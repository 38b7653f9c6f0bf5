//! What others may ask a node for, over HTTPS.
