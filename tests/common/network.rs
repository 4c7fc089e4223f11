//! Small networks and sets for tests that learn.

use std::sync::Arc;

use unlearn::base::hash::Digest;
use unlearn::data::{Dataset, Population, Splits, Values};
use unlearn::model::{Description, Network, builtin};

/// The demo's network for this many classes.
pub fn described(classes: usize) -> Arc<Description> {
    let text = builtin("cnn16").unwrap();
    Arc::new(Description::parse(text, "cnn16", classes).unwrap())
}

/// The demo's network, fresh.
pub fn cnn16(seed: u64) -> Network {
    Network::new(described(10), seed)
}

/// Four subjects, 120 training samples.
pub fn few() -> Splits {
    Population { subjects: 4, train_samples: 3, test_samples: 1, ..Population::default() }.base()
}

/// Masks, weights and buffers as one word.
pub fn digest(network: &Network) -> Digest {
    network.digest()
}

/// `data` with other pixels in the samples at `indices`.
pub fn scribbled(data: &Dataset, indices: &[usize]) -> Dataset {
    let mut data = data.clone();
    let len = data.sample_len();
    let Values::Bytes(bytes) = &mut data.values else { panic!("the made population is of bytes") };
    indices.iter().for_each(|&i| bytes[i * len..][..len].iter_mut().for_each(|b| *b = 255 - *b));
    data
}
