//! Libraries that are found when the program runs, and functions out of them.
//!
//! The bindings of `cudarc` say what each function takes, and the compiler holds each type written
//! here against theirs. Their functions are not called: they panic where a library or a symbol is
//! missing, look for names of the CUDA that they were made for, and give a code as a Rust enum, in which a
//! code of a newer driver is undefined behaviour. Here a code is a number.

#![allow(unsafe_code)]

use std::ffi::OsStr;

pub(super) use libloading::Library;

/// The library of this name or path, if there is one.
pub(super) fn library(name: &OsStr) -> Option<Library> {
    // SAFETY: loading runs what the library does when it is loaded. Only NVIDIA's driver and compiler are
    // asked for, by their names or by a path that the caller gave; both are made to be loaded so.
    unsafe { Library::new(name) }.ok()
}

/// The function `name` of a library.
///
/// # Errors
/// What the system says, if there is none.
///
/// # Safety
/// `F` is the type of that function, and nobody calls it once the library is closed.
pub(super) unsafe fn function<F: Copy>(library: &Library, name: &str) -> Result<F, String> {
    // SAFETY: as the caller promises.
    let found = unsafe { library.get::<F>(name) };
    found.map(|function| *function).map_err(|error| error.to_string())
}

/// A set of functions of a library: those of `cudarc`'s bindings, held against them but for a code that is a
/// number, and those that take or give such a code elsewhere, whose types are as the manual says.
macro_rules! functions {
    ($set:ident of $bindings:ident as $result:ident {
        $($name:ident($($argument:ty),*);)*
    } and { $($own:ident($($own_argument:ty),*) -> $given:ty;)* }) => {
        #[allow(non_snake_case)] // As the manual spells them.
        pub(super) struct $set {
            $(pub(super) $name: unsafe extern "C" fn($($argument),*) -> u32,)*
            $(pub(super) $own: unsafe extern "C" fn($($own_argument),*) -> $given,)*
        }

        // A code is 32 bits wide in either spelling.
        const _: () = assert!(size_of::<$bindings::$result>() == size_of::<u32>());
        $(const _: unsafe fn($($argument),*) -> $bindings::$result = $bindings::$name;)*

        impl $set {
            /// Looks them all up. Tells the first that is missing.
            fn of(library: &Library) -> Result<Self, String> {
                // SAFETY: the types are those of the bindings, or of the manual; the library stays open as
                // long as the process, because whoever has this set keeps it.
                unsafe {
                    Ok(Self {
                        $($name: function(library, stringify!($name))?,)*
                        $($own: function(library, stringify!($own))?,)*
                    })
                }
            }
        }
    };
}
pub(super) use functions;
