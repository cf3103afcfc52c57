//! Examples in a file, read back block by block: a file of any length is never held in memory.

use std::fs::File;
use std::io::BufReader;
use std::ops::Range;
use std::path::{Path, PathBuf};

use blindspot_data::numpy::{NpzArray, NpzReader, Order};
use blindspot_data::{ErrorKind, files};
use blindspot_model::classifier::ClassifierError;
use blindspot_model::inputs::InputError;
use blindspot_model::{Model, Outputs};

use super::source::{BLOCK_VALUES, ExampleBlock};
use crate::examples::Record;
use crate::goals::{GoalError, OutputGoal};

/// Bytes of a record at most.
const MAX_RECORD: u64 = 1 << 26;

/// Why a set of examples can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SavedError {
    /// The file can't be read, or is not a file of examples.
    #[error(
        "{}: {why}; give a file of examples, with the arrays label, original and \
         adversarial", path.display()
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with the file.
        why: String,
    },
    /// Examples and model have different sizes.
    #[error("{}: an image has {image} values, the model {model} takes {network}", path.display())]
    Size {
        /// The file of the examples.
        path: PathBuf,
        /// Number of values of an image.
        image: usize,
        /// The model's name.
        model: String,
        /// Number of values that the model takes.
        network: usize,
    },
    /// An example is of a class that a model doesn't have.
    #[error("{}: an image is of class {label}, the model {model} has {classes} classes", path.display())]
    Label {
        /// The file of the examples.
        path: PathBuf,
        /// The class.
        label: usize,
        /// The model's name.
        model: String,
        /// Number of classes of the model.
        classes: usize,
    },
    /// The goal that the examples are to reach can't be told.
    #[error("{}: its examples are of a goal for a model's outputs, {why}", path.display())]
    UnknownGoal {
        /// The file of the examples.
        path: PathBuf,
        /// Why, and what to do.
        why: String,
    },
    /// A model's outputs are not such as the examples' goal is for.
    #[error("{}: for the model {model}: {source}", path.display())]
    Goal {
        /// The file of the examples.
        path: PathBuf,
        /// The model's name.
        model: String,
        /// What does not fit.
        source: GoalError,
    },
    /// The original of an example can't be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// A model can't be evaluated.
    #[error("{model}: {source}")]
    Classifier {
        /// The model's name.
        model: String,
        /// What failed.
        source: ClassifierError,
    },
}

impl SavedError {
    /// [`ErrorKind::Model`] if a model can't be evaluated, else [`ErrorKind::Data`].
    pub fn kind(&self) -> ErrorKind {
        match self {
            SavedError::Classifier { source, .. } => source.kind(),
            _ => ErrorKind::Data,
        }
    }
}

/// A file of examples: its arrays label (i64, `[n]`), original and adversarial (f32, `[n, ...]`).
#[derive(Debug, Clone)]
pub struct SavedExamples {
    path: PathBuf,
    count: usize,
    length: usize,
    goal: Option<OutputGoal>,
}

