//! Where examples come from: a file of any length, or memory.

use std::ops::Range;
use std::path::PathBuf;

use blindspot_model::inputs::{Inputs, read_batch};

use super::saved::{SavedError, SavedExamples};
use crate::goals::OutputGoal;
use crate::search::Example;

/// Values of a block's images, about: 16 MiB of `f32`.
pub(super) const BLOCK_VALUES: usize = 1 << 22;

/// Some examples of a source, with the images that they were made from.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ExampleBlock {
    /// The first example's position in the source.
    pub first: usize,
    /// The true class of each example.
    pub labels: Vec<usize>,
    /// A number for each example, by which its noise is drawn: its position in the file, or of its image
    /// in the set that it was made from.
    pub noise_streams: Vec<usize>,
    /// The original images, one after the other.
    pub originals: Vec<f32>,
    /// The adversarial images, one after the other.
    pub adversarial: Vec<f32>,
}

/// A set of examples that is read block by block.
pub trait ExampleSource: Sync {
    /// Number of examples.
    fn count(&self) -> usize;

    /// Number of values of an image.
    fn image_len(&self) -> usize;

    /// The file that holds the examples, or a description, for error messages.
    fn path(&self) -> PathBuf;

    /// The goal for a model's outputs that the examples are to reach: then a network is judged by whether its own
    /// outputs reach it from those that it gives for the original, and labels don't count. None of examples that are
    /// to be misclassified.
    fn goal(&self) -> Option<&OutputGoal> {
        None
    }

    /// Reads the examples at positions `range` in order and passes them to `take` block by block, until
    /// it returns false.
    ///
    /// # Errors
    /// [`SavedError`] if the examples can't be read.
    fn blocks(
        &self,
        range: Range<usize>,
        take: &mut dyn FnMut(&ExampleBlock) -> bool,
    ) -> Result<(), SavedError>;
}

impl<S: ExampleSource + ?Sized> ExampleSource for Box<S> {
    fn count(&self) -> usize {
        (**self).count()
    }

    fn image_len(&self) -> usize {
        (**self).image_len()
    }

    fn path(&self) -> PathBuf {
        (**self).path()
    }

    fn goal(&self) -> Option<&OutputGoal> {
        (**self).goal()
    }

    fn blocks(
        &self,
        range: Range<usize>,
        take: &mut dyn FnMut(&ExampleBlock) -> bool,
    ) -> Result<(), SavedError> {
        (**self).blocks(range, take)
    }
}

impl ExampleSource for SavedExamples {
    fn count(&self) -> usize {
        SavedExamples::count(self)
    }

    fn image_len(&self) -> usize {
        SavedExamples::image_len(self)
    }

    fn path(&self) -> PathBuf {
        SavedExamples::path(self).to_owned()
    }

    fn goal(&self) -> Option<&OutputGoal> {
        SavedExamples::goal(self)
    }

    fn blocks(
        &self,
        range: Range<usize>,
        take: &mut dyn FnMut(&ExampleBlock) -> bool,
    ) -> Result<(), SavedError> {
        self.read_blocks(range, take)
    }
}

/// Examples in memory, with the set that their originals are read from.
#[derive(Clone, Copy)]
pub struct MemoryExamples<'a> {
    examples: &'a [Example],
    images: &'a dyn Inputs,
    goal: Option<&'a OutputGoal>,
}

impl<'a> MemoryExamples<'a> {
    /// Examples that a search found for `images`.
    pub fn new(examples: &'a [Example], images: &'a dyn Inputs) -> MemoryExamples<'a> {
        MemoryExamples {
            examples,
            images,
            goal: None,
        }
    }

    /// The goal that the search was for, complete: with its template or its formula, if it has one.
    #[must_use]
    pub fn of_goal(self, goal: &'a OutputGoal) -> MemoryExamples<'a> {
        let goal = Some(goal);
        MemoryExamples { goal, ..self }
    }
}

impl ExampleSource for MemoryExamples<'_> {
    fn count(&self) -> usize {
        self.examples.len()
    }

    fn image_len(&self) -> usize {
        self.images.input_len()
    }

    fn path(&self) -> PathBuf {
        PathBuf::from("the examples in memory")
    }

    fn goal(&self) -> Option<&OutputGoal> {
        self.goal
    }

    fn blocks(
        &self,
        range: Range<usize>,
        take: &mut dyn FnMut(&ExampleBlock) -> bool,
    ) -> Result<(), SavedError> {
        let length = self.image_len();
        let mut first = range.start;
        for examples in self.examples[range].chunks((BLOCK_VALUES / length).max(1)) {
            let positions = || examples.iter().map(|example| example.position);
            let mut originals = vec![0.0; examples.len() * length];
            read_batch(self.images, positions(), &mut originals)?;
            let adversarial = examples.iter().flat_map(|example| &example.adversarial);
            let block = ExampleBlock {
                first,
                labels: examples.iter().map(|example| example.label).collect(),
                noise_streams: positions().collect(),
                originals,
                adversarial: adversarial.copied().collect(),
            };
            if !take(&block) {
                return Ok(());
            }
            first += examples.len();
        }
        Ok(())
    }
}
