//! The `springtide` program: parse, dispatch.
fn main() {}
