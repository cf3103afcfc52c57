//! onnxruntime, asked for a second opinion: through a Python that has it.

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context;
use blindspot::model::{Answer, Interface, Model};
use serde_json::json;

use crate::errors::Usage;

/// Says where the Python is.
const PYTHON: &str = "BLINDSPOT_PYTHON";
const SCRIPT: &str = include_str!("onnxruntime.py");

/// A model's file in onnxruntime.
pub(crate) struct Onnxruntime {
    python: OsString,
    version: String,
    /// What the script is told.
    asked: String,
    answer: Answer,
    classes: usize,
    image_len: usize,
}

impl Onnxruntime {
    /// Finds a Python with onnxruntime for a model's file.
    pub(crate) fn new(path: &Path, interface: &Interface, model: &Model) -> Result<Self, Usage> {
        let named = std::env::var_os(PYTHON).filter(|name| !name.is_empty());
        let names = match named {
            Some(name) => vec![name],
            None => vec!["python3".into(), "python".into()],
        };
        let mut why = String::new();
        for python in names {
            match version(&python) {
                Ok(version) => {
                    let asked = json!({
                        "model": path,
                        "shape": model.input_shape(),
                        "preprocess": model.preprocess(),
                        "input": interface.input,
                        "output": interface.output,
                        "input_values": interface.input_values,
                    });
                    return Ok(Onnxruntime {
                        python,
                        version,
                        asked: asked.to_string(),
                        answer: model.answer(),
                        classes: model.output_len(),
                        image_len: model.input_len(),
                    });
                }
                Err(error) => why = format!("{}: {error}", python.to_string_lossy()),
            }
        }
        Err(Usage(format!(
            "onnxruntime can't be asked ({why}); install it by `pip install onnxruntime`, or let {PYTHON} \
             name a Python that has it"
        )))
    }

    /// The version that answers.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// The outputs for images that stand one after the other, a row of one number for each class.
    pub(crate) fn outputs<'i>(
        &self,
        images: impl Iterator<Item = &'i [f32]>,
    ) -> anyhow::Result<Vec<Vec<f64>>> {
        let mut bytes = Vec::new();
        images
            .flatten()
            .for_each(|value| bytes.extend(value.to_le_bytes()));
        let count = bytes.len() / size_of::<f32>() / self.image_len;
        if count == 0 {
            return Ok(Vec::new());
        }
        let mut child = Command::new(&self.python)
            .args(["-c", SCRIPT, &self.asked])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("can't start Python for onnxruntime")?;
        let pipe = child.stdin.take();
        let output = std::thread::scope(|scope| {
            // From a thread of its own: a child that answers while it reads would block both.
            scope.spawn(move || pipe.map(|mut pipe| pipe.write_all(&bytes)));
            child.wait_with_output()
        })?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let last = said.trim().lines().last().unwrap_or("it says nothing");
            anyhow::bail!("onnxruntime does not run the model: {last}");
        }
        let numbers = output.stdout.as_chunks::<8>().0;
        let numbers: Vec<f64> = numbers.iter().map(|&b| f64::from_le_bytes(b)).collect();
        let width = numbers.len() / count;
        let beside_zero =
            |threshold: f64| numbers.iter().map(|y| vec![0.0, y - threshold]).collect();
        match self.answer {
            Answer::OneLogit if width == 1 => Ok(beside_zero(0.0)),
            Answer::OneProbability if width == 1 => Ok(beside_zero(0.5)),
            _ if width == self.classes => {
                Ok(numbers.chunks_exact(width).map(<[_]>::to_vec).collect())
            }
            _ => anyhow::bail!(
                "onnxruntime gives {width} numbers for an image and not {}; name the output of the classes \
                 by --output",
                self.classes
            ),
        }
    }
}

/// The version of onnxruntime that a Python has.
fn version(python: &OsString) -> Result<String, String> {
    let script = "import numpy, onnxruntime; print(onnxruntime.__version__)";
    let output = Command::new(python).args(["-c", script]).output();
    let output = output.map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(said.trim().lines().last().unwrap_or("it fails").to_owned())
}
