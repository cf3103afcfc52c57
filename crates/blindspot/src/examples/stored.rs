//! An example as the content of a journal's entry.

use std::io;
use std::ops::Range;

use blindspot_run::journal::{Entries, JournalError, take};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Distance;
use crate::search::{EightBit, Example, Norm};

/// What an entry holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Layout {
    /// Axes of an input.
    pub shape: Vec<usize>,
    /// Whether the example as an 8-bit image is there, too.
    pub eight_bit: bool,
    /// Whether a certificate is there: a distance, in the norm of the search, below which no change of
    /// the label is possible.
    pub certificate: bool,
    /// How many outputs of the model are there, for the original and for the adversarial image; 0 where none are, of
    /// classifiers.
    #[serde(default, skip_serializing_if = "is_none")]
    pub outputs: usize,
}

fn is_none(outputs: &usize) -> bool {
    *outputs == 0
}

/// What an entry holds besides an example and its original, as far as the layout has it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Extra<'a> {
    /// The example as an 8-bit image.
    pub eight_bit: Option<&'a EightBit>,
    /// The norm below which nothing changes.
    pub certificate: Option<f64>,
    /// The model's outputs, as its users see them, for the original and for the adversarial image.
    pub outputs: [&'a [f32]; 2],
}

/// Bytes of the numbers that come before the images.
const NUMBERS: usize = 97;
/// Bytes of the numbers of an 8-bit image.
const EIGHT_BIT_NUMBERS: usize = 12;

/// Bits of what is true of an example.
const WRONG_BEFORE: u8 = 1;
const SUCCESS: u8 = 2;
const EIGHT_BIT_SUCCESS: u8 = 4;
const ROUNDED: u8 = 8;
const NO_GRADIENT: u8 = 16;
const REFUTED: u8 = 32;

impl Layout {
    /// How many values an input has.
    pub fn input_len(&self) -> usize {
        // A header can say anything.
        let axes = self.shape.iter();
        axes.fold(1, |product: usize, &axis| product.saturating_mul(axis))
    }

    /// Bytes of an entry's content.
    pub fn bytes(&self) -> usize {
        let eight_bit = self.input_len().saturating_add(EIGHT_BIT_NUMBERS);
        let eight_bit = usize::from(self.eight_bit).saturating_mul(eight_bit);
        let outputs = self.outputs.saturating_mul(8);
        let images = self.images().end;
        images.saturating_add(eight_bit).saturating_add(outputs)
    }

    /// Where original and changed image are, one after the other.
    fn images(&self) -> Range<usize> {
        NUMBERS..self.input_len().saturating_mul(8).saturating_add(NUMBERS)
    }

    /// The content for an example, its original and what else the layout has.
    pub fn content(&self, example: &Example, original: &[f32], extra: Extra<'_>) -> Vec<u8> {
        let Extra {
            eight_bit,
            certificate,
            outputs,
        } = extra;
        let mut flags = 0;
        let mut flag = |bit, is| flags |= if is { bit } else { 0 };
        flag(WRONG_BEFORE, example.already_misclassified);
        flag(SUCCESS, example.success);
        flag(NO_GRADIENT, example.no_gradient);
        flag(REFUTED, example.refuted);
        flag(EIGHT_BIT_SUCCESS, eight_bit.is_some_and(|e| e.success));
        flag(ROUNDED, eight_bit.is_some_and(|e| e.rounded));
        let mut content = Vec::with_capacity(self.bytes());
        content.extend((example.index as u64).to_le_bytes());
        let classes = [
            example.label,
            example.target,
            example.prediction_before,
            example.prediction,
        ];
        // Classes are below 2^20 (`search` says so).
        content.extend(
            classes
                .iter()
                .flat_map(|&class| (class as u32).to_le_bytes()),
        );
        content.extend(example.evaluations.to_le_bytes());
        content.extend(example.gradients.to_le_bytes());
        let norms = [example.l2, example.linf, example.l1, example.l0];
        content.extend(norms.iter().flat_map(|norm| norm.to_le_bytes()));
        content.extend(example.kkt_residual.to_le_bytes());
        content.extend(example.noise.to_le_bytes());
        content.extend(certificate.unwrap_or(f64::NAN).to_le_bytes());
        content.push(flags);
        for value in original.iter().chain(&example.adversarial) {
            content.extend(value.to_le_bytes());
        }
        if let Some(eight_bit) = eight_bit {
            content.extend((eight_bit.prediction as u32).to_le_bytes());
            content.extend(eight_bit.l2.to_le_bytes());
            content.extend(&eight_bit.levels);
        }
        for value in outputs.into_iter().flatten() {
            content.extend(value.to_le_bytes());
        }
        content
    }
}

