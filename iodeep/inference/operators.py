"""The ONNX operators that a network may use: a reviewed list, and why the others are not on it.

All of the standard domain. Everything listed works on the tensors that it is given and ends. Not listed, on purpose:

- ``Loop``, ``Scan``, ``SequenceMap``: how long they run is decided by data. ``If`` is listed: it runs one of two
  graphs that are checked like the rest, once.
- ``Random*``, ``Bernoulli``, ``Multinomial``: a result must come out again the same.
- sequences, optionals, maps, strings, image decoders, training: no network for volumes needs them.
- every other domain (``com.microsoft``, ``ai.onnx.ml``, custom ones): code that we haven't read.
"""

from __future__ import annotations

STANDARD_DOMAINS = frozenset({"", "ai.onnx"})
LEAST_OPSET, GREATEST_OPSET = 9, 25

ALLOWED_OPERATORS = frozenset(
    """
    Conv ConvTranspose ConvInteger QLinearConv Gemm MatMul MatMulInteger QLinearMatMul Einsum
    AveragePool MaxPool MaxUnpool LpPool GlobalAveragePool GlobalMaxPool GlobalLpPool
    BatchNormalization InstanceNormalization GroupNormalization LayerNormalization RMSNormalization LpNormalization
    MeanVarianceNormalization LRN Dropout
    Relu LeakyRelu PRelu Elu Selu Celu Gelu Mish Swish HardSigmoid HardSwish Sigmoid Softmax LogSoftmax Hardmax
    Softplus Softsign Tanh ThresholdedRelu Shrink Erf Clip
    Add Sub Mul Div Neg Abs Sqrt Reciprocal Exp Log Pow Mod Sum Mean Max Min Sign Floor Ceil Round
    Sin Cos Tan Asin Acos Atan Sinh Cosh Asinh Acosh Atanh
    ReduceMean ReduceSum ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceSumSquare
    ArgMax ArgMin TopK CumSum Det
    Equal Greater GreaterOrEqual Less LessOrEqual And Or Not Xor Where IsNaN IsInf
    BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor
    Concat Split Slice Gather GatherElements GatherND Scatter ScatterElements ScatterND Pad Tile Expand Reshape Flatten
    Squeeze Unsqueeze Transpose DepthToSpace SpaceToDepth Shape Size Identity Cast CastLike Compress NonZero Unique
    OneHot EyeLike Trilu Range Constant ConstantOfShape ReverseSequence CenterCropPad Col2Im
    Resize Upsample GridSample AffineGrid RoiAlign MaxRoiPool NonMaxSuppression
    QuantizeLinear DequantizeLinear DynamicQuantizeLinear
    Attention RotaryEmbedding LSTM GRU RNN
    If
    """.split()  # noqa: SIM905 - two hundred quotes would hide the words
)
