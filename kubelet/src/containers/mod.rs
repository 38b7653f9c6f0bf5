//! From a pod's spec to what CRI is asked for. Pure: whatever has to be looked up comes in.
