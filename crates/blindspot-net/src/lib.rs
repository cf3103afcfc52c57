//! Networks as graphs of operators, their gradients, and ONNX.
