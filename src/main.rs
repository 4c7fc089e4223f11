//! The program `unlearn`.

fn main() {}
