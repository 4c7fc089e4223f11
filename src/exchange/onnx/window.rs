//! Windows that slide over places, as convolutions and pools have them.

use super::graph::fault;
use super::message::Node;
use crate::exchange::error::ExchangeFault;

/// A window that slides, height before width.
pub(super) struct Window {
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    pub padding: [usize; 2],
}

impl Window {
    /// The window of `node` over the sides `kernel`.
    pub(super) fn of(node: &Node<'_>, kernel: &[usize]) -> Result<Self, ExchangeFault> {
        let directions = kernel.len();
        let told = node.attribute("auto_pad").map_or(&b"NOTSET"[..], |attribute| attribute.text);
        if ![&b"NOTSET"[..], b"VALID", b""].contains(&told) {
            let told = String::from_utf8_lossy(told);
            return Err(fault(node, format!("auto_pad {told} is not supported: give pads")));
        }
        let list = |name: &str, default: usize, len: usize| match node.attribute(name) {
            None => Ok(vec![default; len]),
            Some(attribute) => {
                let ints = attribute.ints.iter().map(|&side| usize::try_from(side).ok());
                let found: Option<Vec<usize>> = ints.collect();
                found.filter(|found| found.len() == len).ok_or_else(|| {
                    fault(
                        node,
                        format!("`{name}` is {:?}, {len} whole numbers are needed", attribute.ints),
                    )
                })
            }
        };
        if node.attribute("kernel_shape").is_some()
            && list("kernel_shape", 0, directions)? != kernel
        {
            return Err(fault(node, format!("kernel_shape is not {kernel:?}, as its weights say")));
        }
        if list("dilations", 1, directions)?.iter().any(|&step| step != 1) {
            return Err(fault(node, "dilations other than 1 are not supported"));
        }
        let pads = list("pads", 0, 2 * directions)?;
        let (before, behind) = pads.split_at(directions);
        if before != behind {
            return Err(fault(
                node,
                format!("pads {pads:?} differ before and behind: only equal ones are supported"),
            ));
        }
        let strides = list("strides", 1, directions)?;
        if strides.contains(&0) || kernel.contains(&0) {
            return Err(fault(node, "a window or a step of 0 leads nowhere"));
        }
        Ok(Self { kernel: pair(kernel, 1), stride: pair(&strides, 1), padding: pair(before, 0) })
    }

    /// How many places the window has along each of `places`.
    pub(super) fn slide(
        &self,
        node: &Node<'_>,
        places: &[usize],
    ) -> Result<Vec<usize>, ExchangeFault> {
        let first = 2 - places.len();
        let along = |(index, &side): (usize, &usize)| {
            let at = first + index;
            let padded = self.padding[at].checked_mul(2)?.checked_add(side)?;
            Some(padded.checked_sub(self.kernel[at])? / self.stride[at] + 1)
        };
        let slid: Option<Vec<usize>> = places.iter().enumerate().map(along).collect();
        slid.ok_or_else(|| {
            fault(
                node,
                format!(
                    "its window {:?} is larger than {places:?} with padding {:?}",
                    self.kernel, self.padding
                ),
            )
        })
    }
}

/// Height and width; over one direction the height is `flat`.
fn pair(sides: &[usize], flat: usize) -> [usize; 2] {
    match *sides {
        [height, width] => [height, width],
        [width] => [flat, width],
        _ => [flat; 2],
    }
}
