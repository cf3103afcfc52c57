//! The numbers of each operator against onnxruntime.
