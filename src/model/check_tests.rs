//! Every fault of a description is found, at its line, and told with what to do.

use super::{DescribeError, DescribeFault, Description, Op};

const HEAD: &str = "name = \"net\"\nsummary = \"s\"\n[input]\nshape = [3, 8, 8]\n\
                    mean = [0, 0.5, 0]\nstd = [1, 1, 1]\n";
const TAIL: &str = "[[op]]\nname = \"fc\"\nkind = \"linear\"\noutputs = \"classes\"\n";

fn parse(ops: &str) -> Result<Description, DescribeError> {
    Description::parse(&format!("{HEAD}{ops}{TAIL}"), "net.toml", 10)
}

/// The fault of `ops`, which begin at line 7, and the line that it was found at.
fn fault(ops: &str) -> (usize, String) {
    let error = parse(ops).unwrap_err();
    assert!(error.to_string().starts_with(&format!("net.toml:{}: ", error.line)));
    (error.line, error.fault.to_string())
}

fn assert_fault(ops: &str, line: usize, parts: &[&str]) {
    let (found, message) = fault(ops);
    assert_eq!(found, line, "{message}");
    for part in parts {
        assert!(message.contains(part), "no {part:?} in {message:?}");
    }
}

const CONV: &str = "[[op]]\nname = \"c\"\nkind = \"conv\"\nfilters = 4\nkernel = 3\n";

#[test]
fn attributes_have_the_defaults_that_the_format_promises() {
    let network = parse(&format!(
        "{CONV}[[op]]\nname = \"b\"\nkind = \"batch-norm\"\n\
         [[op]]\nname = \"p\"\nkind = \"max-pool\"\nkernel = 2\n"
    ))
    .unwrap();
    let conv = Op::Conv {
        filters: 4,
        kernel: [3, 3],
        stride: [1, 1],
        padding: [0, 0],
        groups: 1,
        bias: false,
    };
    assert_eq!((&network.nodes[1].op, network.nodes[1].shape), (&conv, [4, 6, 6]));
    assert_eq!(network.nodes[2].op, Op::BatchNorm { epsilon: 1e-5, momentum: 0.1 });
    assert_eq!(
        network.nodes[3].op,
        Op::MaxPool { kernel: [2, 2], stride: [2, 2], padding: [0, 0] }
    );
    assert_eq!(network.nodes[4].op, Op::Linear { outputs: 10, bias: true });
    let prunable: Vec<bool> = network.nodes.iter().map(|node| node.prunable).collect();
    assert_eq!(prunable, [false, true, false, false, false]);
    assert_eq!(network.mean, [0.0, 0.5, 0.0]);
}

#[test]
fn windows_round_down_and_shortcuts_round_up() {
    let network = parse(
        "[[op]]\nname = \"c\"\nkind = \"conv\"\nfilters = 6\nkernel = [3, 2]\nstride = 3\n\
         padding = [1, 0]\ngroups = 3\n\
         [[op]]\nname = \"s\"\nkind = \"pad-shortcut\"\nstride = 2\nchannels = 8\n",
    )
    .unwrap();
    assert_eq!(network.nodes[1].shape, [6, 3, 3]);
    assert_eq!(network.nodes[2].shape, [8, 2, 2]);
    assert_eq!(network.parameters()[0].shape, [6, 1, 3, 2]);
    assert_eq!(network.parameters()[0].fan_in, 6);
    assert_eq!(network.macs(), [0, 36 * 9, 0, 32 * 10]);
}

#[test]
fn one_number_counts_for_both_directions_and_two_for_one_each() {
    let pool = |keys: &str| {
        let text = format!("[[op]]\nname = \"p\"\nkind = \"max-pool\"\n{keys}");
        parse(&text).unwrap().nodes[1].clone()
    };
    let one = pool("kernel = 3\nstride = 2\npadding = 1\n");
    assert_eq!(one.op, Op::MaxPool { kernel: [3, 3], stride: [2, 2], padding: [1, 1] });
    assert_eq!(one.shape, [3, 4, 4]);
    let two = pool("kernel = [1, 4]\nstride = [2, 3]\npadding = [0, 2]\n");
    assert_eq!(two.op, Op::MaxPool { kernel: [1, 4], stride: [2, 3], padding: [0, 2] });
    assert_eq!(two.shape, [3, 4, 3]);
    let mean = "[[op]]\nname = \"a\"\nkind = \"avg-pool\"\nkernel = [2, 3]\n";
    let mean = parse(mean).unwrap().nodes[1].clone();
    assert_eq!(mean.op, Op::AvgPool { kernel: [2, 3], stride: [2, 3] });
    assert_eq!(mean.shape, [3, 4, 2]);
}

