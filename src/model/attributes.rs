//! From the keys of one `[[op]]` table to an [`Op`] whose every attribute is in range.
//!
//! How attributes fit the operation's input is [`super::shapes`]'s to say.

use toml::Spanned;

use super::check::Located;
use super::describe::Op;
use super::fault::DescribeFault;
use super::shapes::MAX_CHANNELS;
use super::text::{OneOrTwo, Outputs, UncheckedOp};

/// The largest window side and step.
pub const MAX_WINDOW: usize = 1024;

const KINDS: &str = "conv, linear, batch-norm, layer-norm, relu, gelu, add, max-pool, avg-pool, global-avg-pool, pad-shortcut, position, attention and space-to-depth";

/// An operation and whether pruning may thin it.
pub(super) struct Attributes {
    pub op: Op,
    pub prunable: bool,
}

impl Attributes {
    /// Checks the keys of `claimed`.
    pub fn of(claimed: &UncheckedOp, classes: usize) -> Result<Self, Located> {
        let keys = Keys { claimed };
        let op = match claimed.kind.get_ref().as_str() {
            "conv" => keys.conv()?,
            "linear" => keys.linear(classes)?,
            "batch-norm" => keys.batch_norm()?,
            "relu" => keys.only(&[]).map(|()| Op::Relu)?,
            "add" => keys.only(&[]).map(|()| Op::Add)?,
            "global-avg-pool" => keys.only(&[]).map(|()| Op::GlobalAvgPool)?,
            "max-pool" => keys.max_pool()?,
            "avg-pool" => keys.avg_pool()?,
            "pad-shortcut" => keys.pad_shortcut()?,
            "layer-norm" => keys.layer_norm()?,
            "gelu" => keys.only(&[]).map(|()| Op::Gelu)?,
            "position" => keys.only(&[]).map(|()| Op::Position)?,
            "attention" => keys.attention()?,
            "space-to-depth" => keys.space_to_depth()?,
            _ => return Err(keys.unknown_kind()),
        };
        let prunable = match &claimed.prunable {
            Some(told) => *told.get_ref(),
            None => matches!(op, Op::Conv { .. }),
        };
        Ok(Self { op, prunable })
    }
}

struct Keys<'a> {
    claimed: &'a UncheckedOp,
}

