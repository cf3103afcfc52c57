//! The ONNX reader on any bytes: an error or a network, which is then written and read again; and what
//! is said of the file.
#![no_main]

use blindspot_net::onnx;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = onnx::inspect(bytes, &onnx::ReadOptions::default());
    if let Ok(model) = onnx::read(bytes) {
        let written = onnx::write(&model.network, &model.metadata);
        assert!(onnx::read(&written).is_ok());
    }
});
