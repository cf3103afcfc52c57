//! Files in which people have what a network wants: Hugging Face's `preprocessor_config.json`, and
//! timm's `config.json`.

use std::path::Path;

use blindspot_data::files::read_limited;
use blindspot_data::{Fit, Interpolation, Resize};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{ChannelOrder, Layout, Preprocess, PreprocessError};
use crate::ModelError;

/// No file of preprocessing is read further.
const MAX_BYTES: u64 = 1 << 20;

/// What a file says of a network's input.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Described {
    /// What becomes part of the network.
    pub preprocess: Preprocess,
    /// How image files become images of its size; `None` where the file does not say it.
    pub fit: Option<Fit>,
}

impl Described {
    /// Reads a file of at most 1 MiB, as [`read`] its text.
    ///
    /// # Errors
    /// [`ModelError::File`] if it can't be read, [`ModelError::Preprocess`] as of [`read`].
    pub fn open(path: &Path) -> Result<Described, ModelError> {
        let bytes = read_limited(path, MAX_BYTES)?;
        let described = read(&String::from_utf8_lossy(&bytes));
        described.map_err(|source| ModelError::Preprocess {
            name: path.display().to_string(),
            source,
        })
    }

    /// The description with what was said besides in the place of what it says.
    #[must_use]
    pub fn with(self, said: Said) -> Described {
        let given = |numbers: Vec<f64>, described| match numbers[..] {
            [] => described,
            _ => numbers,
        };
        let Described { preprocess, fit } = self;
        Described {
            preprocess: Preprocess {
                range: said.range.unwrap_or(preprocess.range),
                mean: given(said.mean, preprocess.mean),
                std: given(said.std, preprocess.std),
                channel_order: said.channel_order.unwrap_or(preprocess.channel_order),
                layout: said.layout.unwrap_or(preprocess.layout),
            },
            fit,
        }
    }
}

/// What was said of a network's input value by value; nothing of what is missing.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Said {
    /// What an image's 0 and 1 become.
    pub range: Option<[f64; 2]>,
    /// What is taken away from each channel; empty if nothing was said of it.
    pub mean: Vec<f64>,
    /// What each channel is divided by; empty if nothing was said of it.
    pub std: Vec<f64>,
    /// The order of the channels.
    pub channel_order: Option<ChannelOrder>,
    /// The order of the axes.
    pub layout: Option<Layout>,
}

/// Reads the text of a `preprocessor_config.json` of Hugging Face's transformers, or of timm's
/// `config.json` (or what `timm.data.resolve_model_data_config` gives, as JSON).
///
/// # Errors
/// [`PreprocessError::Description`], which names what can't be read, or can't be done here.
pub fn read(text: &str) -> Result<Described, PreprocessError> {
    read_json(text).map_err(PreprocessError::Description)
}

fn read_json(text: &str) -> Result<Described, String> {
    let json: Value =
        serde_json::from_str(text).map_err(|error| format!("it is no JSON: {error}"))?;
    let object = Object::of(&json).ok_or("it has no object in braces")?;
    // Video and text processors have the images' one inside.
    let object = object.object("image_processor").unwrap_or(object);
    if let Some(timm) = object.object("pretrained_cfg") {
        return of_timm(&timm);
    }
    let has = |names: &[&str]| names.iter().any(|name| object.given(name).is_some());
    if has(&["crop_pct", "input_size"]) && has(&["mean", "std"]) {
        return of_timm(&object);
    }
    if has(&[
        "image_mean",
        "image_std",
        "do_normalize",
        "do_rescale",
        "do_resize",
    ]) {
        return of_hugging_face(&object);
    }
    Err(
        "it has neither `image_mean` and its like (Hugging Face's preprocessor_config.json) nor \
         `pretrained_cfg` (timm's config.json)"
            .into(),
    )
}

/// The entries of a JSON object.
struct Object<'j>(&'j Map<String, Value>);

