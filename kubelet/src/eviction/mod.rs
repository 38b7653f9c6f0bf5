//! Which pods have to go when the node runs out of memory, disk or processes.
