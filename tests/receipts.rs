//! Defends whoever is shown an erasure receipt, and whoever it is about: nothing that was not signed
//! passes, no chain with a gap passes, and a receipt does not tell whose it is.

mod common;

use std::fs;

use common::receipts::{key, key_change, ledger, nonce, receipt, request, signed, under_new_key};
use coset::cbor::Value as Cbor;
use coset::{CborSerializable, CoseSign1, HeaderBuilder, TaggedCborSerializable, iana};
use ed25519_dalek::Signer;
use serde_json::json;
use unlearn::erase::receipt::limits::{
    LEAST_SAMPLES, MAX_DESTROYED, MAX_EARLIER, MAX_FILE, MAX_MEASURED, MAX_NAME, MAX_NOT_COVERED,
    MAX_REQUESTS, MAX_TEXT,
};
use unlearn::erase::receipt::{
    Chain, Claimed, ClaimedKeyChange, Destroyed, Document, EarlierModel, Fate, Hex, KeyChange,
    Nonce, Ppm, PublicKey, Receipt, ReceiptError, Request, Signed, SigningKey, Software, Times,
    Verdict, Verified, commit, opens, settings, told, verify_chain,
};

fn verified(bytes: &[u8], key: &SigningKey) -> Verified {
    Claimed::parse(bytes).unwrap().verify(&key.public()).unwrap()
}

fn accepts(bytes: &[u8]) -> bool {
    Claimed::parse(bytes).and_then(|claimed| claimed.verify(&key(1).public())).is_ok()
}

fn chained(all: &[Signed]) -> Vec<Verified> {
    all.iter().map(|signed| verified(&signed.bytes, &key(1))).collect()
}

/// An envelope as another program could make it, over `payload`, signed by the right key.
fn foreign(payload: &[u8], header: HeaderBuilder) -> CoseSign1 {
    let secret = ed25519_dalek::SigningKey::from_bytes(&[1; 32]);
    let envelope = coset::CoseSign1Builder::new().protected(header.build());
    let sign = |signed: &[u8]| secret.sign(signed).to_bytes().to_vec();
    let aad = b"unlearn erasure receipt, version 1";
    envelope.payload(payload.into()).create_signature(aad, sign).build()
}

fn our_header() -> HeaderBuilder {
    HeaderBuilder::new()
        .algorithm(iana::Algorithm::EdDSA)
        .content_type("application/vnd.unlearn.receipt-v1+json".into())
        .key_id(key(1).public().id().0.to_vec())
}

fn payload(bytes: &[u8]) -> Vec<u8> {
    CoseSign1::from_tagged_slice(bytes).unwrap().payload.unwrap()
}

fn refusal(bytes: &[u8]) -> String {
    let checked = Claimed::parse(bytes).and_then(|claimed| claimed.verify(&key(1).public()));
    checked.map(|_| ()).unwrap_err().to_string()
}

#[test]
fn a_receipt_comes_back_as_it_was_signed_and_the_same_gives_the_same_bytes() {
    let signed = signed(1);
    assert_eq!(signed.bytes, self::signed(1).bytes);
    let back = verified(&signed.bytes, &key(1));
    assert_eq!((back.receipt(), back.hash()), (&signed.receipt, signed.hash));
    assert_eq!(back.receipt(), &receipt("Ada", &nonce(1)));
    assert_eq!(back.hash(), unlearn::base::hash::Digest::of(&signed.bytes));
}

#[test]
fn every_bit_of_the_file_is_guarded() {
    let bytes = signed(1).bytes;
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(!accepts(&changed), "bit {bit} may be flipped");
    }
}

#[test]
fn a_file_that_was_cut_anywhere_or_made_longer_is_refused() {
    let bytes = signed(1).bytes;
    for length in 0..bytes.len() {
        assert!(Claimed::parse(&bytes[..length]).is_err(), "{length} bytes are a receipt");
    }
    for more in [&[0][..], &[0xf6], &bytes] {
        assert!(Claimed::parse(&[&bytes, more].concat()).is_err(), "{more:?} may follow");
    }
    let long = vec![0; MAX_FILE + 1];
    assert!(matches!(Claimed::parse(&long), Err(ReceiptError::TooLong { .. })));
}

