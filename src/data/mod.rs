//! Data sets: samples, labels, subjects, groups.
//!
//! Owns reading what people have ([`open()`]) within the memory it may take ([`Room`]), how samples are
//! made of it ([`Extraction`]), making what they have not ([`Population`]), counting what is there
//! ([`Survey`]), saying what is to be forgotten ([`Scenario`]), drawing what goes along with a model
//! ([`Anchor`]), and the order and variation of an epoch ([`Order`], [`Augment`]). Knows no network. Imports [`crate::base`].
//!
//! What comes from a file is checked before the rest of the house sees it: a loader holds its
//! header against limits, and [`Dataset::check`] holds a whole set together.

mod anchor;
mod backdoor;
mod batches;
mod cifar;
mod dataset;
mod error;
mod extraction;
mod holdout;
mod idx;
pub mod limits;
mod made;
mod open;
mod packed;
mod room;
mod scenario;
mod signals;
mod survey;
mod svhn;
mod tables;

pub use anchor::{Anchor, AnchorError};
pub use backdoor::Backdoor;
pub use batches::{Augment, Draw, Order};
pub use dataset::{Dataset, Splits, Values};
pub use error::DataError;
pub use extraction::{Extraction, HashedNgrams, LogMel, Picture};
pub use holdout::{Holdout, holdout};
pub use made::Population;
pub use open::{Reading, open, open_source};
pub use room::{Filed, Room};
pub use scenario::{Amount, Partition, Scenario};
pub use signals::error::SignalError;
pub use survey::{Channel, Counted, Grouped, Repeats, Survey};
pub use tables::error::TableError;
