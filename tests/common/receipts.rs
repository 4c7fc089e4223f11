//! Receipts as a device would write them.

use serde_json::json;
use unlearn::erase::receipt::*;

pub fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

pub fn nonce(seed: u8) -> Nonce {
    let mut bytes = [0x5a; 32];
    bytes[7] = seed;
    Nonce::from_bytes(bytes)
}

pub fn request(seed: u8, subject: Hex<32>) -> Request {
    Request {
        id: Hex([seed; 16]),
        subject,
        received: 1_795_600_000,
        deadline: Some(1_795_686_400),
        stopped: 1_795_600_001,
        shredded: 1_795_600_002,
    }
}

/// A receipt as a device would write it, about `name`.
pub fn receipt(name: &str, nonce: &Nonce) -> Receipt {
    let estimate =
        |share, low, high| Estimate { share: Ppm(share), low: Ppm(low), high: Ppm(high) };
    Receipt {
        version: VERSION,
        sequence: 1,
        previous: None,
        device: Hex([7; 16]),
        software: Software::this(),
        family: "resnet20".into(),
        requests: vec![request(1, commit(nonce, name))],
        policy: Policy::ShredFirst,
        served_until_repaired: false,
        times: Times {
            unlearnt: Some(1_795_600_090),
            gated: Some(1_795_600_095),
            committed: 1_795_600_096,
            clock_went_backwards: false,
        },
        evidence: Evidence::L1,
        rollback: Some(Rollback::Witness),
        models: Models {
            parent: Hex([1; 32]),
            child: Hex([2; 32]),
            mask: Hex([3; 32]),
            weights: Weights::F16,
        },
        lineage: Lineage {
            retained_root: Hex([4; 32]),
            retained_samples: 812,
            destroyed_training: 40,
            destroyed_holdout: 10,
            earlier: vec![EarlierModel { id: Hex([1; 32]), fate: Fate::Destroyed }],
            earlier_unlisted: 0,
        },
        method: Method {
            name: "l1-sparse".into(),
            settings: settings(&json!({ "alpha": 0.0005, "epochs": 10, "form": "proximal" }))
                .unwrap(),
            guarantee: Guarantee::Approximate,
            on_whose_word: "the operator declares the base `population`".into(),
            seed: u64::MAX,
            epochs: 10,
            steps: 130,
            restarts: 2,
            failed_before: vec![FailedWay { name: "exact-replay".into(), at: Lapse::Run }],
        },
        gate: Gate {
            verdict: Verdict::Passed,
            confidence: Ppm(950_000),
            accuracies: vec![Accuracy {
                on: MeasuredOn::Calibration,
                samples: 500,
                before: Some(estimate(912_000, 884_000, 934_000)),
                after: estimate(906_000, 877_000, 929_000),
                limit: Ppm(892_000),
                verdict: Verdict::Passed,
            }],
            probes: vec![Probed {
                probe: Probe::Mia,
                verdict: Verdict::Inconclusive,
                margin: Ppm(100_000),
                power: Power::Poor,
            }],
            worst_off: Some(Bounded { limit: Ppm(200_000), verdict: Verdict::Passed }),
        },
        destroyed: vec![Destroyed {
            what: "the subject's key".into(),
            how: "left out of keyring 8; device key 7 removed".into(),
        }],
        not_covered: vec!["a snapshot of the whole home that somebody took before".into()],
        millijoules: None,
        energy_covers: None,
    }
}

pub fn signed(seed: u8) -> Signed {
    receipt("Ada", &nonce(seed)).sign(&key(1)).unwrap()
}

/// `count` receipts in a row.
pub fn ledger(count: u64) -> Vec<Signed> {
    let mut all: Vec<Signed> = Vec::new();
    for sequence in 1..=count {
        let mut next = receipt("Ada", &nonce(sequence as u8));
        next.sequence = sequence;
        next.previous = all.last().map(|before| before.hash.into());
        all.push(next.sign(&key(1)).unwrap());
    }
    all
}

/// The device's word for key `new`, behind the last of `all`.
pub fn key_change(all: &[Signed], new: u8) -> KeyChange {
    KeyChange {
        version: KEY_CHANGE_VERSION,
        device: Hex([7; 16]),
        after: all.len() as u64,
        previous: all.last().map(|signed| signed.hash.into()),
        at: 1_795_700_000,
        old: Hex(key(1).public().to_bytes()),
        new: Hex(key(new).public().to_bytes()),
    }
}

/// The receipt behind `all` under key `new`.
pub fn under_new_key(all: &[Signed], new: u8) -> Signed {
    let mut next = receipt("Ada", &nonce(99));
    next.sequence = all.len() as u64 + 1;
    next.previous = all.last().map(|signed| signed.hash.into());
    next.sign(&key(new)).unwrap()
}