#[test]
fn a_receipt_under_another_key_or_of_another_kind_is_refused() {
    let bytes = signed(1).bytes;
    let wrong = Claimed::parse(&bytes).unwrap().verify(&key(2).public());
    assert!(matches!(wrong, Err(ReceiptError::OtherKey { .. })));
    // The right key's id, and another key's signature.
    let mut forged = CoseSign1::from_tagged_slice(&bytes).unwrap();
    let theirs = ed25519_dalek::SigningKey::from_bytes(&[2; 32]);
    forged.signature =
        theirs.sign(&forged.tbs_data(b"unlearn erasure receipt, version 1")).to_bytes().to_vec();
    assert!(refusal(&forged.to_tagged_vec().unwrap()).contains("the signature does not hold"));
    let change = key_change(&[], 2).sign(&key(1)).unwrap();
    assert!(refusal(&change).contains("this is a change of keys, expected an erasure receipt"));
}

#[test]
fn an_envelope_that_another_program_spells_otherwise_is_refused_though_its_signature_holds() {
    let ours = signed(1).bytes;
    let text = payload(&ours);
    let whole = foreign(&text, our_header()).to_tagged_vec().unwrap();
    assert_eq!(whole, ours, "the test's own envelope is not ours");
    let refused = |envelope: CoseSign1, phrase: &str| {
        let said = refusal(&envelope.to_tagged_vec().unwrap());
        assert!(said.contains(phrase), "no `{phrase}` in: {said}");
    };
    let id = || key(1).public().id().0.to_vec();
    let content =
        || HeaderBuilder::new().content_type("application/vnd.unlearn.receipt-v1+json".into());
    refused(foreign(&text, content().key_id(id())), "names another algorithm than EdDSA, or none");
    let other = content().key_id(id()).algorithm(iana::Algorithm::ES256);
    refused(foreign(&text, other), "names another algorithm than EdDSA");
    let none = || HeaderBuilder::new().algorithm(iana::Algorithm::EdDSA).key_id(id());
    refused(foreign(&text, none()), "names no content type");
    refused(foreign(&text, none().content_type("text/plain".into())), "content type that this");
    let unnamed = content().algorithm(iana::Algorithm::EdDSA);
    refused(foreign(&text, unnamed), "names no key by eight bytes");
    refused(foreign(&text, our_header().key_id(vec![1; 9])), "names no key by eight bytes");
    refused(foreign(&text, our_header().iv(vec![1])), "has a parameter that no receipt has");
    refused(foreign(&text, our_header().value(99, Cbor::Null)), "has a parameter that no receipt");
    let mut outside = foreign(&text, our_header());
    outside.unprotected = HeaderBuilder::new().value(99, Cbor::Null).build();
    refused(outside, "has parameters outside of what is signed");
    // Without its tag, and with a length that is spelt longer than need be.
    let bare = foreign(&text, our_header()).to_vec().unwrap();
    assert!(refusal(&bare).contains("COSE_Sign1"));
    let mut long = ours.clone();
    let unprotected = long.windows(2).position(|two| two == [0xa0, 0x59]).unwrap();
    long.splice(unprotected..unprotected + 1, [0xb8, 0]);
    assert!(refusal(&long).contains("the envelope is not spelt"), "{}", refusal(&long));
}

#[test]
fn a_header_parameter_that_is_there_twice_is_refused() {
    let text = payload(&signed(1).bytes);
    let pair = |label: i64, value: Cbor| (Cbor::from(label), value);
    let header = Cbor::Map(vec![
        pair(1, Cbor::from(-8)),
        pair(1, Cbor::from(-8)),
        pair(4, Cbor::Bytes(key(1).public().id().0.to_vec())),
    ]);
    let parts = vec![
        Cbor::Bytes(header.to_vec().unwrap()),
        Cbor::Map(Vec::new()),
        Cbor::Bytes(text),
        Cbor::Bytes(vec![0; 64]),
    ];
    let bytes = Cbor::Tag(18, Box::new(Cbor::Array(parts))).to_vec().unwrap();
    assert!(refusal(&bytes).contains("a header parameter is there twice"), "{}", refusal(&bytes));
}