#[test]
fn an_unknown_key_is_named_with_its_line() {
    assert_fault(&format!("{CONV}filter = 4\n"), 12, &["filter", "filters"]);
    assert_fault("[[op]]\nname = \"r\"\nkind = \"relu\"\nstride = 2\n", 10, &["`r`", "`stride`"]);
    assert_fault("[extra]\n", 7, &["extra"]);
}

#[test]
fn a_missing_or_impossible_value_is_named_with_its_line() {
    assert_fault("[[op]]\nname = \"c\"\nkind = \"conv\"\nkernel = 3\n", 8, &["`c`", "`filters`"]);
    assert_fault(&format!("{CONV}stride = 0\n"), 12, &["`stride` is 0", "1 to 1024"]);
    assert_fault(&format!("{CONV}padding = 3\n"), 12, &["`padding` is 3", "0 to 2"]);
    assert_fault(&format!("{CONV}stride = [1, 0]\n"), 12, &["`stride` is [1, 0]", "1 to 1024"]);
    assert_fault(&format!("{CONV}stride = -1\n"), 12, &["whole number from 0 on"]);
    let pool = "[[op]]\nname = \"p\"\nkind = \"max-pool\"\nkernel = [3, 1]\npadding = 1\n";
    assert_fault(pool, 11, &["`padding` is 1", "[0, 0] to [1, 0]"]);
    assert_fault(&pool.replace("max", "avg"), 11, &["no key `padding`"]);
    assert_fault(&format!("{CONV}groups = 2\n"), 7, &["`groups` is 2", "3 input channels"]);
    assert_fault("[[op]]\nname = \"x\"\nkind = \"convolution\"\n", 9, &["`x`", "max-pool"]);
    assert_fault("[[op]]\nname = \"l\"\nkind = \"linear\"\noutputs = \"all\"\n", 10, &["\"all\""]);
    assert_fault("[[op]]\nname = \"B\"\nkind = \"relu\"\n", 8, &["`B`", "a-z"]);
}

#[test]
fn operations_of_transformers_are_held_to_their_input() {
    let qkv = |filters: usize| {
        format!("[[op]]\nname = \"q\"\nkind = \"conv\"\nfilters = {filters}\nkernel = 1\n")
    };
    let op = |kind: &str, keys: &str| format!("[[op]]\nname = \"t\"\nkind = \"{kind}\"\n{keys}");
    let attention = |keys: &str| qkv(12) + &op("attention", keys);
    let network = parse(&attention("heads = 2\nwindow = 4\nshift = 1\n")).unwrap();
    let expected = Op::Attention { heads: 2, window: Some(4), shift: 1 };
    assert_eq!((&network.nodes[2].op, network.nodes[2].shape), (&expected, [4, 8, 8]));
    assert_eq!(network.parameters()[1].shape, [2, 7, 7]);
    assert_eq!(network.macs()[2], 2 * 4 * 64 * 16);
    let merged = parse(&op("space-to-depth", "side = 4\n")).unwrap();
    assert_eq!(merged.nodes[1].shape, [48, 2, 2]);
    let norm = parse(&op("layer-norm", "")).unwrap();
    assert_eq!(norm.nodes[1].op, Op::LayerNorm { epsilon: 1e-5 });
    assert_eq!(parse(&op("position", "")).unwrap().parameters()[0].shape, [3, 8, 8]);

    assert_fault(&attention(""), 13, &["`t`", "`heads`"]);
    assert_fault(&attention("heads = 3\n"), 12, &["`heads` is 3", "12 input channels"]);
    assert_fault(&attention("heads = 2\nwindow = 3\n"), 12, &["`window` is 3", "8 x 8"]);
    assert_fault(&attention("heads = 2\nshift = 1\n"), 16, &["`shift` is 1", "`window`"]);
    let moved = "heads = 2\nwindow = 4\nshift = 4\n";
    assert_fault(&attention(moved), 17, &["`shift` is 4", "0 to 3"]);
    assert_fault(&op("space-to-depth", "side = 3\n"), 7, &["`side` is 3", "8 x 8"]);
    assert_fault(&op("gelu", "epsilon = 0.1\n"), 10, &["`t`", "`epsilon`"]);
    let large = format!("{HEAD}{}{TAIL}", attention("heads = 1\n")).replace("8, 8]", "200, 200]");
    let error = Description::parse(&large, "net.toml", 10).unwrap_err().to_string();
    assert!(error.contains("40000 places that attend") && error.contains("16384"), "{error}");
}

