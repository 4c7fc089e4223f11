//! What each method is, costs and needs.

/// What a method is, costs and needs.
#[derive(Clone, Copy, Debug)]
pub struct MethodInfo {
    /// Its name in commands.
    pub name: &'static str,
    /// What it does.
    pub summary: &'static str,
    /// Whether it reads the samples to forget, with its defaults.
    pub needs_forget: bool,
    /// Whether it reads the samples to keep.
    pub needs_retain: bool,
    /// Passes over each set with its defaults; one pass is forward and backward if it does not say
    /// otherwise.
    pub cost: &'static str,
}

impl MethodInfo {
    const fn new(name: &'static str, needs: [bool; 2], cost: &'static str) -> Self {
        Self { name, summary: "", needs_forget: needs[0], needs_retain: needs[1], cost }
    }

    const fn does(self, summary: &'static str) -> Self {
        Self { summary, ..self }
    }
}

const RETAIN: [bool; 2] = [false, true];
const FORGET: [bool; 2] = [true, false];
const BOTH: [bool; 2] = [true, true];

/// Every method.
#[rustfmt::skip]
pub const METHODS: [MethodInfo; 14] = [
    MethodInfo::new("retrain", RETAIN, "the original's epochs over retain; twice that with sam")
        .does("train again from scratch on what is kept, under the model's mask: the yardstick, and exact if the mask never saw the rest"),
    MethodInfo::new("fine-tune", RETAIN, "10 over retain").does("go on training on what is kept"),
    MethodInfo::new("l1-sparse", RETAIN, "10 over retain")
        .does("go on training on what is kept, under an l1 penalty (proximal: weights become 0 and leave)"),
    MethodInfo::new("l1-short", RETAIN, "50 over retain")
        .does("l1-sparse with the penalty in the first 4 epochs alone, then a long recovery on a cosine"),
    MethodInfo::new("l1-prune-rewind", RETAIN, "10 over retain")
        .does("an l1 penalty chooses which weights leave; the others go back to where they were and learn on"),
    MethodInfo::new("prune-while", RETAIN, "10 over retain; over forget with ascend")
        .does("go on training on what is kept (ascend: go up the loss of what is forgotten), and remove weights before every second epoch"),
    MethodInfo::new("gradient-ascent", FORGET, "5 over forget")
        .does("go up the loss of what is forgotten, with an l1 penalty if alpha is above 0"),
    MethodInfo::new("neg-grad-plus", BOTH, "10 over retain, and as many batches of forget")
        .does("in each step go down the loss of what is kept and up that of what is forgotten"),
    MethodInfo::new("random-labels", BOTH, "10 over forget, 10 over retain")
        .does("learn what is forgotten under random labels, and what is kept under its own"),
    MethodInfo::new("salun", BOTH, "1 + 10 over forget, 10 over retain")
        .does("random labels, for the half of the weights alone that what is forgotten pulls at most"),
    MethodInfo::new("scrub", BOTH, "2 over forget, 3 over retain, and those forward by the teacher")
        .does("move away from the model's answers on what is forgotten, and stay with them on what is kept"),
    MethodInfo::new("fisher", RETAIN, "4 over retain")
        .does("noise on each weight, the more the less what is kept depends on it"),
    MethodInfo::new("influence", BOTH, "1 over forget and retain, 1000 samples of retain one at a time")
        .does("a Newton step away from what is forgotten"),
    MethodInfo::new("ssd", BOTH, "4 over forget and retain")
        .does("damp the weights that matter much more to what is forgotten"),
];