/// The examples that journals hold, in the order of the images.
#[derive(Debug)]
pub struct StoredExamples<'a> {
    entries: &'a Entries,
    layout: Layout,
}

/// An example with its original.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredExample {
    /// The example.
    pub example: Example,
    /// The values of the original image.
    pub original: Vec<f32>,
    /// The L2 norm below which no perturbation changes the answer; None where the layout has no certificates.
    pub certificate: Option<f64>,
}

/// An example as an image of 8 bits.
#[derive(Debug, Clone, PartialEq)]
pub struct SavedExample {
    /// The image's place in the image set.
    pub index: usize,
    /// The image's class.
    pub label: usize,
    /// Whether the original is answered wrongly, as far as the criterion asks: then nothing is changed.
    pub wrong_before: bool,
    /// The answer to the original.
    pub before: usize,
    /// The answer to the image of 8 bits.
    pub answer: usize,
    /// The values of the original, from 0 to 1.
    pub original: Vec<f32>,
    /// The adversarial image's levels, 255 standing for 1.
    pub levels: Vec<u8>,
}

/// The numbers of an example, without its images.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Numbers {
    /// The image's place in the image set.
    pub index: u64,
    /// The image's class.
    pub label: u32,
    /// The class that was searched for.
    pub target: u32,
    /// The answer to the original.
    pub before: u32,
    /// The answer to the adversarial image.
    pub after: u32,
    /// Evaluations of the network.
    pub evaluations: u64,
    /// Gradients of the network.
    pub gradients: u64,
    /// L2 norm of the perturbation.
    pub l2: f64,
    /// Its Linf norm.
    pub linf: f64,
    /// Its L1 norm.
    pub l1: f64,
    /// How many values, or pixels where these were counted, it changes.
    pub l0: f64,
    /// The KKT residual.
    pub kkt: f64,
    /// Rounding noise of the margin.
    pub noise: f64,
    /// The norm below which no perturbation changes the answer, in that of the search; NaN where the layout has no certificates.
    pub certificate: f64,
    /// Whether the original is answered wrongly, as far as the criterion asks.
    pub wrong_before: bool,
    /// Whether the final image reaches the goal.
    pub success: bool,
    /// Whether nothing was found and the network has no gradient there.
    pub no_gradient: bool,
    /// Whether another runtime does not take the final image for a success.
    pub refuted: bool,
    /// Whether the image in 8 bits reaches the goal; false where there is none.
    pub eight_bit_success: bool,
    /// Whether rounding was enough for that.
    pub rounded: bool,
}

impl Numbers {
    /// Whether the image was searched from and is answered as was asked for in the end.
    pub fn fooled(&self) -> bool {
        self.success && !self.wrong_before
    }

    /// What is known of the distance at which the answer is wrong, in the norm of the search.
    pub(super) fn distance(&self, norm: Norm, certified: bool) -> Distance {
        let is_right = self.before == self.label && !self.wrong_before;
        Distance {
            at_most: if !is_right {
                0.0
            } else if self.success {
                self.norm(norm)
            } else {
                f64::INFINITY
            },
            at_least: certified.then_some(self.certificate),
        }
    }

    /// A norm of the perturbation.
    pub fn norm(&self, norm: Norm) -> f64 {
        match norm {
            Norm::L2 => self.l2,
            Norm::Linf => self.linf,
            Norm::L1 => self.l1,
            Norm::L0 => self.l0,
        }
    }
}

/// The numbers of an example as an 8-bit image.
#[derive(Debug, Clone, Copy)]
pub(super) struct EightBitNumbers {
    pub(super) after: u32,
    pub(super) l2: f64,
}

