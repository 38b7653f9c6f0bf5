//! Where randomness comes from: a generator for each node and each pod, which is the same in every run with the same seed.

use rand::SeedableRng;
use rand::rngs::StdRng;
use sha2::{Digest, Sha256};

/// The generator of what is random about `subject`, such as the uid of a pod, on a node.
pub(super) fn generator(seed: u64, node: &str, subject: &str) -> StdRng {
    let mut digest = Sha256::new();
    digest.update(seed.to_be_bytes());
    for part in [node, subject] {
        digest.update(part.len().to_be_bytes());
        digest.update(part);
    }
    StdRng::from_seed(digest.finalize().into())
}
