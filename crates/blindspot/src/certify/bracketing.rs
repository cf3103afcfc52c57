//! Brackets each image's distance to the decision boundary: from below by its certificate, from
//! above by the smallest perturbation found. Works on a block of images at a time.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use blindspot_model::classifier::Classifier;
use blindspot_model::inputs::Inputs;
use blindspot_run::BlockSizer;
use blindspot_run::monitor::{BlockProgress, Monitor};

use super::{Bracket, Certificate, Certifier, CertifyError, MAX_TIME};
use crate::search::{Example, Norm, SearchError, SearchOptions, search};

/// Images of a block, at most.
const MAX_BLOCK: usize = 4096;

/// Certifies images and searches for their smallest perturbations.
pub struct Bracketing<'a> {
    /// Gives the certificates, in the norm of the options.
    pub certifier: &'a Certifier,
    /// The model that the certifier was made for.
    pub classifier: &'a dyn Classifier,
    /// How the smallest perturbation is searched for.
    pub options: &'a SearchOptions,
    /// Time for the certificates of all images together, the first bounds included; what these leave of
    /// it refines them. None refines nothing.
    pub time: Option<Duration>,
}

impl Bracketing<'_> {
    /// Brackets the images at `positions` of a set; `labels` are the true classes of the whole set.
    /// `take` gets one block after another; each block gets its share of the time, and images that
    /// take long may come later than those after them. Returns the time that the certificates took. If
    /// the monitor cancels the work, it ends with the images that were done.
    ///
    /// # Errors
    /// [`CertifyError`] and [`SearchError`] if images, labels and network don't fit each other; any
    /// error of `take`.
    pub fn run<E: From<CertifyError> + From<SearchError>>(
        &self,
        inputs: &(impl Inputs + ?Sized),
        labels: &[usize],
        positions: &[usize],
        monitor: &dyn Monitor,
        mut take: impl FnMut(Vec<Bracket>) -> Result<(), E>,
    ) -> Result<Duration, E> {
        if inputs.is_empty() {
            return Err(SearchError::Empty.into());
        }
        let threads = rayon::current_num_threads().min(MAX_BLOCK);
        let mut sizer = BlockSizer::new(threads..=MAX_BLOCK);
        let (mut rest, mut taken) = (positions.to_vec(), Duration::ZERO);
        monitor.begin("certify", positions.len() as u64);
        while !rest.is_empty() {
            let (left, done) = (rest.len(), positions.len() - rest.len());
            let block = sizer.next_block(&mut rest);
            let cut = sizer.cut(block.len());
            let part = BlockProgress::new(monitor, done, block.len()).cut_at(cut);
            let began = Instant::now();
            let certifier = self.certifier;
            let certificates = match self.time {
                None => certifier.certify_inputs(inputs, labels, &block, &part)?,
                Some(time) => {
                    let own = time.min(MAX_TIME).saturating_sub(taken);
                    let deadline = began + own.mul_f64(block.len() as f64 / left as f64);
                    let mut certificates =
                        certifier.certify_until(inputs, labels, &block, deadline, &part)?;
                    let refined = certifier.refine(&mut certificates, inputs, deadline, &part);
                    refined.map_err(CertifyError::from)?;
                    if part.cancelled() {
                        // Which of them were refined as far as they would be is not known.
                        certificates.clear();
                    }
                    certificates
                }
            };
            taken += began.elapsed();
            let certified: Vec<usize> = certificates.iter().map(|c| c.position).collect();
            let examples = match certified[..] {
                [] => Vec::new(),
                _ => search(
                    self.classifier,
                    inputs,
                    labels,
                    &certified,
                    self.options,
                    &part,
                )?,
            };
            let brackets = brackets(certificates, &examples, self.options.norm);
            let ended: HashSet<usize> = brackets.iter().map(|b| b.certificate.position).collect();
            take(brackets)?;
            if monitor.cancelled() {
                break;
            }
            rest.extend(block.iter().filter(|&at| !ended.contains(at)));
            sizer.block_done(ended.len());
        }
        monitor.end();
        Ok(taken)
    }
}

/// The brackets of the certificates whose images were searched to their ends; both are in the order
/// of the images.
fn brackets(certificates: Vec<Certificate>, examples: &[Example], norm: Norm) -> Vec<Bracket> {
    let mut examples = examples.iter().peekable();
    let bracket = |certificate: Certificate| {
        let example = examples.next_if(|example| example.position == certificate.position)?;
        Some(Bracket {
            certificate: certificate.of_answer(!example.already_misclassified),
            found: if example.success {
                example.norm(norm)
            } else {
                f64::INFINITY
            },
        })
    };
    certificates.into_iter().filter_map(bracket).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::Target;
    use blindspot_data::ImageSet;
    use blindspot_model::InputBox;
    use blindspot_paper::train::Recipe;
    use blindspot_run::monitor::Unwatched;

    #[test]
    fn results_know_their_position_in_a_choice_and_their_index_in_the_data_set() {
        let pixels = (0..24).map(|i| (i * 53 % 256) as u8).collect();
        let labels = vec![0, 1, 0, 1, 0, 1];
        let all = ImageSet::new("test", [1, 2, 2], pixels, Some(labels), Vec::new()).unwrap();
        let images = all.select(&[5, 1, 4, 2]);
        let network = Recipe::named("FC100-100-10").unwrap().start(4, 10, 1);
        let (labels, positions) = (images.labels().unwrap(), [3, 0, 2]);
        let options = SearchOptions {
            target: Target::Untargeted,
            ..SearchOptions::default()
        };
        let found = search(&network, &images, labels, &positions, &options, &Unwatched).unwrap();
        let certifier = Certifier::for_network(&network, InputBox::default()).unwrap();
        let certified = certifier.certify_inputs(&images, labels, &positions, &Unwatched);
        let found = found.iter().map(|found| [found.position, found.index]);
        let certified = certified.unwrap();
        let certified = certified.iter().map(|it| [it.position, it.index]);
        for numbers in [found.collect::<Vec<_>>(), certified.collect()] {
            assert_eq!(numbers, [[3, 2], [0, 5], [2, 4]]);
        }
    }
}