impl<'a> StoredExamples<'a> {
    /// The examples in these entries.
    ///
    /// # Errors
    /// [`JournalError::Mismatch`] where they are no examples of this layout.
    pub fn new(entries: &'a Entries, layout: Layout) -> Result<Self, JournalError> {
        let length = layout
            .shape
            .iter()
            .try_fold(1usize, |n, &axis| n.checked_mul(axis));
        let sound = length.is_some_and(|n| n <= blindspot_net::MAX_VALUES);
        if sound && entries.header().bytes == layout.bytes() {
            Ok(StoredExamples { entries, layout })
        } else {
            Err(JournalError::mismatch())
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True where there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What an entry holds.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The numbers of each example, in the order of the images; no image is read.
    ///
    /// # Errors
    /// As [`Entries::bytes`].
    pub fn numbers(&self) -> Result<impl Iterator<Item = io::Result<Numbers>> + '_, JournalError> {
        let contents = self.entries.bytes(0..NUMBERS)?;
        Ok(contents.map(|content| {
            let content = content?;
            let mut rest = &content[..];
            let flags = content[NUMBERS - 1];
            Ok(Numbers {
                index: u64::from_le_bytes(take(&mut rest)),
                label: u32::from_le_bytes(take(&mut rest)),
                target: u32::from_le_bytes(take(&mut rest)),
                before: u32::from_le_bytes(take(&mut rest)),
                after: u32::from_le_bytes(take(&mut rest)),
                evaluations: u64::from_le_bytes(take(&mut rest)),
                gradients: u64::from_le_bytes(take(&mut rest)),
                l2: f64::from_le_bytes(take(&mut rest)),
                linf: f64::from_le_bytes(take(&mut rest)),
                l1: f64::from_le_bytes(take(&mut rest)),
                l0: f64::from_le_bytes(take(&mut rest)),
                kkt: f64::from_le_bytes(take(&mut rest)),
                noise: f64::from_le_bytes(take(&mut rest)),
                certificate: f64::from_le_bytes(take(&mut rest)),
                wrong_before: flags & WRONG_BEFORE != 0,
                success: flags & SUCCESS != 0,
                no_gradient: flags & NO_GRADIENT != 0,
                refuted: flags & REFUTED != 0,
                eight_bit_success: flags & EIGHT_BIT_SUCCESS != 0,
                rounded: flags & ROUNDED != 0,
            })
        }))
    }

    /// The examples, in the order of the images. The position of each is that of its entry.
    ///
    /// # Errors
    /// As [`Entries::bytes`].
    pub fn examples(&self) -> Result<impl Iterator<Item = io::Result<Example>> + '_, JournalError> {
        let images = self.layout.images();
        let changed = images.start + 4 * self.layout.input_len()..images.end;
        let rows = self.numbers()?.zip(self.entries.bytes(changed)?);
        Ok(self
            .entries
            .positions()
            .zip(rows)
            .map(|(position, (numbers, changed))| {
                let (numbers, changed) = (numbers?, changed?);
                let values = changed.as_chunks::<4>().0.iter();
                Ok(Example {
                    position,
                    index: numbers.index as usize,
                    label: numbers.label as usize,
                    target: numbers.target as usize,
                    prediction_before: numbers.before as usize,
                    prediction: numbers.after as usize,
                    already_misclassified: numbers.wrong_before,
                    success: numbers.success,
                    adversarial: values.map(|&bytes| f32::from_le_bytes(bytes)).collect(),
                    l2: numbers.l2,
                    linf: numbers.linf,
                    l1: numbers.l1,
                    l0: numbers.l0,
                    evaluations: numbers.evaluations,
                    gradients: numbers.gradients,
                    no_gradient: numbers.no_gradient,
                    refuted: numbers.refuted,
                    kkt_residual: numbers.kkt,
                    noise: numbers.noise,
                })
            }))
    }

