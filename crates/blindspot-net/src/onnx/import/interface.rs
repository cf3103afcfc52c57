//! The input that is the image, and the output that has the classes.

use super::builder::Batch;
use super::constant::{is_real, is_whole, type_name};
use super::graph::{Call, Producers};
use super::{MAX_AXES, ReadOptions};
use crate::onnx::OnnxError;
use crate::onnx::proto::{Dimension, INT8, ValueInfoProto};

/// The type of a value's numbers, 0 where the file does not say it; `None` if it is no tensor (a
/// sequence, a map).
fn element_type(info: &ValueInfoProto) -> Option<i32> {
    let Some(r#type) = &info.r#type else {
        return Some(0);
    };
    r#type.tensor_type.as_ref().map(|tensor| tensor.elem_type)
}

/// The sizes of a value's axes, as far as the file says them.
fn sizes(info: &ValueInfoProto) -> Option<Vec<Option<&Dimension>>> {
    let tensor = info.r#type.as_ref()?.tensor_type.as_ref()?;
    let dims = tensor.shape.as_ref()?.dim.iter();
    Some(dims.map(|dim| dim.value.as_ref()).collect())
}

/// The type of a value's numbers in words.
pub(super) fn kind_text(info: &ValueInfoProto) -> String {
    element_type(info).map_or_else(|| "no tensor".to_owned(), type_name)
}

/// A value in messages: name, type and shape.
fn display(info: &ValueInfoProto) -> String {
    let kind = kind_text(info);
    match shape_text(info) {
        Some(shape) => format!("`{}` ({kind} [{}])", info.name, shape.join(", ")),
        None => format!("`{}` ({kind})", info.name),
    }
}

/// The sizes of a value's axes in words: numbers, names, or `?`.
pub(super) fn shape_text(info: &ValueInfoProto) -> Option<Vec<String>> {
    let sizes = sizes(info)?.into_iter().map(|size| match size {
        Some(Dimension::Size(size)) => size.to_string(),
        Some(Dimension::Name(name)) if !name.is_empty() => name.clone(),
        _ => "?".to_owned(),
    });
    Some(sizes.collect())
}

fn list<'p>(values: impl IntoIterator<Item = &'p ValueInfoProto>) -> String {
    let values: Vec<String> = values.into_iter().map(display).collect();
    values.join(", ")
}

/// The value that has the numbers of the classes, and what has to be said about the choice.
pub(super) fn output(
    outputs: &[ValueInfoProto],
    calls: &[Call],
    producers: &Producers<'_>,
    wanted: Option<&str>,
) -> Result<(String, Option<String>), OnnxError> {
    if let Some(wanted) = wanted {
        if producers.position(wanted)?.is_none() {
            return Err(OnnxError::Interface(format!(
                "the model has no output `{wanted}`; its outputs are {}",
                list(outputs)
            )));
        }
        let behind = before_label(wanted, calls, producers)?;
        return Ok((behind.unwrap_or_else(|| wanted.to_owned()), None));
    }
    // Real numbers, best of all a row of them for each image.
    let real = |info: &&ValueInfoProto| element_type(info).is_some_and(|t| t == 0 || is_real(t));
    let real: Vec<&ValueInfoProto> = outputs.iter().filter(real).collect();
    let row = |info: &&&ValueInfoProto| sizes(info).is_none_or(|sizes| sizes.len() == 2);
    if let Some(&chosen) = real.iter().find(row).or(real.first()) {
        let note = (outputs.len() > 1).then(|| {
            format!(
                "of the model's outputs {}, `{}` is taken for the classes",
                list(outputs),
                chosen.name
            )
        });
        return Ok((chosen.name.clone(), note));
    }
    // Probabilities in a map, or only the label: what they are made of. Maps first.
    let maps = outputs.iter().filter(|info| element_type(info).is_none());
    let labels = outputs.iter().filter(|info| element_type(info).is_some());
    for info in maps.chain(labels) {
        if let Some(behind) = before_label(&info.name, calls, producers)? {
            let note = format!(
                "the output {} has no gradient; `{behind}`, which it is made of, is taken for the \
                 classes",
                display(info)
            );
            return Ok((behind, Some(note)));
        }
    }
    Err(OnnxError::Interface(match outputs {
        [] => "the model has no output".to_owned(),
        _ => format!(
            "none of the model's outputs is a tensor of real numbers, one for each class: {}",
            list(outputs)
        ),
    }))
}

