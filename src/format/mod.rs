#![doc = include_str!("FORMAT.md")]

mod anchor;
mod draft;
mod error;
mod fault;
mod file;
mod id;
mod layout;
pub mod limits;
mod map;
mod mask;
mod prepare;
mod raw;
mod record;
mod sign;
mod small;
mod table;
mod tensor;
mod types;
mod values;

pub use anchor::{AnchorPart, AnchorSet, AnchorValues};
pub use draft::Draft;
pub use error::FormatError;
pub use fault::MaskFault;
pub use file::ModelFile;
pub use layout::{MAGIC, VERSION};
pub use raw::Raw;
pub use sign::{Signature, Signatures, signed_message};
pub use small::{
    Calibration, CalibrationTable, ClassesAndFeatures, Entry, Facts, Features, Provenance,
};
pub use tensor::{BaseMask, Tensor};
pub use types::{Dtype, Kind, Role, Section, SectionKind, Stored, TensorIn};