    /// The examples with their originals, in the order of the images.
    ///
    /// # Errors
    /// As [`Entries::bytes`].
    pub fn rows(
        &self,
    ) -> Result<impl Iterator<Item = io::Result<StoredExample>> + '_, JournalError> {
        let start = self.layout.images().start;
        let originals = self
            .entries
            .bytes(start..start + 4 * self.layout.input_len())?;
        let certificates = self.numbers()?;
        let rows = self.examples()?.zip(originals).zip(certificates);
        Ok(rows.map(|((example, original), certificate)| {
            let original = original?;
            let values = original.as_chunks::<4>().0.iter();
            let certificate = certificate?.certificate;
            Ok(StoredExample {
                example: example?,
                original: values.map(|&bytes| f32::from_le_bytes(bytes)).collect(),
                certificate: self.layout.certificate.then_some(certificate),
            })
        }))
    }

    /// Each certificate with the norm of the change found, infinite where none was; NaN where the layout
    /// has no certificates.
    ///
    /// # Errors
    /// As [`Entries::bytes`].
    pub fn certificates(
        &self,
        norm: Norm,
    ) -> Result<impl Iterator<Item = io::Result<(f64, f64)>> + '_, JournalError> {
        Ok(self.numbers()?.map(move |numbers| {
            let numbers = numbers?;
            let found = if numbers.success {
                numbers.norm(norm)
            } else {
                f64::INFINITY
            };
            Ok((numbers.certificate, found))
        }))
    }

    /// The images fooled by the `count` smallest perturbations in a norm, smallest first, each by the position of its entry and its
    /// index in the image set; all images fooled where they are fewer. Of equal perturbations the first comes first.
    ///
    /// # Errors
    /// [`JournalError`] where they can't be read.
    pub fn smallest(&self, norm: Norm, count: usize) -> Result<Vec<(usize, usize)>, JournalError> {
        let mut fooled = Vec::new();
        for (position, numbers) in self.entries.positions().zip(self.numbers()?) {
            let numbers = numbers.map_err(JournalError::Unreadable)?;
            if numbers.fooled() {
                fooled.push((numbers.norm(norm), position, numbers.index as usize));
            }
        }
        fooled.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let smallest = fooled.into_iter().take(count);
        Ok(smallest
            .map(|(_, position, index)| (position, index))
            .collect())
    }

    /// The values of the original images.
    pub(super) fn originals(
        &self,
    ) -> Result<impl Iterator<Item = io::Result<f32>> + '_, JournalError> {
        let start = self.layout.images().start;
        self.values(start..start + 4 * self.layout.input_len())
    }

    /// The values of the changed images.
    pub(super) fn adversarial(
        &self,
    ) -> Result<impl Iterator<Item = io::Result<f32>> + '_, JournalError> {
        let images = self.layout.images();
        self.values(images.start + 4 * self.layout.input_len()..images.end)
    }

    fn values(
        &self,
        range: Range<usize>,
    ) -> Result<impl Iterator<Item = io::Result<f32>> + '_, JournalError> {
        let contents = self.entries.bytes(range)?;
        Ok(contents.flat_map(|content| {
            let (bytes, error) = match content {
                Ok(bytes) => (bytes, None),
                Err(error) => (Vec::new(), Some(Err(error))),
            };
            let words = bytes.len() / 4;
            let value = move |i: usize| {
                let mut word = &bytes[4 * i..];
                Ok(f32::from_le_bytes(take(&mut word)))
            };
            (0..words).map(value).chain(error)
        }))
    }

    /// The numbers of the 8-bit images, which the layout must have.
    pub(super) fn eight_bit_numbers(
        &self,
    ) -> Result<impl Iterator<Item = io::Result<EightBitNumbers>> + '_, JournalError> {
        let start = self.layout.images().end;
        let contents = self.entries.bytes(start..start + EIGHT_BIT_NUMBERS)?;
        Ok(contents.map(|content| {
            let content = content?;
            let mut rest = &content[..];
            Ok(EightBitNumbers {
                after: u32::from_le_bytes(take(&mut rest)),
                l2: f64::from_le_bytes(take(&mut rest)),
            })
        }))
    }

    /// The 8-bit images that succeed, with their originals; none where the layout has none.
    ///
    /// # Errors
    /// As [`Entries::bytes`].
    pub fn saved(
        &self,
    ) -> Result<impl Iterator<Item = io::Result<SavedExample>> + '_, JournalError> {
        let start = self.layout.images().start;
        let originals = start..start + 4 * self.layout.input_len();
        let images = self.numbers()?.zip(self.entries.bytes(originals)?);
        let images = images.zip(self.eight_bit_numbers()?.zip(self.levels()?));
        let has_them = self.layout.eight_bit;
        Ok(
            images.filter_map(move |((numbers, original), (as_saved, levels))| {
                let saved = (|| -> io::Result<Option<SavedExample>> {
                    let (numbers, original) = (numbers?, original?);
                    let (as_saved, levels) = (as_saved?, levels?);
                    let values = original.as_chunks::<4>().0.iter();
                    let saved = SavedExample {
                        index: numbers.index as usize,
                        label: numbers.label as usize,
                        wrong_before: numbers.wrong_before,
                        before: numbers.before as usize,
                        answer: as_saved.after as usize,
                        original: values.map(|&bytes| f32::from_le_bytes(bytes)).collect(),
                        levels,
                    };
                    Ok(numbers.eight_bit_success.then_some(saved))
                })();
                saved.transpose().filter(|_| has_them)
            }),
        )
    }

    /// The levels of the 8-bit images, an item each.
    pub(super) fn levels(
        &self,
    ) -> Result<impl Iterator<Item = io::Result<Vec<u8>>> + '_, JournalError> {
        let start = self.layout.images().end + EIGHT_BIT_NUMBERS;
        self.entries.bytes(start..start + self.layout.input_len())
    }

    /// The model's outputs for the originals, or for the adversarial images.
    pub(super) fn outputs(
        &self,
        adversarial: bool,
    ) -> Result<impl Iterator<Item = io::Result<f32>> + '_, JournalError> {
        let bytes = 4 * self.layout.outputs;
        let end = self.layout.bytes() - if adversarial { 0 } else { bytes };
        self.values(end - bytes..end)
    }
}
