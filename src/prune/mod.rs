//! Choosing which weights exist.