#[test]
fn a_payload_that_says_the_same_in_other_bytes_or_more_is_refused() {
    let text = String::from_utf8(payload(&signed(1).bytes)).unwrap();
    let replaced = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        text.replacen(from, to, 1)
    };
    let device = Hex([7; 16]).to_string();
    let upper = |hex: &str| hex.replace("0101", "0A0A");
    for (changed, phrase) in [
        (replaced("{", "{ "), "the payload is not spelt"),
        (
            replaced("\"sequence\":1,\"previous\":null", "\"previous\":null,\"sequence\":1"),
            "not spelt",
        ),
        (replaced("resnet20", "\\u0072esnet20"), "the payload is not spelt"),
        (replaced(",\"millijoules\":null", ""), "the payload is not spelt"),
        (replaced("\"epochs\":10", "\"epochs\":1e1"), "the payload is not spelt"),
        (replaced("\"steps\":130", "\"steps\":1.3e2"), "not right at column"),
        (replaced("\"alpha\":", "\"alpha\":1,\"alpha\":"), "the payload is not spelt"),
        (replaced("\"sequence\":1", "\"sequence\":1,\"sequence\":1"), "duplicate field"),
        (replaced("\"family\":", "\"owner\":\"Ada\",\"family\":"), "unknown field `owner`"),
        (replaced("\"version\":1", "\"version\":2,\"later\":0"), "version 2, this program knows"),
        (upper(&text), "hexadecimal digits in lower case"),
        (replaced(&device, &device[..31]), "expected 32 hexadecimal digits"),
        (replaced("\"0.0005\"", "0.0005"), "a number is no integer"),
        (replaced("shred-first", "\\u001b[2J"), "unknown variant"),
        ("[".repeat(60_000), "not right at column"),
        (String::new(), "not right at column"),
    ] {
        let said = refusal(&foreign(changed.as_bytes(), our_header()).to_tagged_vec().unwrap());
        assert!(said.contains(phrase), "no `{phrase}` in: {said}");
        assert!(!said.contains('\u{1b}') && said.len() < 400, "the file speaks: {said:?}");
    }
}

#[test]
fn what_cannot_be_true_is_neither_signed_nor_believed() {
    type Lie = fn(&mut Receipt);
    let lies: [(Lie, &str); 20] = [
        (|r| r.sequence = 0, "sequence numbers begin at 1"),
        (|r| r.sequence = 2, "the first receipt, and no other, follows none"),
        (|r| r.requests.clear(), "about no request"),
        (|r| r.requests.push(r.requests[0].clone()), "one id or one commitment"),
        (|r| r.requests[0].stopped = 1, "not in the order of its policy"),
        (|r| r.requests[0].shredded = 1_795_600_097, "not in the order of its policy"),
        (|r| r.times.committed = 0, "not in the order of its policy"),
        (|r| r.times.gated = None, "a gate has a time if, and only if"),
        (|r| r.models.child = r.models.parent, "the one that serves"),
        (|r| r.lineage.earlier[0].id = r.models.child, "held the subject is the one that serves"),
        (|r| r.lineage.earlier.push(r.lineage.earlier[0].clone()), "listed twice"),
        (|r| r.method.settings = json!([1]), "no JSON object"),
        (|r| r.method.settings = json!({ "a": [[[[1]]]] }), "nested too deep"),
        (|r| r.gate.accuracies[0].samples = LEAST_SAMPLES - 1, "over too few samples"),
        (|r| r.gate.accuracies[0].after.low = Ppm(906_001), "an interval does not hold its share"),
        (|r| r.gate.accuracies.clear(), "passed that measured no accuracy"),
        (|r| r.gate.probes[0].verdict = Verdict::Failed, "passed of which a part failed"),
        (|r| r.destroyed.clear(), "destroys something"),
        (|r| r.not_covered.clear(), "always something that is not covered"),
        (|r| r.not_covered[0] = "to\u{202e}lla".into(), "characters that cannot be seen"),
    ];
    for (lie, phrase) in lies {
        let mut wrong = receipt("Ada", &nonce(1));
        lie(&mut wrong);
        let text = serde_json::to_vec(&wrong).unwrap();
        let read = refusal(&foreign(&text, our_header()).to_tagged_vec().unwrap());
        let written = wrong.sign(&key(1)).unwrap_err().to_string();
        assert!(written.contains(phrase) && read.contains(phrase), "{phrase}: {written}; {read}");
    }
}

#[test]
fn a_clock_that_went_backwards_and_a_model_that_served_on_can_be_told() {
    let mut backwards = receipt("Ada", &nonce(1));
    backwards.times.clock_went_backwards = true;
    backwards.times.committed = 5;
    let said = told(&verified(&backwards.sign(&key(1)).unwrap().bytes, &key(1)));
    assert!(said.contains("WENT BACKWARDS"), "{said}");
    let mut served = receipt("Ada", &nonce(1));
    served.served_until_repaired = true;
    served.requests[0].stopped = served.times.committed;
    served.times.committed += 200_000;
    let said = told(&verified(&served.sign(&key(1)).unwrap().bytes, &key(1)));
    assert!(said.contains("SERVED ON") && said.contains("MISSED by"), "{said}");
}

