//! What can be wrong with a description, and what to do about it.

use super::describe::Shape;

/// A description that cannot be used: where, and why.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{file}:{line}: {fault}")]
pub struct DescribeError {
    /// The file's name, as the caller gave it.
    pub file: String,
    /// The line, counted from 1, of the key or operation that is at fault.
    pub line: usize,
    /// What is wrong there.
    pub fault: Box<DescribeFault>,
}

/// What is wrong with a description.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum DescribeFault {
    /// The text is longer than any description needs to be.
    #[error("the description is {bytes} bytes long, at most {limit} are read; shorten it")]
    TooLong {
        /// Length of the text.
        bytes: usize,
        /// The longest that is read.
        limit: usize,
    },
    /// Not TOML, a key that no description has, or a value of the wrong type.
    #[error("{message}")]
    Unreadable {
        /// What the TOML reader says; it names the key and what was expected.
        message: String,
    },
    /// More operations than a network may have.
    #[error("the network has {found} operations, at most {limit} are allowed")]
    TooManyOps {
        /// Operations in the text.
        found: usize,
        /// The most that are allowed.
        limit: usize,
    },
    /// A name that cannot be a name.
    #[error("`{name}` cannot be a name: use 1 to {limit} of the characters a-z 0-9 . _ -")]
    BadName {
        /// The name as written.
        name: String,
        /// The longest name, in bytes.
        limit: usize,
    },
    /// Two operations of one name.
    #[error("a second operation is called `{name}`; rename one of the two")]
    DuplicateName {
        /// The name of both.
        name: String,
    },
    /// A kind of operation that does not exist.
    #[error("`{op}` has the unknown kind `{kind}`; known are {known}")]
    UnknownKind {
        /// The operation's name.
        op: String,
        /// Its kind as written.
        kind: String,
        /// The kinds that exist.
        known: &'static str,
    },
    /// A key that this kind of operation needs is not there.
    #[error("`{op}` is a {kind} and needs the key `{key}`; add it")]
    MissingKey {
        /// The operation's name.
        op: String,
        /// Its kind.
        kind: String,
        /// The key that is missing.
        key: &'static str,
    },
    /// A key that this kind of operation does not have.
    #[error("`{op}` is a {kind}, which has no key `{key}`; remove it")]
    KeyOutOfPlace {
        /// The operation's name.
        op: String,
        /// Its kind.
        kind: String,
        /// The key that does not belong here.
        key: &'static str,
    },
    /// A value that the key cannot have.
    #[error("`{op}`: `{key}` is {found}, expected {expected}")]
    BadValue {
        /// The operation's name, or `input`.
        op: String,
        /// The key.
        key: &'static str,
        /// Its value.
        found: String,
        /// What it may be.
        expected: String,
    },
    /// An operation reads from a name that no operation above it has.
    #[error(
        "`{op}` reads from `{from}`, but no operation above it has that name; \
         correct the name or move `{op}` below it"
    )]
    UnknownSource {
        /// The operation's name.
        op: String,
        /// The name it reads from.
        from: String,
    },
    /// An operation reads from too many or too few.
    #[error("`{op}` is a {kind} and reads from {expected}, but `from` names {found}")]
    WrongSources {
        /// The operation's name.
        op: String,
        /// Its kind.
        kind: String,
        /// What it must read from.
        expected: &'static str,
        /// How many names were given.
        found: usize,
    },
    /// The two inputs of an addition differ in shape.
    #[error("`{op}` adds {left:?} and {right:?} (channels, height, width); they must be equal")]
    ShapesDiffer {
        /// The operation's name.
        op: String,
        /// Shape of the first input.
        left: Shape,
        /// Shape of the second input.
        right: Shape,
    },
    /// A window that does not fit into what it slides over.
    #[error(
        "`{op}` has a {kernel:?} window, but its padded input is only {padded:?} (height, width); \
         use a smaller kernel or take out a stride above it"
    )]
    KernelTooLarge {
        /// The operation's name.
        op: String,
        /// Window height and width.
        kernel: [usize; 2],
        /// Input height and width with padding.
        padded: [usize; 2],
    },
    /// Something is larger than any network here may have it.
    #[error("`{op}` has {found} {what}, at most {limit} are allowed")]
    TooLarge {
        /// The operation's name.
        op: String,
        /// What is too many.
        what: &'static str,
        /// How many there are.
        found: u128,
        /// The most that are allowed.
        limit: u64,
    },
    /// The result of an operation is never read.
    #[error("nothing reads from `{op}`; read from it or remove it")]
    Unused {
        /// The operation's name.
        op: String,
    },
    /// The last operation does not give one number a class.
    #[error(
        "the last operation `{op}` gives {shape:?}, expected [{classes}, 1, 1]: one logit a class; \
             end with a linear operation whose outputs = \"classes\""
    )]
    WrongHead {
        /// The operation's name.
        op: String,
        /// What it gives.
        shape: Shape,
        /// The number of classes.
        classes: usize,
    },
}
