//! Samples of people, sealed under a key each, and the keys.
//!
//! Owns handles, keys and their generations, sealing, the index of samples, and which samples took part
//! in which model. Knows no network and no request: whoever erases a person tells it what must go.
//! Imports `base`.

pub mod backend;
pub mod error;
