//! From layers to the text of a network description.

use std::fmt::Write;

use super::graph::{Layer, Net};
use crate::model::{MAX_NAME, Op};

/// The description of `net`, called `name`; `producer` is what made the file.
pub(super) fn describe(net: &Net, name: &str, producer: &str) -> String {
    let plain = |c: char| match c.to_ascii_lowercase() {
        c @ ('a'..='z' | '0'..='9' | '.' | '_' | '-' | ' ') => c,
        _ => '-',
    };
    let name: String = name.chars().take(MAX_NAME).map(plain).collect();
    let name = name.replace(' ', "-");
    let name = if name.is_empty() { "imported" } else { &name };
    let producer: String = producer.chars().take(MAX_NAME).map(plain).collect();
    let producer = if producer.is_empty() { "an unnamed program" } else { producer.trim() };
    let mut text =
        format!("name = \"{name}\"\nsummary = \"Read from an ONNX file that {producer} wrote.\"\n");
    let shape = net.layers.first().map_or([1; 3], |layer| layer.shape);
    let (mean, std) = (&net.mean, &net.std);
    let _ = write!(text, "\n[input]\nshape = {shape:?}\nmean = {mean:?}\nstd = {std:?}\n");
    // Without a convolution, the hidden matrices are what pruning can thin.
    let flat = !net.layers.iter().any(|layer| matches!(layer.op, Op::Conv { .. }));
    let last = net.layers.len() - 1;
    for (index, layer) in net.layers.iter().enumerate().skip(1) {
        let _ = write!(text, "\n[[op]]\nname = \"{}\"\n", layer.name);
        operation(&mut text, &layer.op, index == last, flat);
        sources(&mut text, &net.layers, index);
    }
    text
}

fn operation(text: &mut String, op: &Op, last: bool, flat: bool) {
    let _ = match op {
        Op::Input => Ok(()),
        Op::Conv { filters, kernel, stride, padding, groups, bias } => write!(
            text,
            "kind = \"conv\"\nfilters = {filters}\nkernel = {kernel:?}\nstride = {stride:?}\n\
             padding = {padding:?}\ngroups = {groups}\nbias = {bias}\n"
        ),
        Op::Linear { outputs, bias } => {
            let outputs = if last { "\"classes\"".to_owned() } else { outputs.to_string() };
            let prunable = flat && !last;
            write!(
                text,
                "kind = \"linear\"\noutputs = {outputs}\nbias = {bias}\nprunable = {prunable}\n"
            )
        }
        Op::BatchNorm { epsilon, momentum } => {
            write!(text, "kind = \"batch-norm\"\nepsilon = {epsilon:?}\nmomentum = {momentum:?}\n")
        }
        Op::Relu => writeln!(text, "kind = \"relu\""),
        Op::Add => writeln!(text, "kind = \"add\""),
        Op::MaxPool { kernel, stride, padding } => write!(
            text,
            "kind = \"max-pool\"\nkernel = {kernel:?}\nstride = {stride:?}\npadding = {padding:?}\n"
        ),
        Op::AvgPool { kernel, stride } => {
            write!(text, "kind = \"avg-pool\"\nkernel = {kernel:?}\nstride = {stride:?}\n")
        }
        Op::GlobalAvgPool => writeln!(text, "kind = \"global-avg-pool\""),
        Op::PadShortcut { stride, channels } => {
            write!(text, "kind = \"pad-shortcut\"\nstride = {stride:?}\nchannels = {channels}\n")
        }
        Op::LayerNorm { epsilon } => {
            write!(text, "kind = \"layer-norm\"\nepsilon = {epsilon:?}\n")
        }
        Op::Gelu => writeln!(text, "kind = \"gelu\""),
        Op::Position => writeln!(text, "kind = \"position\""),
        Op::Attention { heads, window: None, .. } => {
            write!(text, "kind = \"attention\"\nheads = {heads}\n")
        }
        Op::Attention { heads, window: Some(window), shift } => write!(
            text,
            "kind = \"attention\"\nheads = {heads}\nwindow = {window}\nshift = {shift}\n"
        ),
        Op::SpaceToDepth { side } => write!(text, "kind = \"space-to-depth\"\nside = {side}\n"),
    };
}

/// What a layer reads, where it is not the one above.
fn sources(text: &mut String, layers: &[Layer], index: usize) {
    let from = &layers[index].from;
    if from[..] == [index - 1] {
        return;
    }
    let names: Vec<String> =
        from.iter().map(|&layer| format!("\"{}\"", layers[layer].name)).collect();
    let _ = writeln!(text, "from = [{}]", names.join(", "));
}
