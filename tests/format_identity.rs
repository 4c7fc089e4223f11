//! Defends the logical id: it is what the model means, not how it is spelt or who signed it.

mod common;

use common::liar::*;
use common::model::*;
use unlearn::base::hash::Digest;
use unlearn::format::*;

fn id(draft: Draft<'_>) -> Digest {
    ModelFile::from_bytes(draft.encode().unwrap()).unwrap().logical_id()
}

#[test]
fn another_spelling_of_a_mask_leaves_the_logical_id_as_it_is() {
    let mask: Vec<u32> = (0..64).filter(|p| p % 5 == 0).collect();
    let values = vec![0.5; mask.len()];
    let first = TensorIn {
        name: "a",
        role: Role::Parameter,
        shape: &[64],
        dtype: Dtype::F16,
        stored: Stored::Masked(&mask),
        values: &values,
    };
    let own = TensorIn { name: "b", ..first };
    let shared = TensorIn { stored: Stored::MaskOf("a"), ..own };
    let base = Digest([9; 32]);
    let based = Stored::MaskOfBase { base, tensor: "z", positions: &mask };
    let based = TensorIn { stored: based, ..own };
    let ids = [own, shared, based].map(|second| id(Draft::new("d").tensor(first).tensor(second)));
    assert_eq!(ids[0], ids[1]);
    assert_eq!(ids[0], ids[2]);
    let all: Vec<u32> = (0..64).collect();
    let ones = vec![1.0; 64];
    let full = TensorIn { stored: Stored::Masked(&all), values: &ones, ..first };
    let dense = TensorIn { stored: Stored::Dense, ..full };
    assert_eq!(id(Draft::new("d").tensor(full)), id(Draft::new("d").tensor(dense)));
}

#[test]
fn a_bitmap_made_of_tiles_by_hand_has_the_same_id() {
    // The writer would choose a bitmap for this mask; a file that spells it in tiles means the same.
    let tensors = [tensors().swap_remove(0)];
    let bytes = draft("d", &tensors).encode().unwrap();
    let before = ModelFile::from_bytes(bytes.clone()).unwrap();
    let positions = tensors[0].positions.clone().unwrap();
    let mut parts = Parts::of(&bytes);
    parts.record("conv1.weight")[15] = 2;
    let mut mask = vec![0, 0, 0, 0, 0, 0, positions.len() as u8];
    mask.extend(positions.iter().map(|&p| p as u8));
    *parts.section(SectionKind::MASKS) = mask;
    let after = ModelFile::from_bytes(parts.join()).unwrap();
    after.verify().unwrap();
    let tensor = after.tensor("conv1.weight").unwrap();
    assert_eq!(tensor.kind(), Kind::Tile256);
    assert_eq!(tensor.positions().unwrap(), Some(positions));
    assert_eq!(before.logical_id(), after.logical_id());
}

#[test]
fn signatures_leave_the_logical_id_as_it_is_and_sign_it() {
    let file = ModelFile::from_bytes(everything()).unwrap();
    let one: Signatures = [signature(7, "someone")].into_iter().collect();
    for signatures in [Signatures::new(), one] {
        let bytes = file.with_signatures(&signatures);
        let again = ModelFile::from_bytes(bytes).unwrap();
        again.verify().unwrap();
        assert_eq!(again.signatures(), &signatures);
        assert_eq!(again.logical_id(), file.logical_id());
    }
    let same = file.with_signatures(file.signatures());
    assert_eq!(same, everything());
    let message = signed_message(&file.logical_id());
    assert!(message.ends_with(&file.logical_id().0) && message.len() > 32);
}

#[test]
fn every_change_of_meaning_changes_the_logical_id() {
    let tensors = tensors();
    let base = || draft("d", &tensors).classes(classes()).facts(facts());
    let mut enrolled = facts();
    enrolled.provenance = Provenance::Enrolled;
    let mut ids = vec![
        id(base()),
        id(draft("e", &tensors).classes(classes()).facts(facts())),
        id(base().classes(ClassesAndFeatures::default())),
        id(base().facts(facts().with("seed", "8"))),
        id(base().facts(enrolled)),
        id(base().anchor(anchor())),
        id(base().calibration(calibration())),
        id(base().tensor(TensorIn { name: "more", ..tensors[1].borrowed() })),
    ];
    type Change = fn(&mut Vec<Owned>);
    let changes: [Change; 8] = [
        |t| t[0].name.push('x'),
        |t| t[0].role = Role::Buffer,
        |t| t[0].dtype = Dtype::Bf16,
        |t| t[0].shape = vec![4, 6, 4],
        |t| t[0].positions.as_mut().unwrap()[1] = 1,
        |t| t[0].values[0] += 1.0,
        |t| t.swap(0, 1),
        |t| t[3].values[0] *= 1.5,
    ];
    for change in changes {
        let mut tensors = common::model::tensors();
        change(&mut tensors);
        ids.push(id(draft("d", &tensors).classes(classes()).facts(facts())));
    }
    let all = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), all);
}

#[test]
fn equal_drafts_give_equal_bytes() {
    assert_eq!(everything(), everything());
}
