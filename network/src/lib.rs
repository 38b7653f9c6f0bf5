//! Connects the pods of a node with those of other nodes, and with what is outside of the cluster.
