//! Puts the parts of a node together: where pods come from, a worker for each, and what becomes of them.
