//! The changelog tells of the version that is being built: a release without an entry fails here.

/// The version in the first `## ` line: `## [1.2.3] - date`, or `## [Unreleased] 1.2.3`.
fn top_version(changelog: &str) -> Option<&str> {
    let line = changelog.lines().find_map(|line| line.strip_prefix("## "))?;
    line.split([' ', '[', ']'])
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()) && word.split('.').count() >= 3)
}

#[test]
fn the_top_entry_is_of_the_version_in_the_manifest() {
    let changelog = include_str!("../CHANGELOG.md");
    assert_eq!(top_version(changelog), Some(env!("CARGO_PKG_VERSION")));
}

#[test]
fn the_version_is_read_from_either_form_of_heading() {
    assert_eq!(top_version("# Log\n\n## [Unreleased] 0.2.0\n\n## [0.1.0] - x\n"), Some("0.2.0"));
    assert_eq!(top_version("# Log\n\n## [0.1.0-rc.1] - 2031-01-02\n"), Some("0.1.0-rc.1"));
    assert_eq!(top_version("# Log\n\n## [Unreleased]\n\n## [0.1.0]\n"), None);
    assert_eq!(top_version("# Log\n"), None);
}
