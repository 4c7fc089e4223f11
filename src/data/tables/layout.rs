//! What the dimensions of an array of samples mean.
//!
//! The first one counts samples. Without a word in `dataset.toml`:
//!
//! | shape | elements | meaning | a sample is |
//! |---|---|---|---|
//! | (N, L) | any | values: NL | `[L, 1, 1]` |
//! | (N, H, W) | u8 | grey pictures: NHW | `[1, H, W]` |
//! | (N, T, C) | any other | time, channels: NTC | `[C, 1, T]` |
//! | (N, H, W, C), C is 1, 3 or 4 | any | pictures, channels last: NHWC | `[C, H, W]` |
//! | (N, C, H, W) | any | pictures, channels first: NCHW | `[C, H, W]` |

use serde::Deserialize;

/// The rule above in one line, for messages.
pub(super) const RULE: &str = "(N, L), (N, H, W) of uint8, (N, T, C), (N, H, W, C) or (N, C, H, W); \
     a file dataset.toml beside it may say layout = \"NL\", \"NTC\", \"NCT\", \"NHW\", \"NHWC\" or \
     \"NCHW\"";

/// The order of dimensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) enum Layout {
    /// Samples, values.
    #[serde(rename = "NL")]
    Values,
    /// Samples, time, channels.
    #[serde(rename = "NTC")]
    TimeChannels,
    /// Samples, channels, time.
    #[serde(rename = "NCT")]
    ChannelsTime,
    /// Samples, rows, columns.
    #[serde(rename = "NHW")]
    Grey,
    /// Samples, rows, columns, channels.
    #[serde(rename = "NHWC")]
    ChannelsLast,
    /// Samples, channels, rows, columns.
    #[serde(rename = "NCHW")]
    ChannelsFirst,
}

/// How a sample lies in the array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arrangement {
    /// Channels, height, width.
    pub shape: [usize; 3],
    /// Whether the channel is the last dimension in the array: it is the first of a sample.
    pub channels_last: bool,
}

impl Layout {
    /// What `sample`, the dimensions behind the first one, mean by the rule.
    pub(super) fn of(sample: &[usize], bytes: bool) -> Option<Self> {
        match *sample {
            [_] => Some(Self::Values),
            [_, _] if bytes => Some(Self::Grey),
            [_, _] => Some(Self::TimeChannels),
            [_, _, 1 | 3 | 4] => Some(Self::ChannelsLast),
            [_, _, _] => Some(Self::ChannelsFirst),
            _ => None,
        }
    }

    /// How a sample of these dimensions lies, if it has as many as the layout.
    pub(super) fn arrangement(self, sample: &[usize]) -> Option<Arrangement> {
        let (shape, channels_last) = match (self, sample) {
            (Self::Values, &[values]) => ([values, 1, 1], false),
            (Self::TimeChannels, &[time, channels]) => ([channels, 1, time], true),
            (Self::ChannelsTime, &[channels, time]) => ([channels, 1, time], false),
            (Self::Grey, &[height, width]) => ([1, height, width], false),
            (Self::ChannelsLast, &[height, width, channels]) => ([channels, height, width], true),
            (Self::ChannelsFirst, &[channels, height, width]) => ([channels, height, width], false),
            _ => return None,
        };
        Some(Arrangement { shape, channels_last })
    }
}

impl Arrangement {
    /// Writes `from`, one sample as it lies in the array, into `to` as `[C, H, W]`.
    pub(super) fn turn<T: Copy>(&self, from: &[T], to: &mut Vec<T>) {
        to.clear();
        if self.channels_last {
            let channels = self.shape[0];
            to.extend((0..channels).flat_map(|c| from.iter().skip(c).step_by(channels)));
        } else {
            to.extend_from_slice(from);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_is_the_table() {
        for (sample, bytes, shape, channels_last) in [
            (&[5][..], false, [5, 1, 1], false),
            (&[28, 30], true, [1, 28, 30], false),
            (&[128, 9], false, [9, 1, 128], true),
            (&[32, 30, 3], true, [3, 32, 30], true),
            (&[3, 32, 30], false, [3, 32, 30], false),
        ] {
            let arrangement = Layout::of(sample, bytes).and_then(|l| l.arrangement(sample));
            assert_eq!(arrangement, Some(Arrangement { shape, channels_last }), "{sample:?}");
        }
        assert_eq!(Layout::of(&[], true), None);
        assert_eq!(Layout::of(&[2, 2, 2, 2], true), None);
        assert_eq!(Layout::Grey.arrangement(&[2]), None);
    }

    #[test]
    fn channels_come_first_in_a_sample() {
        let arrangement = Layout::TimeChannels.arrangement(&[3, 2]).unwrap();
        let mut to = Vec::new();
        arrangement.turn(&[1, 10, 2, 20, 3, 30], &mut to);
        assert_eq!(to, [1, 2, 3, 10, 20, 30]);
    }
}