#[test]
fn a_receipt_that_is_full_to_every_limit_fits_its_file() {
    let mut full = receipt("Ada", &nonce(1));
    // The longest spelling of a character: each of these is escaped.
    let text = || "\"".repeat(MAX_TEXT);
    let name = || "\\".repeat(MAX_NAME);
    let hash = |seed: usize| Hex([seed as u8 + 16; 32]);
    full.sequence = u64::MAX;
    full.previous = Some(hash(0));
    full.software = Software { name: name(), version: name() };
    full.family = name();
    full.times.clock_went_backwards = true;
    full.times = Times {
        unlearnt: Some(u64::MAX),
        gated: Some(u64::MAX),
        committed: u64::MAX,
        ..full.times
    };
    let requests = 0..MAX_REQUESTS;
    full.requests = requests
        .map(|i| Request {
            received: u64::MAX,
            deadline: Some(u64::MAX),
            stopped: u64::MAX,
            shredded: u64::MAX,
            ..request(i as u8, hash(i))
        })
        .collect();
    let fate = Fate::SupersededKeyDestroyed;
    full.lineage.earlier = (0..MAX_EARLIER).map(|i| EarlierModel { id: hash(i), fate }).collect();
    full.gate.accuracies = vec![full.gate.accuracies[0].clone(); MAX_MEASURED];
    full.gate.probes = vec![full.gate.probes[0].clone(); MAX_MEASURED];
    full.destroyed = vec![Destroyed { what: text(), how: text() }; MAX_DESTROYED];
    full.not_covered = vec![text(); MAX_NOT_COVERED];
    full.method.name = name();
    full.method.on_whose_word = text();
    let settings = (0..58).map(|i| (format!("{i:02}{}", "k".repeat(60)), json!(10)));
    full.method.settings = serde_json::Value::Object(settings.collect());
    let bytes = full.clone().sign(&key(1)).unwrap().bytes;
    assert!(
        bytes.len() > MAX_FILE * 3 / 4,
        "{} bytes: the limits are far from the file's",
        bytes.len()
    );
    assert!(accepts(&bytes));
    type More = fn(&mut Receipt);
    let more: [More; 5] = [
        |r| r.requests.push(request(200, Hex([200; 32]))),
        |r| r.lineage.earlier.push(EarlierModel { id: Hex([200; 32]), fate: Fate::Destroyed }),
        |r| r.destroyed.push(r.destroyed[0].clone()),
        |r| r.not_covered.push(r.not_covered[0].clone()),
        |r| r.gate.accuracies.push(r.gate.accuracies[0].clone()),
    ];
    for one in more {
        let mut over = full.clone();
        one(&mut over);
        assert!(matches!(over.sign(&key(1)), Err(ReceiptError::TooMuch { .. })));
    }
}

#[test]
fn settings_keep_every_number_in_its_shortest_spelling() {
    #[derive(serde::Serialize)]
    struct Settings {
        alpha: f32,
        rate: f64,
        tiny: f64,
        epochs: u32,
        text: &'static str,
        whether: bool,
        list: Vec<f32>,
    }
    let all = Settings {
        alpha: 0.1,
        rate: -0.012,
        tiny: 5e-324,
        epochs: 10,
        text: "a \\\" 1.5",
        whether: true,
        list: vec![1.0, 2.5],
    };
    let wanted = json!({ "alpha": "0.1", "rate": "-0.012", "tiny": "5e-324", "epochs": 10,
        "text": "a \\\" 1.5", "whether": true, "list": ["1.0", "2.5"] });
    assert_eq!(settings(&all).unwrap(), wanted);
    assert!(settings(&1.5).is_err());
}

