//! What people say, write and see: sound, texts and pictures, as files of a folder or of an archive.
//!
//! Owns walking a folder or a tar archive as one [`tree`], telling class, subject and part from names
//! ([`layout`], [`lists`], [`published`]), decoding ([`sound`], [`intents`], [`pictures`]), and the arithmetic that
//! makes samples of it ([`features`]), with settings from [`crate::data::Extraction`]. Samples are in
//! order of their names, so that neither the order of a folder nor that of an archive matters.

mod collect;
pub(super) mod error;
mod features;
pub(super) mod intents;
mod layout;
mod lists;
pub(super) mod pictures;
mod published;
pub(super) mod sound;
pub(super) mod tree;

pub(super) use lists::LIST;
