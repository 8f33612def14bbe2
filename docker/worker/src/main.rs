//! Sample worker.
fn main() {}
