//! What tests need beyond Rust: a Python with NumPy, SciPy and onnxruntime under target/, or the reason why not.
