//! What is done with each image: the search, and what follows it.

use std::time::Instant;

use blindspot::certify::ExampleCertifier;
use blindspot::classify::outputs;
use blindspot::examples::{Extra, Layout};
use blindspot::inputs::InMemory;
use blindspot::model::Model;
use blindspot::run::communicator::{Communicator, Task, distribute};
use blindspot::run::monitor::Monitor;
use blindspot::search::{Block, EightBit, Example, SearchOptions, eight_bit, search_in_blocks};
use blindspot_data::ImageSet;

use crate::interrupt::Finishing;
use crate::onnxruntime::Onnxruntime;
use crate::progress::Progress;

/// Parts of a block that are finished one after the other, where there is more to do than search.
const BLOCK_PARTS: usize = 4;

/// What is done with each image.
pub(super) struct Work<'a> {
    pub(super) model: &'a Model,
    pub(super) images: &'a ImageSet,
    pub(super) labels: &'a [usize],
    pub(super) options: &'a SearchOptions,
    pub(super) layout: &'a Layout,
    pub(super) certifier: Option<ExampleCertifier<'a>>,
    /// Who is asked about the final images.
    pub(super) other: Option<Onnxruntime>,
    pub(super) begun: Instant,
}

impl Work<'_> {
    /// Searches from the `remaining` images, which rank 0 knows, together with all other ranks;
    /// `take` gets what is found, some rows at a time. Gives whether all is done.
    pub(super) fn share(
        &self,
        ranks: &dyn Communicator,
        remaining: &[usize],
        take: impl FnMut(Vec<u8>) -> anyhow::Result<usize> + Send,
        progress: &Progress,
    ) -> anyhow::Result<bool> {
        let work = |task: Task<'_, anyhow::Error>| self.search(task);
        distribute(ranks, remaining, "search", progress, work, take)
    }

    fn search(&self, task: Task<'_, anyhow::Error>) -> anyhow::Result<()> {
        let Task {
            positions,
            monitor,
            emit,
        } = task;
        // Of no images at all the search says so.
        if positions.is_empty() && !self.images.is_empty() {
            return Ok(());
        }
        let passed = self.begun.elapsed().as_secs_f64();
        let left = self
            .options
            .time_limit
            .map(|limit| (limit - passed).max(0.0));
        let options = self.options.clone().time_limit(left);
        let keep = |block| emit(self.rows(block)?);
        search_in_blocks(
            self.model,
            self.images,
            self.labels,
            positions,
            &options,
            monitor,
            keep,
        )
    }

    /// The rows of a block, as [`Part::keep_rows`] takes them. Where the work is interrupted, of as
    /// many of its examples as can be finished at once.
    fn rows(&self, block: Block) -> anyhow::Result<Vec<u8>> {
        let Block {
            mut examples,
            originals,
        } = block;
        let more = self.layout.eight_bit || self.certifier.is_some() || self.other.is_some();
        let parts = if more { BLOCK_PARTS } else { 1 };
        let images = examples.len().div_ceil(parts).max(1);
        let mut rows = Vec::new();
        let each = examples.chunks_mut(images);
        for (examples, originals) in each.zip(originals.chunks(images * self.images.image_len())) {
            match self.rows_of(examples, originals)? {
                Some(part) => rows.extend(part),
                None => break,
            }
        }
        Ok(rows)
    }

    /// The rows of some examples; `None` where the work was interrupted before they were finished.
    fn rows_of(
        &self,
        examples: &mut [Example],
        originals: &[f32],
    ) -> anyhow::Result<Option<Vec<u8>>> {
        let length = self.images.image_len();
        let mut eight_bit = if self.layout.eight_bit {
            let (model, options) = (self.model, self.options);
            Some(eight_bit(model, options, examples, originals, &Finishing)?)
        } else {
            None
        };
        if let Some(other) = &self.other {
            self.ask(other, (examples, originals), eight_bit.as_deref_mut())?;
        }
        let certificates = match &self.certifier {
            Some(certifier) => Some(certifier.certify(examples, originals, &Finishing)?),
            None => None,
        };
        if Finishing.cancelled() {
            return Ok(None);
        }
        let before = self.outputs(originals.to_vec())?;
        let changed = examples.iter().flat_map(|example| &example.adversarial);
        let after = self.outputs(changed.copied().collect())?;
        let count = self.layout.outputs;
        let mut rows = Vec::new();
        let originals = originals.chunks_exact(length);
        for (i, (example, original)) in examples.iter().zip(originals).enumerate() {
            let extra = Extra {
                eight_bit: eight_bit.as_ref().map(|images| &images[i]),
                certificate: certificates.as_ref().map(|found| found[i]),
                outputs: [&before, &after].map(|outputs| &outputs[i * count..][..count]),
            };
            rows.extend((example.position as u64).to_le_bytes());
            rows.extend(self.layout.content(example, original, extra));
        }
        Ok(Some(rows))
    }
}

impl Work<'_> {
    /// The model's outputs, as its users see them, for some images; none where the layout has none.
    fn outputs(&self, images: Vec<f32>) -> anyhow::Result<Vec<f32>> {
        if self.layout.outputs == 0 {
            return Ok(Vec::new());
        }
        let network = self.model.own_end().unwrap_or(self.model.network());
        let images = InMemory::new(images, self.images.image_len());
        Ok(outputs(network, &images)?.values().to_vec())
    }

    /// Asks another runtime about the final images; what it refutes is no success.
    fn ask(
        &self,
        other: &Onnxruntime,
        (examples, originals): (&mut [Example], &[f32]),
        eight_bit: Option<&mut [EightBit]>,
    ) -> anyhow::Result<()> {
        let before = match &self.options.goal {
            Some(_) => other.outputs(originals.chunks_exact(self.images.image_len()))?,
            None => Vec::new(),
        };
        let reached = |i: usize, example: &Example, outputs: &[f64]| match &self.options.goal {
            Some(goal) => goal.is_reached(&before[i], outputs, goal.threshold(self.model)),
            None => self.options.reached(example.label, example.target, outputs),
        };
        let asked = |example: &Example| example.success && !example.already_misclassified;
        if let Some(eight_bit) = eight_bit {
            let mut found: Vec<_> = eight_bit.iter_mut().zip(&*examples).enumerate().collect();
            found.retain(|(_, (eight, example))| eight.success && asked(example));
            let images = found.iter().map(|(_, (eight, _))| eight.values().collect());
            let images: Vec<Vec<f32>> = images.collect();
            let outputs = other.outputs(images.iter().map(Vec::as_slice))?;
            for ((i, (eight, example)), outputs) in found.into_iter().zip(outputs) {
                eight.success = reached(i, example, &outputs);
            }
        }
        let mut found: Vec<_> = examples.iter_mut().enumerate().collect();
        found.retain(|(_, example)| asked(example));
        let images = found.iter().map(|(_, example)| &example.adversarial[..]);
        let outputs = other.outputs(images)?;
        for ((i, example), outputs) in found.iter_mut().zip(outputs) {
            example.success = reached(*i, example, &outputs);
            example.refuted = !example.success;
        }
        Ok(())
    }
}
