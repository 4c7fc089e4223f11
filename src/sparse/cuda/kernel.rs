//! The kernels: their names, the sources that are compiled in, and how they are compiled.
//!
//! Needs nothing of its room: the build script (`build.rs`) reads it too.

/// Architectures that the kernels are held to compile for: Xavier, Orin, H100, Thor. The first is the oldest that
/// they can be used on.
pub const ARCHITECTURES: [[u32; 2]; 4] = [[7, 2], [8, 7], [9, 0], [11, 0]];

/// Besides the architecture. A multiplication and an addition may round once; everything else that could
/// change a result by speed is off, whatever a release has for its default.
pub const OPTIONS: [&str; 5] =
    ["--std=c++17", "--fmad=true", "--ftz=false", "--prec-div=true", "--prec-sqrt=true"];

/// One file for each kind of work, in the order in which they are compiled as one unit.
pub const SOURCES: [(&str, &str); 12] = [
    ("common.cuh", include_str!("kernels/common.cuh")),
    ("packed.cu", include_str!("kernels/packed.cu")),
    ("conv.cu", include_str!("kernels/conv.cu")),
    ("weight_gradient.cu", include_str!("kernels/weight_gradient.cu")),
    ("norm.cu", include_str!("kernels/norm.cu")),
    ("pointwise.cu", include_str!("kernels/pointwise.cu")),
    ("pool.cu", include_str!("kernels/pool.cu")),
    ("tokens.cu", include_str!("kernels/tokens.cu")),
    ("attention.cu", include_str!("kernels/attention.cu")),
    ("sparse_conv.cu", include_str!("kernels/sparse_conv.cu")),
    ("sparse_gradient.cu", include_str!("kernels/sparse_gradient.cu")),
    ("decode.cu", include_str!("kernels/decode.cu")),
];

macro_rules! kernels {
    ($($kernel:ident = $name:literal,)*) => {
        /// A kernel.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[allow(missing_docs)] // Each is documented where it is written.
        pub enum Kernel { $($kernel,)* }

        impl Kernel {
            /// Every kernel.
            pub const ALL: &[Self] = &[$(Self::$kernel,)*];

            /// Its name in the sources.
            pub fn name(self) -> &'static str {
                match self { $(Self::$kernel => $name,)* }
            }
        }
    };
}

kernels! {
    LoadInput = "load_input",
    Expand = "expand",
    ConvF32 = "conv_f32",
    ConvTf32 = "conv_tf32",
    ConvF16 = "conv_f16",
    ConvBf16 = "conv_bf16",
    WeightGradientF32 = "weight_gradient_f32",
    WeightGradientTf32 = "weight_gradient_tf32",
    WeightGradientF16 = "weight_gradient_f16",
    WeightGradientBf16 = "weight_gradient_bf16",
    SumPartials = "sum_partials",
    ColumnSums = "column_sums",
    Moments = "moments",
    MomentsFinish = "moments_finish",
    NormFrozen = "norm_frozen",
    Normalise = "normalise",
    NormProducts = "norm_products",
    NormProductsFinish = "norm_products_finish",
    NormInputGradient = "norm_input_gradient",
    Relu = "relu",
    ReluBackward = "relu_backward",
    Add = "add",
    CopyOrAdd = "copy_or_add",
    CrossEntropy = "cross_entropy",
    Update = "update",
    MaxPool = "max_pool",
    MaxPoolBackward = "max_pool_backward",
    AvgPool = "avg_pool",
    AvgPoolBackward = "avg_pool_backward",
    PadShortcut = "pad_shortcut",
    PadShortcutBackward = "pad_shortcut_backward",
    Gelu = "gelu",
    GeluBackward = "gelu_backward",
    AddPosition = "add_position",
    PositionGradient = "position_gradient",
    Merge = "merge",
    MergeBackward = "merge_backward",
    LayerNorm = "layer_norm",
    LayerNormInputGradient = "layer_norm_input_gradient",
    LayerNormProducts = "layer_norm_products",
    AttentionScores = "attention_scores",
    AttentionSoftmax = "attention_softmax",
    AttentionDescend = "attention_descend",
    AttentionSums = "attention_sums",
    AttentionBiasSums = "attention_bias_sums",
    SparseConv = "sparse_conv",
    GatherValues = "gather_values",
    SparseGradient = "sparse_gradient",
    DecodeBitmap = "decode_bitmap",
    DecodeTiles = "decode_tiles",
    DecodeNOfM = "decode_n_of_m",
    DecodeReals = "decode_reals",
    DecodeInt8 = "decode_int8",
}

/// All sources as one text, with lines that name each file.
pub fn source() -> String {
    SOURCES.iter().map(|(name, text)| format!("#line 1 \"{name}\"\n{text}\n")).collect()
}
