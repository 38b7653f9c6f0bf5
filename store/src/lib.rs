//! Revisioned keys with watch and compaction.