#[test]
fn wiring_faults_are_named_with_their_line() {
    let relu = |name: &str, from: &str| {
        format!("[[op]]\nname = \"{name}\"\nkind = \"relu\"\nfrom = {from}\n")
    };
    assert_fault(&relu("r", "\"r\""), 10, &["`r` reads from `r`"]);
    assert_fault(&relu("r", "\"fc\""), 10, &["`fc`", "above"]);
    assert_fault(&relu("r", "[\"input\", \"input\"]"), 10, &["one operation", "names 2"]);
    assert_fault(&relu("input", "\"input\""), 8, &["second", "`input`"]);
    let twice = relu("a", "\"input\"") + &relu("a", "\"a\"");
    assert_fault(&twice, 12, &["second", "`a`"]);
    let dead = relu("a", "\"input\"") + &relu("b", "\"input\"");
    assert_fault(&dead, 7, &["nothing reads from `a`"]);
}

#[test]
fn shapes_that_do_not_fit_are_named_with_their_line() {
    let add = |from: &str| format!("[[op]]\nname = \"s\"\nkind = \"add\"\nfrom = {from}\n");
    assert_fault(&(CONV.to_owned() + &add("[\"c\", \"input\"]")), 12, &["[4, 6, 6]", "[3, 8, 8]"]);
    assert_fault(&(CONV.to_owned() + &add("[\"c\", \"c\"]")), 15, &["two different"]);
    let large = CONV.replace("kernel = 3", "kernel = 9");
    assert_fault(&large, 7, &["[9, 9]", "[8, 8]"]);
    let wide = "[[op]]\nname = \"l\"\nkind = \"linear\"\noutputs = 65536\n";
    let wider = wide.replace("\"l\"", "\"m\"");
    assert_fault(&format!("{wide}{wider}"), 11, &["4294967296 weights"]);
    let error = Description::parse(&format!("{HEAD}{CONV}"), "net.toml", 10).unwrap_err();
    assert!(matches!(*error.fault, DescribeFault::WrongHead { shape: [4, 6, 6], .. }), "{error}");
}

#[test]
fn what_is_too_long_is_refused_before_it_is_read() {
    let error = parse(&"#".repeat(256 * 1024)).unwrap_err();
    assert!(matches!(*error.fault, DescribeFault::TooLong { limit: 262_144, .. }), "{error}");
    let many: String =
        (0..4095).map(|n| format!("[[op]]\nname = \"r{n}\"\nkind = \"relu\"\n")).collect();
    assert!(matches!(*parse(&many).unwrap_err().fault, DescribeFault::TooManyOps { .. }));
}

#[test]
fn the_input_is_checked_against_its_channels() {
    let with = |from: &str, to: &str| {
        Description::parse(&format!("{HEAD}{TAIL}").replace(from, to), "net.toml", 10).unwrap_err()
    };
    let error = with("std = [1, 1, 1]", "std = [1, 0, 1]");
    assert_eq!((error.line, error.fault.to_string().contains("above 0")), (6, true));
    assert_eq!(with("mean = [0, 0.5, 0]", "mean = [0, 1]").line, 5);
    assert_eq!(with("[3, 8, 8]", "[0, 8, 8]").line, 4);
    let text = format!("{HEAD}{TAIL}").replace("[0, 0.5, 0]", "[0.5]").replace("[1, 1, 1]", "[2]");
    let network = Description::parse(&text, "net.toml", 10).unwrap();
    assert_eq!((network.mean, network.std), (vec![0.5; 3], vec![2.0; 3]));
}
