//! The blindspot command.
fn main() {}
