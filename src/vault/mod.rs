//! Samples of people, sealed under a key each, and the keys.
//!
//! Owns handles, keys and their generations, sealing, the index of samples, and which samples took part
//! in which model. Knows no network and no request: whoever erases a person tells it what must go.
//! Imports `base`.
//!
//! # What is sealed under what
//! A [`KeyStore`] holds *device keys*, each with a number, its generation. The newest seals the
//! [`Keyring`], which holds a key for each person and for each sealed file. A person is a [`Handle`], drawn
//! at random; the name is sealed under the person's key. A sample of several people is sealed under a key
//! that is derived from all of theirs: whoever goes takes it along.
//!
//! # Why a generation
//! A key that is only left out of a rewritten keyring survives in the old one, which a disk may keep for
//! long after its name is gone. So forgetting a key makes the next device key, seals the new keyring under
//! it, and destroys the one before: every older keyring is noise from then on.

mod adding;
pub mod backend;
mod error;
mod handle;
mod key_store;
mod keyring;
mod purge;
mod samples;
mod seal;
mod store;
#[cfg(feature = "tpm")]
mod tpm;

pub use error::VaultError;
pub use handle::Handle;
pub use key_store::{FileKeyStore, KeyPlace, KeyStore, Level};
pub use keyring::Keyring;
pub use samples::{Count, Header, MAX_OWNERS, NewSample, Sample, Values, broken_rule};
pub use seal::Key;
pub use store::{Added, Person, Quota, Store};
#[cfg(feature = "tpm")]
pub use tpm::TpmKeyStore;