impl Keys<'_> {
    fn conv(&self) -> Result<Op, Located> {
        self.only(&["filters", "kernel", "stride", "padding", "groups", "bias", "prunable"])?;
        let claimed = self.claimed;
        let kernel = self.kernel()?;
        // A window that lies in the padding alone would see nothing but zeros.
        let most = kernel.map(|side| side - 1);
        Ok(Op::Conv {
            filters: self.number("filters", &claimed.filters, None, MAX_CHANNELS)?,
            kernel,
            stride: self.stride([1; 2])?,
            padding: self.windows("padding", &claimed.padding, Some([0; 2]), [0; 2], most)?,
            groups: self.number("groups", &claimed.groups, Some(1), MAX_CHANNELS)?,
            bias: claimed.bias.as_ref().is_some_and(|bias| *bias.get_ref()),
        })
    }

    fn linear(&self, classes: usize) -> Result<Op, Located> {
        self.only(&["outputs", "bias", "prunable"])?;
        let Some(told) = &self.claimed.outputs else {
            return Err(self.missing("outputs"));
        };
        let outputs = match told.get_ref() {
            Outputs::Count(count) if (1..=MAX_CHANNELS).contains(count) => *count,
            Outputs::Word(word) if word == "classes" => classes,
            other => {
                let found = match other {
                    Outputs::Count(count) => count.to_string(),
                    Outputs::Word(word) => format!("{word:?}"),
                };
                let expected = format!("1 to {MAX_CHANNELS}, or \"classes\"");
                return Err(self.bad(told.span().start, "outputs", found, expected));
            }
        };
        Ok(Op::Linear { outputs, bias: self.claimed.bias.as_ref().is_none_or(|b| *b.get_ref()) })
    }

    fn batch_norm(&self) -> Result<Op, Located> {
        self.only(&["epsilon", "momentum"])?;
        let claimed = self.claimed;
        Ok(Op::BatchNorm {
            epsilon: self.share("epsilon", &claimed.epsilon, 1e-5)?,
            momentum: self.share("momentum", &claimed.momentum, 0.1)?,
        })
    }

    fn max_pool(&self) -> Result<Op, Located> {
        self.only(&["kernel", "stride", "padding"])?;
        let (kernel, told) = (self.kernel()?, &self.claimed.padding);
        // A window that lies in the padding alone would have no largest value.
        let most = kernel.map(|side| side / 2);
        let padding = self.windows("padding", told, Some([0; 2]), [0; 2], most)?;
        Ok(Op::MaxPool { kernel, stride: self.stride(kernel)?, padding })
    }

    fn avg_pool(&self) -> Result<Op, Located> {
        self.only(&["kernel", "stride"])?;
        let kernel = self.kernel()?;
        Ok(Op::AvgPool { kernel, stride: self.stride(kernel)? })
    }

    fn pad_shortcut(&self) -> Result<Op, Located> {
        self.only(&["stride", "channels"])?;
        Ok(Op::PadShortcut {
            stride: self.stride([1; 2])?,
            channels: self.number("channels", &self.claimed.channels, None, MAX_CHANNELS)?,
        })
    }

    fn layer_norm(&self) -> Result<Op, Located> {
        self.only(&["epsilon"])?;
        Ok(Op::LayerNorm { epsilon: self.share("epsilon", &self.claimed.epsilon, 1e-5)? })
    }

    fn attention(&self) -> Result<Op, Located> {
        self.only(&["heads", "window", "shift"])?;
        let claimed = self.claimed;
        let heads = self.number("heads", &claimed.heads, None, MAX_CHANNELS)?;
        let window = match &claimed.window {
            None => None,
            told => Some(self.number("window", told, None, MAX_WINDOW)?),
        };
        let shift = match (&claimed.shift, window) {
            (None, _) => 0,
            (Some(told), Some(window)) if *told.get_ref() < window => *told.get_ref(),
            (Some(told), window) => {
                let expected = match window {
                    Some(window) => format!("0 to {}", window - 1),
                    None => "a `window` too, and to be less than it".into(),
                };
                let found = told.get_ref().to_string();
                return Err(self.bad(told.span().start, "shift", found, expected));
            }
        };
        Ok(Op::Attention { heads, window, shift })
    }

    fn space_to_depth(&self) -> Result<Op, Located> {
        self.only(&["side"])?;
        let side = self.number("side", &self.claimed.side, None, MAX_WINDOW)?;
        Ok(Op::SpaceToDepth { side })
    }

    /// Refuses every key that is not in `allowed`.
    fn only(&self, allowed: &[&str]) -> Result<(), Located> {
        match self.claimed.keys().into_iter().find(|(key, _)| !allowed.contains(key)) {
            None => Ok(()),
            Some((key, place)) => {
                let (op, kind) = self.names();
                Err((place, DescribeFault::KeyOutOfPlace { op, kind, key }))
            }
        }
    }

    fn number(
        &self,
        key: &'static str,
        told: &Option<Spanned<usize>>,
        default: Option<usize>,
        most: usize,
    ) -> Result<usize, Located> {
        match (told, default) {
            (None, None) => Err(self.missing(key)),
            (None, Some(default)) => Ok(default),
            (Some(told), _) if (1..=most).contains(told.get_ref()) => Ok(*told.get_ref()),
            (Some(told), _) => {
                let found = told.get_ref().to_string();
                Err(self.bad(told.span().start, key, found, format!("1 to {most}")))
            }
        }
    }

    fn kernel(&self) -> Result<[usize; 2], Located> {
        self.windows("kernel", &self.claimed.kernel, None, [1; 2], [MAX_WINDOW; 2])
    }

    fn stride(&self, default: [usize; 2]) -> Result<[usize; 2], Located> {
        self.windows("stride", &self.claimed.stride, Some(default), [1; 2], [MAX_WINDOW; 2])
    }

    fn windows(
        &self,
        key: &'static str,
        told: &Option<Spanned<OneOrTwo>>,
        default: Option<[usize; 2]>,
        least: [usize; 2],
        most: [usize; 2],
    ) -> Result<[usize; 2], Located> {
        let Some(told) = told else {
            return default.ok_or_else(|| self.missing(key));
        };
        let pair = told.get_ref().pair();
        if (0..2).all(|side| (least[side]..=most[side]).contains(&pair[side])) {
            return Ok(pair);
        }
        let found = match told.get_ref() {
            OneOrTwo::One(both) => both.to_string(),
            OneOrTwo::Two(pair) => format!("{pair:?}"),
        };
        let expected = if least[0] == least[1] && most[0] == most[1] {
            format!("{} to {}", least[0], most[0])
        } else {
            format!("{least:?} to {most:?} (height, width)")
        };
        Err(self.bad(told.span().start, key, found, expected))
    }

    fn share(
        &self,
        key: &'static str,
        told: &Option<Spanned<f32>>,
        default: f32,
    ) -> Result<f32, Located> {
        match told {
            None => Ok(default),
            Some(told) if *told.get_ref() > 0.0 && *told.get_ref() <= 1.0 => Ok(*told.get_ref()),
            Some(told) => {
                let found = told.get_ref().to_string();
                Err(self.bad(told.span().start, key, found, "above 0, at most 1".into()))
            }
        }
    }

    fn names(&self) -> (String, String) {
        (self.claimed.name.get_ref().clone(), self.claimed.kind.get_ref().clone())
    }

    fn missing(&self, key: &'static str) -> Located {
        let (op, kind) = self.names();
        (self.claimed.name.span().start, DescribeFault::MissingKey { op, kind, key })
    }

    fn unknown_kind(&self) -> Located {
        let (op, kind) = self.names();
        (self.claimed.kind.span().start, DescribeFault::UnknownKind { op, kind, known: KINDS })
    }

    fn bad(&self, at: usize, key: &'static str, found: String, expected: String) -> Located {
        let op = self.claimed.name.get_ref().clone();
        (at, DescribeFault::BadValue { op, key, found, expected })
    }
}