impl SavedExamples {
    /// Opens a file and checks its arrays' shapes; the values are read later. Of examples of a goal for a model's
    /// outputs the record beside the file, as `attack` wrote it, names the goal.
    ///
    /// # Errors
    /// [`SavedError::Unreadable`] if it is not a file of examples, [`SavedError::UnknownGoal`] if they are of a goal that
    /// can't be told.
    pub fn open(path: &Path) -> Result<SavedExamples, SavedError> {
        let mut archive = archive(path)?;
        let mut shape = |name: &str| -> Result<Vec<u64>, SavedError> {
            match archive.by_name(name) {
                Ok(Some(array)) if array.order() == Order::C => Ok(array.shape().to_vec()),
                Ok(Some(_)) => Err(unreadable(
                    path,
                    format!("its array `{name}` is column by column"),
                )),
                Ok(None) => Err(unreadable(path, format!("it has no array `{name}`"))),
                Err(error) => Err(unreadable(path, error.to_string())),
            }
        };
        let is_of_goal = shape("outputs_before").is_ok();
        let (labels, originals) = (shape("label")?, shape("original")?);
        let adversarial = shape("adversarial")?;
        let image = originals.get(1..).unwrap_or_default();
        let length = image
            .iter()
            .try_fold(1u64, |length, &axis| length.checked_mul(axis));
        let fits = originals == adversarial && labels.len() == 1 && labels[0] == originals[0];
        let length = length.and_then(|length| usize::try_from(length).ok());
        match length {
            Some(length)
                if fits && (1..=blindspot_net::MAX_VALUES).contains(&length) && labels[0] > 0 =>
            {
                Ok(SavedExamples {
                    path: path.to_owned(),
                    count: usize::try_from(labels[0]).unwrap_or(usize::MAX),
                    length,
                    goal: is_of_goal.then(|| goal_of(path)).transpose()?,
                })
            }
            _ => Err(unreadable(
                path,
                format!("its arrays have shapes {labels:?}, {originals:?} and {adversarial:?}"),
            )),
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The goal for a model's outputs that they are of, if they are of one.
    pub fn goal(&self) -> Option<&OutputGoal> {
        self.goal.as_ref()
    }

    /// Number of examples; never 0.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Number of values of an image.
    pub fn image_len(&self) -> usize {
        self.length
    }

    /// Passes the examples at positions `range` to `take`, block by block, until it returns false.
    pub(super) fn read_blocks(
        &self,
        range: Range<usize>,
        take: &mut dyn FnMut(&ExampleBlock) -> bool,
    ) -> Result<(), SavedError> {
        // Each array is read by a reader of its own, side by side.
        let (mut one, mut two, mut three) = (
            archive(&self.path)?,
            archive(&self.path)?,
            archive(&self.path)?,
        );
        let missing = |_| unreadable(&self.path, "its arrays are not f32 and i64".into());
        let mut labels = array(&mut one, "label", &self.path)?
            .data::<i64>()
            .map_err(missing)?;
        let mut originals = array(&mut two, "original", &self.path)?
            .data::<f32>()
            .map_err(missing)?;
        let mut adversarial = array(&mut three, "adversarial", &self.path)?
            .data::<f32>()
            .map_err(missing)?;
        if range.start > 0 {
            // An error shows when the next value is read.
            let _ = labels.nth(range.start - 1);
            let _ = originals.nth(range.start * self.length - 1);
            let _ = adversarial.nth(range.start * self.length - 1);
        }
        let mut block = ExampleBlock {
            first: range.start,
            ..ExampleBlock::default()
        };
        while block.first < range.end {
            let count = (BLOCK_VALUES / self.length)
                .max(1)
                .min(range.end - block.first);
            let broken = |error: std::io::Error| unreadable(&self.path, error.to_string());
            block.labels.clear();
            block.noise_streams = (block.first..block.first + count).collect();
            for label in labels.by_ref().take(count) {
                let label = label.map_err(broken)?;
                let label = usize::try_from(label)
                    .map_err(|_| unreadable(&self.path, format!("it has a label {label}")))?;
                block.labels.push(label);
            }
            for (values, place) in [
                (&mut originals, &mut block.originals),
                (&mut adversarial, &mut block.adversarial),
            ] {
                place.clear();
                for value in values.by_ref().take(count * self.length) {
                    place.push(value.map_err(broken)?);
                }
                if place.len() < count * self.length || block.labels.len() < count {
                    return Err(unreadable(&self.path, "it ends early".into()));
                }
                if place.iter().any(|value| !value.is_finite()) {
                    let why = "it holds NaN or an infinity";
                    return Err(unreadable(&self.path, why.into()));
                }
            }
            if !take(&block) {
                return Ok(());
            }
            block.first += count;
        }
        Ok(())
    }
}

/// The goal that the record beside a file of examples names, complete.
fn goal_of(path: &Path) -> Result<OutputGoal, SavedError> {
    let unknown = |why: String| SavedError::UnknownGoal {
        path: path.to_owned(),
        why,
    };
    let record = path.with_extension("json");
    let content = files::read_limited(&record, MAX_RECORD);
    let content =
        content.map_err(|error| unknown(format!("which the record beside it names: {error}")))?;
    let found: Record = serde_json::from_slice(&content)
        .map_err(|error| unknown(format!("and {} is no record: {error}", record.display())))?;
    let goal = found.origin.options.goal.ok_or_else(|| {
        let record = record.display();
        unknown(format!("and {record} names none: is it of another run?"))
    })?;
    let Some(file) = goal.formula().map(str::to_owned) else {
        return Ok(goal);
    };
    let opened = Model::options().outputs(Outputs::Numbers).open(&file);
    let formula =
        opened.map_err(|error| unknown(format!("whose network can't be read: {error}")))?;
    let known = found.origin.ranges_sha256.get("margin");
    if known.is_some_and(|known| known != formula.sha256()) {
        return Err(unknown(format!("and {file} has changed since then")));
    }
    Ok(goal.with_formula(formula.network().clone()))
}

fn unreadable(path: &Path, why: String) -> SavedError {
    SavedError::Unreadable {
        path: path.to_owned(),
        why,
    }
}

type Archive = NpzReader<BufReader<File>>;

fn archive(path: &Path) -> Result<Archive, SavedError> {
    let opened = File::open(path).and_then(|file| NpzReader::new(BufReader::new(file)));
    opened.map_err(|error| unreadable(path, error.to_string()))
}

fn array<'a>(
    archive: &'a mut Archive,
    name: &str,
    path: &Path,
) -> Result<NpzArray<'a, BufReader<File>>, SavedError> {
    match archive.by_name(name) {
        Ok(Some(array)) => Ok(array),
        Ok(None) => Err(unreadable(path, format!("it has no array `{name}`"))),
        Err(error) => Err(unreadable(path, error.to_string())),
    }
}
