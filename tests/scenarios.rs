//! Defends what is forgotten: each scenario takes exactly what it says, a group is never split,
//! and what cannot be done is refused with the names and numbers that a person needs.

use std::collections::BTreeSet;
use std::path::Path;

use unlearn::data::{DataError, Dataset, Partition, Scenario, Values};

/// Sixty samples: classes cat, dog, 7 in turn; subjects ann, bo, cy, twenty samples each.
fn set(groups: Vec<u32>) -> Dataset {
    let set = Dataset {
        shape: [1, 1, 1],
        values: Values::Bytes((0..60).collect()),
        labels: (0..60).map(|index| index % 3).collect(),
        classes: ["cat", "dog", "0"].map(str::to_string).to_vec(),
        subjects: (0..60).map(|index| index / 20).collect(),
        subject_names: ["ann", "bo", "cy"].map(str::to_string).to_vec(),
        groups,
    };
    set.check().unwrap();
    set
}

fn partition(text: &str, set: &Dataset, seed: u64) -> Result<Partition, DataError> {
    let scenario = Scenario::parse(text)?;
    assert_eq!(scenario.to_string(), text);
    scenario.forget_indices(set, seed)
}

fn forget(text: &str, set: &Dataset) -> Vec<usize> {
    let Partition { forget, retain } = partition(text, set, 1).unwrap();
    let both: BTreeSet<usize> = forget.iter().chain(&retain).copied().collect();
    assert_eq!((both.len(), forget.len() + retain.len()), (set.len(), set.len()));
    assert!(forget.is_sorted() && retain.is_sorted());
    forget
}

fn refused(text: &str, words: &[&str]) {
    let error = partition(text, &set(vec![]), 1).unwrap_err().to_string();
    for word in words {
        assert!(error.contains(word), "expected `{word}` in `{error}`");
    }
}

#[test]
fn a_class_goes_by_name_or_number_and_leaves_the_test_set_too() {
    let set = set(vec![]);
    let dogs: Vec<usize> = (0..60).filter(|index| index % 3 == 1).collect();
    assert_eq!(forget("class=dog", &set), dogs);
    assert_eq!(forget("class=1", &set), dogs);
    // A name wins over a number.
    assert_eq!(forget("class=0", &set)[0], 2);
    assert_eq!(forget("class=cat,1", &set).len(), 40);
    let kept = Scenario::parse("class=dog").unwrap().test_indices(&set).unwrap();
    assert!(kept.iter().all(|&index| set.labels[index] != 1) && kept.len() == 40);
    for whole in ["random=0.5", "subject=bo"] {
        assert_eq!(Scenario::parse(whole).unwrap().test_indices(&set).unwrap().len(), 60);
    }
}

#[test]
fn a_random_share_is_of_the_rounded_size_and_fixed_by_its_seed() {
    let set = set(vec![]);
    for (text, count) in [("random=0.1", 6), ("random=0.5", 30), ("random=0.34", 20)] {
        assert_eq!(forget(text, &set).len(), count);
    }
    let draw = |seed| partition("random=0.1", &set, seed).unwrap();
    assert_eq!(draw(4), draw(4));
    assert_ne!(draw(4), draw(5));
}

#[test]
fn a_group_is_never_split() {
    // Groups of four; group 4 (samples 18 to 21) is shared by ann and bo.
    let groups: Vec<u32> = (0..60).map(|index: u32| 900 - (index + 2) / 4).collect();
    let set = set(groups.clone());
    assert_eq!(forget("subject=ann", &set), (0..22).collect::<Vec<_>>());
    for text in ["random=0.1", "random=0.5"] {
        let gone = forget(text, &set);
        let of = |index: usize| groups[index];
        assert!(
            (0..60).all(|index| gone.contains(&index) || !gone.iter().any(|&g| of(g) == of(index)))
        );
    }
    assert!((6..10).contains(&forget("random=0.1", &set).len()));
}

fn index_file(text: &[u8]) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("list.txt");
    std::fs::write(&file, text).unwrap();
    let scenario = format!("indices={}", file.display());
    (folder, scenario)
}

