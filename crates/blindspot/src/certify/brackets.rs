//! Each image between its certificate and the smallest change found, some images at a time.

use std::time::{Duration, Instant};

use blindspot_net::Network;

use super::{Bracket, Certifier, CertifyError};
use crate::inputs::Inputs;
use crate::run::Pace;
use crate::run::monitor::{Monitor, Part};
use crate::search::{Example, SearchError, SearchOptions, search};

/// Images of a first block for each thread, and of a block at most.
const FIRST: usize = 8;
const MOST: usize = 4096;
/// A time limit is a year at most: a clock has an end.
const YEAR: Duration = Duration::from_secs(366 * 86_400);

/// What brackets the distance at which the answer to an image changes.
pub struct Brackets<'a> {
    /// For the certificates.
    pub certifier: &'a Certifier,
    /// Its network.
    pub network: &'a Network<f32>,
    /// How the smallest change is searched for.
    pub options: &'a SearchOptions,
    /// Time for the certificates of all images together; what the first ones leave of it raises them.
    pub time: Option<Duration>,
}

impl Brackets<'_> {
    /// The brackets of images `indices` of a set with their true classes. `take` is given some at a
    /// time, in order; each block has its part of the time. Gives the time that the certificates took.
    /// Where the monitor cancels the work, it ends after the last whole block.
    ///
    /// # Errors
    /// [`CertifyError`] and [`SearchError`] where images, labels and network don't fit each other, what
    /// `take` fails with.
    pub fn find<E: From<CertifyError> + From<SearchError>>(
        &self,
        inputs: &(impl Inputs + ?Sized),
        labels: &[usize],
        indices: &[usize],
        monitor: &dyn Monitor,
        mut take: impl FnMut(Vec<Bracket>) -> Result<(), E>,
    ) -> Result<Duration, E> {
        if inputs.is_empty() {
            return Err(SearchError::Empty.into());
        }
        let threads = rayon::current_num_threads().min(MOST);
        let mut pace = Pace::new(FIRST * threads, threads..=MOST);
        let (mut rest, mut taken) = (indices, Duration::ZERO);
        monitor.begin("certify", indices.len() as u64);
        while !rest.is_empty() {
            let (left, done) = (rest.len(), indices.len() - rest.len());
            let block = pace.take(&mut rest);
            let part = Part::new(monitor, done, block.len());
            let began = Instant::now();
            let mut certificates = self.certifier.certify(inputs, labels, block, &part)?;
            if let Some(time) = self.time {
                let own = time.min(YEAR).saturating_sub(taken);
                let own = own.mul_f64(block.len() as f64 / left as f64);
                let refined = &mut certificates;
                let refined = self.certifier.refine(refined, inputs, began + own, &part);
                refined.map_err(CertifyError::from)?;
            }
            taken += began.elapsed();
            let examples = search(self.network, inputs, labels, block, self.options, &part)?;
            if monitor.cancelled() {
                // The block may have been cut short.
                break;
            }
            let pairs = certificates.into_iter().zip(examples);
            let bracket = |(certificate, example): (_, Example)| Bracket {
                certificate,
                l2: match example.success {
                    true => example.l2,
                    false => f64::INFINITY,
                },
            };
            take(pairs.map(bracket).collect())?;
            pace.done();
        }
        monitor.end();
        Ok(taken)
    }
}
