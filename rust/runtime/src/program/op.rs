//! The ops that a Program can hold, by name.

macro_rules! ops {
    ($($name:ident,)*) => {
        /// What a node does. `signature` has each op's inputs, outputs and attributes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Op {
            $(
                #[doc = concat!("The op `", stringify!($name), "`.")]
                $name,
            )*
        }

        impl Op {
            /// Every op.
            pub const ALL: &[Op] = &[$(Op::$name,)*];

            /// The name in an artifact: ONNX's own for float ops.
            pub fn name(self) -> &'static str {
                match self {
                    $(Op::$name => stringify!($name),)*
                }
            }

            /// The op of a name in an artifact.
            pub fn from_name(name: &str) -> Option<Op> {
                match name {
                    $(stringify!($name) => Some(Op::$name),)*
                    _ => None,
                }
            }
        }
    };
}

ops! {
    Quantize,
    DynamicQuantize,
    Dequantize,
    Requantize,
    QConv,
    QConvTranspose,
    QGemm,
    QMatMul,
    QAdd,
    QMul,
    QAveragePool,
    QReduceMean,
    Lookup,
    QSoftmax,
    QExponentials,
    Conv,
    ConvTranspose,
    Gemm,
    MatMul,
    BatchNormalization,
    LayerNormalization,
    RMSNormalization,
    InstanceNormalization,
    GroupNormalization,
    LpNormalization,
    Add,
    Sub,
    Mul,
    Div,
    Pow,
    Max,
    Min,
    Mod,
    BitShift,
    BitwiseAnd,
    BitwiseOr,
    BitwiseXor,
    PRelu,
    Relu,
    LeakyRelu,
    Elu,
    Selu,
    Celu,
    ThresholdedRelu,
    Sigmoid,
    Tanh,
    HardSigmoid,
    HardSwish,
    Gelu,
    Softplus,
    Softsign,
    Mish,
    Swish,
    Exp,
    Log,
    Sqrt,
    Reciprocal,
    BitwiseNot,
    Abs,
    Neg,
    Sign,
    Floor,
    Ceil,
    Round,
    Erf,
    Sin,
    Cos,
    Tan,
    Asin,
    Acos,
    Atan,
    Sinh,
    Cosh,
    Asinh,
    Acosh,
    Atanh,
    Shrink,
    Clip,
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    And,
    Or,
    Xor,
    Not,
    IsNaN,
    IsInf,
    Where,
    Softmax,
    LogSoftmax,
    MaxPool,
    MaxUnpool,
    AveragePool,
    LpPool,
    GlobalLpPool,
    GlobalAveragePool,
    GlobalMaxPool,
    ReduceMean,
    ReduceSum,
    ReduceMax,
    ReduceMin,
    ReduceProd,
    ReduceL1,
    ReduceL2,
    ReduceSumSquare,
    ReduceLogSum,
    ReduceLogSumExp,
    Identity,
    Reshape,
    Flatten,
    Transpose,
    Slice,
    Split,
    Pad,
    Squeeze,
    Unsqueeze,
    Concat,
    Resize,
    GridSample,
    Expand,
    Tile,
    Gather,
    DepthToSpace,
    SpaceToDepth,
    Shape,
    Cast,
    ConstantOfShape,
    Range,
    ArgMax,
    ArgMin,
    TopK,
    CumSum,
    OneHot,
    GatherElements,
    GatherND,
    ScatterElements,
    ScatterND,
    TensorScatter,
    ReverseSequence,
    Trilu,
    EyeLike,
    Size,
    NonZero,
    Compress,
    Unique,
    NonMaxSuppression,
    RoiAlign,
    Col2Im,
    If,
    Loop,
}

impl Op {
    /// The sub-programs of its nodes, by ONNX's names for them, in their order.
    pub fn bodies(self) -> &'static [&'static str] {
        match self {
            Op::If => &["else_branch", "then_branch"],
            Op::Loop => &["body"],
            _ => &[],
        }
    }
}