/// What a map of probabilities, or a label, is made of: the numbers of the classes before ZipMap or
/// ArgMax. `None` where a value is neither.
fn before_label(
    name: &str,
    calls: &[Call],
    producers: &Producers<'_>,
) -> Result<Option<String>, OnnxError> {
    let mut name = name;
    // No longer than the model.
    for _ in 0..=calls.len() {
        let Some(position) = producers.position(name)? else {
            return Ok(None);
        };
        let node = &calls[position].node;
        let input = |position: usize| node.input.get(position).map(String::as_str);
        let next = match (node.domain.as_str(), node.op_type.as_str()) {
            ("ai.onnx.ml", "ZipMap") | ("" | "ai.onnx", "ArgMax") => {
                return Ok(input(0).map(str::to_owned));
            }
            ("ai.onnx.ml", "ArrayFeatureExtractor") => input(1),
            ("" | "ai.onnx", "Cast" | "Identity" | "Reshape" | "Squeeze" | "Flatten") => input(0),
            ("" | "ai.onnx", "Gather") => input(1),
            _ => return Ok(None),
        };
        match next {
            Some(next) => name = next,
            None => return Ok(None),
        }
    }
    Ok(None)
}

/// The input that is the image, of those that the output needs and for which no numbers are given.
pub(super) fn image<'p>(
    inputs: &[&'p ValueInfoProto],
    needed: impl Fn(&str) -> bool,
    options: &ReadOptions,
    output: &str,
) -> Result<&'p ValueInfoProto, OnnxError> {
    let given = |info: &&ValueInfoProto| options.constants.contains_key(&info.name);
    if let Some(name) = options.constants.keys().find(|&name| {
        let mut inputs = inputs.iter();
        !inputs.any(|info| info.name == *name)
    }) {
        return Err(OnnxError::Interface(format!(
            "numbers are given for `{name}`, but the model's inputs are {}",
            list(inputs.iter().copied())
        )));
    }
    let used: Vec<&ValueInfoProto> = inputs
        .iter()
        .copied()
        .filter(|info| needed(&info.name) && !given(info))
        .collect();
    let found = match &options.input {
        Some(name) => inputs.iter().copied().find(|info| info.name == *name),
        None => match used[..] {
            [one] => Some(one),
            _ => None,
        },
    };
    match (found, &options.input) {
        (Some(image), _) if !needed(&image.name) => Err(OnnxError::Interface(format!(
            "the output `{output}` does not depend on the input `{}`",
            image.name
        ))),
        (Some(image), _) => match used.iter().find(|info| info.name != image.name) {
            Some(other) => Err(OnnxError::Interface(format!(
                "beside `{}` the model takes {}; give the numbers of all inputs but one",
                image.name,
                display(other)
            ))),
            None => Ok(image),
        },
        (None, Some(name)) => Err(OnnxError::Interface(format!(
            "the model has no input `{name}`; its inputs are {}",
            list(inputs.iter().copied())
        ))),
        (None, None) if used.is_empty() => Err(OnnxError::Interface(match inputs {
            [] => "the model has no input".to_owned(),
            _ => format!(
                "the output `{output}` depends on none of the inputs {}",
                list(inputs.iter().copied())
            ),
        })),
        (None, None) => Err(OnnxError::Interface(format!(
            "the model has {} inputs, {}; say which one is the image, and give the numbers of the \
             others",
            used.len(),
            list(used.iter().copied())
        ))),
    }
}

/// One way of reading the input's axes.
pub(super) struct Reading {
    /// The shape of one image.
    pub(super) shape: Vec<usize>,
    /// Whether the file has the batch's axis before it.
    pub(super) batched: bool,
    pub(super) batch: Batch,
    /// What has to be said if the model is read so.
    pub(super) note: Option<&'static str>,
}