#[test]
fn a_commitment_opens_with_its_nonce_and_name_alone() {
    let commitment = commit(&nonce(1), "Ada");
    assert!(opens(&commitment, &nonce(1), "Ada"));
    assert!(!opens(&commitment, &nonce(2), "Ada"));
    for name in ["ada", "Ada ", "", "Ad", "Bob"] {
        assert!(!opens(&commitment, &nonce(1), name), "{name:?}");
    }
    for bit in 0..256 {
        let mut changed = commitment;
        changed.0[bit / 8] ^= 1 << (bit % 8);
        assert!(!opens(&changed, &nonce(1), "Ada"));
    }
    let drawn = Nonce::draw().unwrap();
    let again = Nonce::parse(&drawn.reveal()).unwrap();
    assert!(opens(&commit(&drawn, "Ada"), &again, "Ada"));
    assert!(!format!("{drawn:?}").contains(&drawn.reveal()));
}

#[test]
fn who_knows_every_name_and_no_nonce_learns_nothing_from_a_receipt() {
    // Two people, all else equal: only the commitment differs, and what follows from it.
    let (ada, bob) = (receipt("Ada", &nonce(1)), receipt("Bob", &nonce(2)));
    let mut swapped = bob.clone();
    swapped.requests[0].subject = ada.requests[0].subject;
    assert_eq!(swapped, ada, "another field depends on the name");
    let (ada, bob) = (ada.sign(&key(1)).unwrap(), bob.sign(&key(1)).unwrap());
    assert_eq!(ada.bytes.len(), bob.bytes.len(), "the length depends on the name");
    // The name is nowhere, nor is any digest of it that needs no nonce; the nonce is nowhere.
    let names = ["Ada", "Bob", "Grace"];
    for name in names {
        let digest = unlearn::base::hash::Digest::of(name.as_bytes());
        let text = String::from_utf8_lossy(&ada.bytes).into_owned();
        let hidden = [name.to_string(), digest.to_string(), nonce(1).reveal()];
        assert!(hidden.iter().all(|word| !text.contains(word)), "{name} is told");
    }
    // A guesser tries every name under every nonce that is not the one: all fail alike, the right name
    // too. And one name gives another commitment each time, so that two receipts cannot be linked.
    let subject = ada.receipt.requests[0].subject;
    for guess in (0..=255).filter(|&seed| seed != 1) {
        assert!(names.iter().all(|name| !opens(&subject, &nonce(guess), name)));
        assert_ne!(commit(&nonce(guess), "Ada"), subject);
    }
}

#[test]
fn a_chain_holds_and_tells_its_end() {
    let all = ledger(5);
    let head = verify_chain(&chained(&all)).unwrap();
    assert_eq!((head.sequence, head.hash, head.device), (5, all[4].hash, Hex([7; 16])));
    assert_eq!(head.key, key(1).public());
    assert!(matches!(verify_chain(&[]), Err(ReceiptError::Empty)));
}

#[test]
fn a_chain_says_where_it_breaks() {
    let all = chained(&ledger(5));
    let broken = |order: &[usize]| {
        let receipts: Vec<Verified> = order.iter().map(|&index| all[index].clone()).collect();
        verify_chain(&receipts).unwrap_err()
    };
    assert!(matches!(broken(&[1, 2]), ReceiptError::Missing { expected: 1, found: 2 }));
    assert!(matches!(broken(&[0, 1, 3]), ReceiptError::Missing { expected: 3, found: 4 }));
    assert!(matches!(broken(&[0, 2, 1]), ReceiptError::OutOfOrder { expected: 2, found: 3 }));
    assert!(matches!(broken(&[0, 1, 1]), ReceiptError::OutOfOrder { expected: 3, found: 2 }));

    // The second was written anew by the holder of the key; the third still follows the old second.
    let mut anew = all[1].receipt().clone();
    anew.method.restarts = 0;
    let anew = verified(&anew.sign(&key(1)).unwrap().bytes, &key(1));
    let error = verify_chain(&[all[0].clone(), anew, all[2].clone()]).unwrap_err();
    assert!(error.to_string().contains("receipt 3 follows a file with digest"), "{error}");

    let mut foreign = all[1].receipt().clone();
    foreign.device = Hex([8; 16]);
    let foreign = verified(&foreign.sign(&key(1)).unwrap().bytes, &key(1));
    let error = verify_chain(&[all[0].clone(), foreign]).unwrap_err();
    assert!(matches!(error, ReceiptError::OtherDevice { .. }), "{error}");

    let theirs = verified(&all[1].receipt().clone().sign(&key(2)).unwrap().bytes, &key(2));
    let error = verify_chain(&[all[0].clone(), theirs]).unwrap_err();
    assert!(matches!(error, ReceiptError::OtherKeyInChain { .. }), "{error}");
}

