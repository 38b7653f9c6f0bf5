//! House checks (`tidy`), code generation and release steps.

fn main() {}
