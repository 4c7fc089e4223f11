//! Checked reads of little-endian bytes.
