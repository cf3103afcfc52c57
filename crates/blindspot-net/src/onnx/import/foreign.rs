//! Files of other formats that are given for ONNX models: told by their first bytes, with the line that exports them.

use crate::onnx::OnnxError;

/// How far into a file names are looked for.
const GLANCE: usize = 1 << 16;

const TORCH: &str =
    "export the module: torch.onnx.export(module.eval(), example_input, \"model.onnx\")";
const TORCH_WEIGHTS: &str = "it holds weights alone: load them into their module, and export that: \
                             torch.onnx.export(module.eval(), example_input, \"model.onnx\")";
const KERAS: &str =
    "export it: keras.models.load_model(FILE).export(\"model.onnx\", format=\"onnx\")";
const TFLITE: &str = "convert it: python3 -m tf2onnx.convert --tflite FILE --output model.onnx";
const GRAPH: &str = "convert it: python3 -m tf2onnx.convert --graphdef FILE --inputs NAME:0 --outputs NAME:0 \
                     --output model.onnx";
const PICKLE: &str = "load it in Python and export it: a PyTorch module by torch.onnx.export(module.eval(), \
                      example_input, \"model.onnx\"), a model of scikit-learn by skl2onnx.to_onnx(model, inputs)";

/// The error that a folder of a TensorFlow SavedModel, or a file out of it, is.
pub fn saved_model() -> OnnxError {
    OnnxError::Foreign {
        what: "a TensorFlow SavedModel",
        advice: "convert its folder: python3 -m tf2onnx.convert --saved-model DIR --output model.onnx",
    }
}

/// The error that bytes of a known other format are.
pub(super) fn foreign(bytes: &[u8]) -> Option<OnnxError> {
    let (what, advice) = match bytes {
        [b'P', b'K', 3, 4, ..] => zip(bytes)?,
        [0x89, b'H', b'D', b'F', ..] => ("an HDF5 file, as Keras writes them", KERAS),
        // Two bytes of a protocol, and the first instructions of any pickle.
        [0x80, 2..=5, ..] => ("a Python pickle", PICKLE),
        // In front stands where the table begins, which no protocol buffer could start with.
        [_, _, 0, 0, b'T', b'F', b'L', b'3', ..] => ("a TensorFlow Lite model", TFLITE),
        [_, _, _, 0, 0, 0, 0, 0, b'{', ..] => ("a safetensors file", TORCH_WEIGHTS),
        // An ONNX model has its version here, 3 or above.
        [8, 1, 18, ..]
            if names(
                bytes,
                &["VarHandleOp", "Placeholder", "StatefulPartitionedCall"],
            ) =>
        {
            return Some(saved_model());
        }
        [10, ..] if names(bytes, &["Placeholder", "Const"]) => ("a TensorFlow graph", GRAPH),
        [b'<', ..] => (
            "a page or XML",
            "was it downloaded from the address of a page in place of that of the file?",
        ),
        _ if bytes.starts_with(b"version https://git-lfs") => (
            "a pointer of Git LFS to a file that was not fetched",
            "fetch it: git lfs pull",
        ),
        _ => return None,
    };
    Some(OnnxError::Foreign { what, advice })
}

/// What a ZIP archive is, by the names of its first files.
fn zip(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    if names(bytes, &["data.pkl", "constants.pkl", "/version"]) {
        Some(("a PyTorch file", TORCH))
    } else if names(bytes, &["config.json", "model.weights.h5"]) {
        Some(("a Keras model", KERAS))
    } else if names(bytes, &[".npy"]) {
        let advice = "perhaps it is images, and the model is another file";
        Some(("an archive of NumPy arrays", advice))
    } else {
        Some(("a ZIP archive", "unpack it first"))
    }
}

/// Whether one of these words is near the start.
fn names(bytes: &[u8], words: &[&str]) -> bool {
    let start = &bytes[..bytes.len().min(GLANCE)];
    let has = |word: &&str| {
        start
            .windows(word.len())
            .any(|part| part == word.as_bytes())
    };
    words.iter().any(has)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_by_their_first_bytes() {
        let archive = |name: &str| [b"PK\x03\x04 ".as_slice(), name.as_bytes()].concat();
        let cases: [(Vec<u8>, &str); 12] = [
            (archive("model/data.pkl"), "a PyTorch file"),
            (archive("config.json"), "a Keras model"),
            (archive("x.npy"), "NumPy arrays"),
            (archive("readme"), "a ZIP archive"),
            (b"\x89HDF\r\n\x1a\n".to_vec(), "HDF5"),
            (b"\x80\x04\x95".to_vec(), "a Python pickle"),
            (b"\x1c\0\0\0TFL3".to_vec(), "TensorFlow Lite"),
            (b"\x40\0\0\0\0\0\0\0{\"a\":".to_vec(), "safetensors"),
            (b"\x08\x01\x12\x20..VarHandleOp".to_vec(), "SavedModel"),
            (
                b"\x0a\x20\x0a\x01x\x12\x0bPlaceholder".to_vec(),
                "a TensorFlow graph",
            ),
            (b"<!DOCTYPE html>".to_vec(), "a page"),
            (
                b"version https://git-lfs.github.com/spec/v1".to_vec(),
                "git lfs pull",
            ),
        ];
        for (bytes, said) in cases {
            let error = foreign(&bytes).expect(said).to_string();
            assert!(
                error.contains(said) && error.contains("not an ONNX model"),
                "{error}"
            );
        }
        for bytes in [&b""[..], b"P", b"\x08\x08\x12\x07pytorch", b"\x80", b"text"] {
            assert_eq!(foreign(bytes), None);
        }
    }
}
