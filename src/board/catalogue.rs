//! Profiles by name: those that come with the program, and those in files.

use std::path::Path;

use super::builtin::{builtin, builtin_slugs};
use super::error::BoardError;
use super::profile::Profile;
use super::{claimed, sysroot};

/// All profiles that come with the program, in alphabetical order of their slugs.
pub fn catalogue() -> Vec<Profile> {
    builtin_slugs().filter_map(|slug| named(slug).ok()).collect()
}

/// The profile called `slug` among those that come with the program.
///
/// # Errors
/// [`BoardError::Unknown`], with the slugs that there are.
pub fn named(slug: &str) -> Result<Profile, BoardError> {
    let Some(text) = builtin(slug) else {
        let known = builtin_slugs().collect::<Vec<_>>().join(", ");
        return Err(BoardError::Unknown { slug: sysroot::label(slug), known });
    };
    Profile::parse(text, slug)
}

/// The profile that `choice` names: a slug that comes with the program, or else a file.
///
/// # Errors
/// As [`named`], for what is neither; [`BoardError::Read`] and what [`Profile::parse`] says for a file.
pub fn chosen(choice: &str) -> Result<Profile, BoardError> {
    match named(choice) {
        Err(BoardError::Unknown { .. }) if Path::new(choice).exists() => {
            let text = sysroot::read(Path::new(choice), claimed::MOST)?;
            Profile::parse(&text, choice)
        }
        found => found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_profile_that_comes_with_the_program_is_one() {
        for slug in builtin_slugs() {
            assert_eq!(named(slug).unwrap().slug, slug);
        }
        assert_eq!(catalogue().len(), builtin_slugs().count());
    }

    #[test]
    fn a_board_is_chosen_by_slug_or_by_file_and_anything_else_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mine.toml");
        let text = "slug = \"mine\"\nname = \"A board of mine\"\ntier = \"spec\"\n";
        std::fs::write(&file, text).unwrap();
        assert_eq!(chosen(file.to_str().unwrap()).unwrap().slug, "mine");
        assert_eq!(chosen("generic-aarch64").unwrap().slug, "generic-aarch64");
        let told = chosen("jetson-orin-nona").unwrap_err().to_string();
        assert!(told.contains("jetson-orin-nona") && told.contains("generic-x86-64"), "{told}");
        let told = chosen(folder.path().to_str().unwrap()).unwrap_err();
        assert!(matches!(told, BoardError::Read { .. }), "{told}");
        std::fs::write(&file, vec![b'#'; claimed::MOST + 1]).unwrap();
        let told = chosen(file.to_str().unwrap()).unwrap_err();
        assert!(matches!(told, BoardError::TooLong { .. }), "{told}");
    }
}