#[test]
fn a_chain_goes_on_under_the_key_that_the_old_one_named() {
    let all = ledger(2);
    let bytes = key_change(&all, 2).sign(&key(1)).unwrap();
    let change = ClaimedKeyChange::parse(&bytes).unwrap().verify(&key(1).public()).unwrap();
    let next = verified(&under_new_key(&all, 2).bytes, &key(2));
    let receipts = chained(&all);
    let mut chain = Chain::default();
    receipts.iter().for_each(|receipt| chain.receipt(receipt).unwrap());
    assert!(chain.receipt(&next).is_err(), "the new key needs the old one's word");
    chain.key_change(&change).unwrap();
    assert!(chain.key_change(&change).is_err(), "the old key has no word any more");
    chain.receipt(&next).unwrap();
    assert_eq!(chain.head().unwrap().key, key(2).public());

    let mut early = Chain::default();
    early.receipt(&receipts[0]).unwrap();
    assert!(early.key_change(&change).is_err(), "it stands behind receipt 2");
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let held = ClaimedKeyChange::parse(&changed).and_then(|c| c.verify(&key(1).public()));
        assert!(held.is_err(), "bit {bit} may be flipped");
    }
    let theirs = KeyChange { old: Hex(key(3).public().to_bytes()), ..key_change(&all, 2) };
    assert!(theirs.sign(&key(1)).is_err(), "it takes back a key that is not the signer's");
    assert!(key_change(&all, 1).sign(&key(1)).is_err(), "the new key is the old one");
}

#[test]
fn a_public_key_is_written_and_read_in_one_way() {
    let key = key(1).public();
    let text = key.to_string();
    assert_eq!(text.parse::<PublicKey>().unwrap(), key);
    assert!(text.starts_with("unlearn-key-v1:") && text.len() == 15 + 64);
    let identity = format!("unlearn-key-v1:01{}", "00".repeat(31));
    for wrong in [&text[1..], &text[..78], &text.to_uppercase(), "", &format!("{text}0"), &identity]
    {
        assert!(wrong.parse::<PublicKey>().is_err(), "{wrong}");
    }
    assert!(!format!("{:?}", self::key(1)).contains(&"01".repeat(8)), "a secret key is printed");
}

#[test]
fn a_page_tells_what_a_person_asks() {
    let page = told(&verified(&signed(1).bytes, &key(1)));
    for phrase in [
        "Erasure receipt 1\n",
        "unlearn-key-v1:",
        "2026-11-25 09:46:40 UTC",
        "kept",
        "approximate: weights that knew",
        "the operator declares the base `population`",
        "L1: keys destroyed",
        "alpha = 0.0005",
        "90.60 % (87.70 % to 92.90 %)",
        "mia of the subject",
        "not measured",
        "the subject's key: left out of keyring 8",
        "a snapshot of the whole home",
    ] {
        assert!(page.contains(phrase), "no `{phrase}` in\n{page}");
    }
    assert!(page.lines().all(|line| line.chars().count() <= 104), "too wide:\n{page}");
    assert!(page.lines().all(|line| line == line.trim_end()));
}

/// Not part of the suite: writes three receipts for tests/reference/check_receipt.py.
#[test]
#[ignore = "writes receipts for another reader into the folder that UNLEARN_RECEIPTS names"]
fn write_receipts_for_another_reader() {
    let folder = std::path::PathBuf::from(std::env::var_os("UNLEARN_RECEIPTS").unwrap());
    fs::create_dir_all(&folder).unwrap();
    let write = |name: &str, text: &[u8]| fs::write(folder.join(name), text).unwrap();
    write("device.key", key(1).public().to_string().as_bytes());
    for signed in ledger(3) {
        let sequence = signed.receipt.sequence;
        write(&format!("{sequence}.receipt"), &signed.bytes);
        write(&format!("{sequence}.nonce"), nonce(sequence as u8).reveal().as_bytes());
        write(&format!("{sequence}.name"), b"Ada");
    }
}

#[test]
fn a_document_says_what_it_is() {
    let bytes = signed(1).bytes;
    assert!(matches!(Document::parse(&bytes), Ok(Document::Receipt(_))));
    let change = key_change(&[], 2).sign(&key(1)).unwrap();
    assert!(matches!(Document::parse(&change), Ok(Document::KeyChange(_))));
    assert!(ClaimedKeyChange::parse(&bytes).is_err());
}