impl<'j> Object<'j> {
    fn of(value: &'j Value) -> Option<Object<'j>> {
        value.as_object().map(Object)
    }

    /// An entry, unless it is null.
    fn given(&self, name: &str) -> Option<&'j Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    fn object(&self, name: &str) -> Option<Object<'j>> {
        self.given(name).and_then(Object::of)
    }

    fn truth(&self, name: &str, default: bool) -> Result<bool, String> {
        self.given(name).map_or(Ok(default), |value| {
            value
                .as_bool()
                .ok_or_else(|| wrong(name, value, "true or false"))
        })
    }

    fn number(&self, name: &str, default: f64) -> Result<f64, String> {
        self.given(name).map_or(Ok(default), |value| {
            value.as_f64().ok_or_else(|| wrong(name, value, "a number"))
        })
    }

    /// A number for all channels, or one for each; none where the entry is missing.
    fn numbers(&self, name: &str) -> Result<Vec<f64>, String> {
        let Some(value) = self.given(name) else {
            return Ok(Vec::new());
        };
        let many = value
            .as_array()
            .map(|values| values.iter().map(Value::as_f64).collect());
        let numbers = many.unwrap_or_else(|| value.as_f64().map(|number| vec![number]));
        numbers.ok_or_else(|| wrong(name, value, "numbers"))
    }

    fn size(&self, name: &str) -> Result<Option<usize>, String> {
        self.given(name)
            .map(|value| pixels(value).ok_or_else(|| wrong(name, value, "a number of pixels")))
            .transpose()
    }
}

fn pixels(value: &Value) -> Option<usize> {
    let size = value.as_u64()?;
    usize::try_from(size)
        .ok()
        .filter(|size| (1..=1 << 16).contains(size))
}

fn wrong(name: &str, value: &Value, wanted: &str) -> String {
    let value: String = value.to_string().chars().take(60).collect();
    format!("its `{name}` is {value}, not {wanted}")
}

/// A size as Hugging Face writes it: of a side, or of both.
enum Size {
    Shorter(usize),
    Both([usize; 2]),
}

/// `whole` says what a lone number means: that of both sides, or of the shorter one.
fn size_of(object: &Object<'_>, name: &str, whole: bool) -> Result<Option<Size>, String> {
    let Some(value) = object.given(name) else {
        return Ok(None);
    };
    if let Some(size) = pixels(value) {
        return Ok(Some(if whole {
            Size::Both([size; 2])
        } else {
            Size::Shorter(size)
        }));
    }
    let Some(sides) = Object::of(value) else {
        return Err(wrong(name, value, "a size"));
    };
    match (
        sides.size("height")?,
        sides.size("width")?,
        sides.size("shortest_edge")?,
    ) {
        (Some(height), Some(width), _) => Ok(Some(Size::Both([height, width]))),
        (None, None, Some(size)) if sides.given("longest_edge").is_none() => {
            Ok(Some(Size::Shorter(size)))
        }
        _ => Err(wrong(
            name,
            value,
            "height and width, or shortest_edge alone",
        )),
    }
}

/// How images are resized, and what is cut out of them in the same step.
fn resized(
    object: &Object<'_>,
    crops: bool,
) -> Result<(Option<Resize>, Option<[usize; 2]>), String> {
    let kind = ["image_processor_type", "feature_extractor_type"];
    let kind = kind.iter().find_map(|name| object.given(name)?.as_str());
    let kind = kind.unwrap_or_default();
    let share = object.number("crop_pct", 224.0 / 256.0)?;
    if !(share > 0.0 && share <= 1.0) {
        return Err(format!("its `crop_pct` is {share}, not in (0, 1]"));
    }
    let larger = |size: usize| (size as f64 / share) as usize;
    let has_share = object.given("crop_pct").is_some();
    if kind.starts_with("ConvN") || has_share && object.given("do_center_crop").is_none() {
        // Small images are cut out of larger ones, large ones squeezed.
        return Ok(match size_of(object, "size", false)? {
            Some(Size::Shorter(size)) if size < 384 => {
                (Some(Resize::Shorter(larger(size))), Some([size; 2]))
            }
            Some(Size::Shorter(size)) => (Some(Resize::Exactly([size; 2])), None),
            Some(Size::Both(sizes)) => (Some(Resize::Exactly(sizes)), None),
            None => (None, None),
        });
    }
    // What a lone number means differs from model to model; with a crop it is the shorter side.
    let resize = size_of(object, "size", !crops)?.map(|size| match size {
        Size::Both(sizes) => Resize::Exactly(sizes),
        Size::Shorter(size) if has_share => Resize::Shorter(larger(size)),
        Size::Shorter(size) if kind.starts_with("Levit") => Resize::Shorter(size * 256 / 224),
        Size::Shorter(size) => Resize::Shorter(size),
    });
    Ok((resize, None))
}

fn of_hugging_face(object: &Object<'_>) -> Result<Described, String> {
    for (name, what) in [
        ("do_pad", "it pads images"),
        ("do_thumbnail", "it makes thumbnails"),
    ] {
        if object.truth(name, false)? {
            return Err(format!(
                "{what} (`{name}`), which is not done here; pad them before"
            ));
        }
    }
    let crops = object.truth("do_center_crop", false)?;
    let mut fit = Fit::default();
    let mut known = false;
    if object.truth("do_resize", false)? {
        fit.interpolation = interpolation(object.given("resample"))?;
        (fit.resize, fit.crop) = resized(object, crops)?;
        known = fit.resize.is_some();
    }
    if crops {
        fit.crop = match size_of(object, "crop_size", true)? {
            Some(Size::Both(sizes)) => Some(sizes),
            Some(Size::Shorter(size)) => Some([size; 2]),
            None => None,
        };
        known |= fit.crop.is_some();
    }
    let scale = if object.truth("do_rescale", true)? {
        255.0 * object.number("rescale_factor", 1.0 / 255.0)?
    } else {
        255.0
    };
    let low = if object.truth("rescale_offset", false)? {
        -1.0
    } else {
        0.0
    };
    if !(scale > 0.0 && scale.is_finite()) {
        return Err("its `rescale_factor` is no positive number".into());
    }
    let mut preprocess = Preprocess {
        // 255 times a rounded 1 / 255 is meant to be 1.
        range: [
            low,
            low + if (scale - 1.0).abs() < 1e-9 {
                1.0
            } else {
                scale
            },
        ],
        ..Preprocess::default()
    };
    // What is missing is not done; but before there was a word for it, values were always scaled.
    if object.truth("do_normalize", false)? {
        preprocess.mean = object.numbers("image_mean")?;
        preprocess.std = object.numbers("image_std")?;
    }
    if object.truth("include_top", false)? {
        // EfficientNet's: divided by the deviation once more.
        let more = object.numbers("image_std")?;
        preprocess.std = match preprocess.std.len() {
            0 => more,
            _ => preprocess.std.iter().map(|std| std * std).collect(),
        };
    }
    if object.truth("do_flip_channel_order", false)? {
        preprocess.channel_order = ChannelOrder::Bgr;
    }
    Ok(Described {
        preprocess,
        fit: known.then_some(fit),
    })
}

/// Pillow's name or number of an interpolation; bilinear where it is missing.
fn interpolation(value: Option<&Value>) -> Result<Interpolation, String> {
    let Some(value) = value else {
        return Ok(Interpolation::Bilinear);
    };
    match (value.as_u64(), value.as_str()) {
        (Some(0), _) | (_, Some("nearest")) => Ok(Interpolation::Nearest),
        (Some(1), _) | (_, Some("lanczos")) => Ok(Interpolation::Lanczos),
        // timm draws one of two at random while it trains, and takes bilinear after that.
        (Some(2), _) | (_, Some("bilinear" | "random")) => Ok(Interpolation::Bilinear),
        (Some(3), _) | (_, Some("bicubic")) => Ok(Interpolation::Bicubic),
        _ => {
            let names = "nearest (0), lanczos (1), bilinear (2) or bicubic (3)";
            Err(wrong("interpolation", value, names))
        }
    }
}

fn of_timm(object: &Object<'_>) -> Result<Described, String> {
    let shape = object.numbers("input_size")?;
    let preprocess = Preprocess {
        mean: object.numbers("mean")?,
        std: object.numbers("std")?,
        ..Preprocess::default()
    };
    let [_, height, width] = shape[..] else {
        return match shape[..] {
            [] => Ok(Described {
                preprocess,
                fit: None,
            }),
            _ => Err("its `input_size` is not [channels, height, width]".into()),
        };
    };
    if [height, width]
        .iter()
        .any(|size| !(1.0..=65_536.0).contains(size))
    {
        return Err("its `input_size` is none of pixels".into());
    }
    let share = object.number("crop_pct", 0.875)?;
    if !(share > 0.0 && share <= 1.0) {
        return Err(format!("its `crop_pct` is {share}, not in (0, 1]"));
    }
    let larger = |size: f64| (size / share).floor() as usize;
    let resize = match object.given("crop_mode").and_then(Value::as_str) {
        None | Some("center") if height == width => Resize::Shorter(larger(height)),
        None | Some("center") => {
            return Err(
                "its `input_size` is no square, to which images are cut otherwise than \
                        here; resize and crop them yourself"
                    .into(),
            );
        }
        Some("squash") => Resize::Exactly([larger(height), larger(width)]),
        Some(other) => {
            return Err(format!(
                "its `crop_mode` is {other:?}; center and squash are done here"
            ));
        }
    };
    Ok(Described {
        preprocess,
        fit: Some(Fit {
            resize: Some(resize),
            crop: Some([height as usize, width as usize]),
            interpolation: interpolation(object.given("interpolation"))?,
            ..Fit::default()
        }),
    })
}

#[cfg(test)]
mod tests;
