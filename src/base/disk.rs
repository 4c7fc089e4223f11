//! Durable writes: a file is replaced whole or not at all.
