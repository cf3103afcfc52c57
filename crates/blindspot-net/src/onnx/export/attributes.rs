//! Attributes and constants as ONNX writes them.

use crate::onnx::proto::*;
use crate::ops::Window;

/// A constant of real numbers.
pub(super) fn tensor(name: &str, dims: Vec<i64>, numbers: &[f32]) -> TensorProto {
    TensorProto {
        dims,
        data_type: FLOAT,
        name: name.to_owned(),
        raw_data: numbers
            .iter()
            .flat_map(|number| number.to_le_bytes())
            .collect(),
        ..TensorProto::default()
    }
}

/// Where windows stand.
pub(super) fn windows(window: &Window) -> Vec<AttributeProto> {
    let sizes = |sizes: &[usize]| sizes.iter().map(|&size| size as i64).collect();
    vec![
        integers("kernel_shape", sizes(&window.kernel)),
        integers("strides", sizes(&window.strides)),
        integers("dilations", sizes(&window.dilations)),
        integers("pads", sizes(&[&window.before[..], &window.after].concat())),
    ]
}

pub(super) fn integer(name: &str, i: i64) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        i,
        r#type: ATTRIBUTE_INT,
        ..AttributeProto::default()
    }
}

pub(super) fn integers(name: &str, ints: Vec<i64>) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        ints,
        r#type: ATTRIBUTE_INTS,
        ..AttributeProto::default()
    }
}

pub(super) fn float(name: &str, f: f64) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        f: f as f32,
        r#type: ATTRIBUTE_FLOAT,
        ..AttributeProto::default()
    }
}

pub(super) fn string(name: &str, s: &str) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        s: s.as_bytes().to_vec(),
        r#type: ATTRIBUTE_STRING,
        ..AttributeProto::default()
    }
}