/// The ways in which the input's axes can be read, the likeliest first.
///
/// Where the batch can't be followed through the graph, each image is a batch of its own: its axis
/// is an axis like any other then. A batch of a fixed size can't be read so, but its axis may be an
/// axis of the image.
pub(super) fn readings(
    info: &ValueInfoProto,
    outputs: &[ValueInfoProto],
    options: &ReadOptions,
) -> Result<Vec<Reading>, OnnxError> {
    let name = info.name.as_str();
    let wrong = |why: String| OnnxError::Interface(format!("the input `{name}` {why}"));
    match element_type(info) {
        Some(kind) if kind == 0 || is_real(kind) || is_whole(kind) => {}
        Some(kind) => {
            return Err(wrong(format!(
                "holds numbers of the type {}, which an image can't have",
                type_name(kind)
            )));
        }
        None => return Err(wrong("is no tensor".into())),
    }
    let declared = sizes(info);
    if declared
        .as_ref()
        .is_some_and(|sizes| sizes.len() > MAX_AXES)
    {
        return Err(wrong(format!("has more than {MAX_AXES} axes")));
    }
    let given = options.image_shape.as_deref();
    let Some(declared) = declared else {
        return match given {
            Some(shape) => Ok(any_batch(shape.to_vec())),
            None => Err(OnnxError::OpenShape {
                input: name.to_owned(),
                shape: vec!["?".into()],
            }),
        };
    };
    let rank = declared.len();
    if rank == 0 {
        return Err(wrong("is one number, and no image".into()));
    }
    // The sizes of the axes from `first` on, with what is given for those that are open.
    let image = |first: usize| -> Result<Vec<usize>, OnnxError> {
        let given = given.filter(|given| given.len() == rank - first);
        let sizes = declared[first..].iter().enumerate();
        let sizes = sizes.map(|(axis, size)| match (size, given) {
            (Some(Dimension::Size(size @ 1..)), Some(given)) if given[axis] as i64 != *size => {
                Err(wrong(format!(
                    "has {size} for axis {} of the image, not {}",
                    axis, given[axis]
                )))
            }
            (Some(Dimension::Size(size @ 1..)), _) => Ok(*size as usize),
            (_, Some(given)) => Ok(given[axis]),
            _ => Err(OnnxError::OpenShape {
                input: name.to_owned(),
                shape: shape_text(info).unwrap_or_default(),
            }),
        });
        sizes.collect()
    };
    if let Some(given) = given
        && given.len() != rank
        && given.len() + 1 != rank
    {
        return Err(wrong(format!(
            "has the shape [{}], batch included; an image has {} sizes, not {}",
            shape_text(info).unwrap_or_default().join(", "),
            rank - 1,
            given.len()
        )));
    }
    let unbatched = |note| -> Result<Reading, OnnxError> {
        Ok(Reading {
            shape: image(0)?,
            batched: false,
            batch: Batch::One,
            note,
        })
    };
    if options.unbatched || rank == 1 || given.is_some_and(|given| given.len() == rank) {
        return Ok(vec![unbatched(None)?]);
    }
    let shape = image(1)?;
    let batched = |batch: Batch| Reading {
        shape: shape.clone(),
        batched: true,
        batch,
        note: None,
    };
    Ok(match declared[0] {
        Some(Dimension::Size(1)) => vec![batched(Batch::One)],
        Some(&Dimension::Size(size @ 2..)) => {
            let mut readings = vec![batched(Batch::Fixed(size))];
            let apart = outputs.iter().filter_map(sizes).any(|sizes| {
                matches!(sizes.first(), Some(Some(Dimension::Size(first))) if *first == size)
            });
            if !apart {
                readings.push(unbatched(Some(NO_BATCH))?);
            }
            readings
        }
        _ => any_batch(shape),
    })
}

const NO_BATCH: &str = "the model takes one image at a time: its input has no axis for a batch";

const BATCH_OF_ONE: &str = "the batch can't be followed through the model; it is read for a batch of \
                            one image, so that each image is evaluated as if it were alone";

/// A batch of any size, or else of one image.
fn any_batch(shape: Vec<usize>) -> Vec<Reading> {
    let reading = |shape, batch, note| Reading {
        shape,
        batched: true,
        batch,
        note,
    };
    vec![
        reading(shape.clone(), Batch::Any, None),
        reading(shape, Batch::One, Some(BATCH_OF_ONE)),
    ]
}

/// The least and the largest number of an image of whole numbers; `None` if its numbers are real.
pub(super) fn whole_range(info: &ValueInfoProto) -> Option<[f64; 2]> {
    match element_type(info)? {
        kind if !is_whole(kind) => None,
        INT8 => Some([-128.0, 127.0]),
        // Wider types than bytes hold what images hold.
        _ => Some([0.0, 255.0]),
    }
}

/// What has to be said about an image of whole numbers.
pub(super) fn whole_note(info: &ValueInfoProto) -> Option<String> {
    let [low, high] = whole_range(info)?;
    Some(format!(
        "the input {} takes whole numbers, from {low} to {high}",
        display(info)
    ))
}

/// The type of an input's numbers.
pub(super) fn type_of(info: &ValueInfoProto) -> i32 {
    element_type(info).unwrap_or(0)
}