#[test]
fn an_index_file_takes_what_it_lists() {
    let (_folder, scenario) = index_file(b"7\r\n\n 3 \n59");
    assert_eq!(forget(&scenario, &set(vec![])), [3, 7, 59]);
}

#[test]
fn a_wrong_index_file_is_refused_by_file_and_line() {
    let cases: [(&[u8], &[&str]); 7] = [
        (b"1\n60\n", &["list.txt` line 2", "index 60", "60 training samples"]),
        (b"1\n99999999999999999999\n", &["line 2", "not a sample index"]),
        (b"1\n2\n\n1\n", &["line 4", "index 1", "line 1"]),
        (b"1\n-2\n", &["line 2", "`-2`"]),
        (b"x\n", &["line 1", "`x`"]),
        (b"1\n\xff\n", &["line 2", "not UTF-8"]),
        (b"\n\n", &["forget set empty"]),
    ];
    for (text, words) in cases {
        let (_folder, scenario) = index_file(text);
        refused(&scenario, words);
    }
    refused("indices=/nowhere/at/all", &["/nowhere/at/all"]);
}

#[test]
fn what_is_not_known_is_refused_with_what_is() {
    refused("class=bird", &["no class is named `bird`", "cat, dog, 0"]);
    refused("class=3", &["no class is named `3`"]);
    refused("subject=dan", &["no subject is named `dan`", "ann, bo, cy"]);
    refused("class=cat,dog,0", &["retain set empty", "60"]);
    refused("random=0.001", &["forget set empty"]);
    let mut nameless = set(vec![]);
    nameless.subjects.clear();
    nameless.subject_names.clear();
    let error = partition("subject=ann", &nameless, 1).unwrap_err().to_string();
    assert!(error.contains("names nobody"), "{error}");
}

#[test]
fn what_is_no_scenario_is_refused_with_the_four_ways_to_write_one() {
    for text in ["", "class", "class=", "class=a,,b", "subject=", "indices=", "=x", "people=x"] {
        let error = Scenario::parse(text).unwrap_err();
        assert!(matches!(error, DataError::Scenario { .. }), "{text}: {error}");
        assert!(error.to_string().contains("class=K[,K], random=SHARE"), "{error}");
    }
    for share in ["0", "1", "-0.1", "1.5", "nan", "inf", "x", ""] {
        let error = Scenario::parse(&format!("random={share}")).unwrap_err();
        assert!(matches!(error, DataError::Share { .. }), "{share}: {error}");
    }
    assert_eq!(
        Scenario::parse("indices=a=b").unwrap(),
        Scenario::Indices(Path::new("a=b").to_path_buf())
    );
}

#[test]
fn a_count_and_a_part_of_classes_are_of_their_size_and_fixed_by_their_seed() {
    let set = set(vec![]);
    assert_eq!(forget("random=7", &set).len(), 7);
    // The same draw as a share of that size.
    assert_eq!(forget("random=6", &set), forget("random=0.1", &set));
    let gone = forget("part=dog:0.25,cat:3", &set);
    let of = |class: u32| gone.iter().filter(|&&index| set.labels[index] == class).count();
    assert_eq!([of(0), of(1), of(2)], [3, 5, 0]);
    let draw = |seed| partition("part=dog:0.25", &set, seed).unwrap();
    assert_eq!(draw(4), draw(4));
    assert_ne!(draw(4), draw(5));
    // The classes are still there to be tested on.
    let tested = Scenario::parse("part=dog:0.25").unwrap().test_indices(&set).unwrap();
    assert_eq!(tested.len(), 60);
    refused("part=dog:21", &["part=dog:21", "fewer samples"]);
    refused("part=bird:0.5", &["no class is named `bird`"]);
    refused("random=60", &["retain set empty"]);
    for text in ["part=dog", "part=:0.5", "part=", "part=dog:0.5,,cat:2"] {
        let error = Scenario::parse(text).unwrap_err();
        assert!(matches!(error, DataError::Scenario { .. }), "{text}: {error}");
    }
    for text in ["part=dog:1", "part=dog:x", "part=dog:1.5"] {
        let error = Scenario::parse(text).unwrap_err();
        assert!(matches!(error, DataError::Share { .. }), "{text}: {error}");
    }
}
