//! Where climbs begin: the ways in which margins rise at the images as they are.

use blindspot_model::classifier::ClassifierError;
use blindspot_run::random::Stream;

use super::ball::{scale, steepest};
use super::climb::{Candidate, Climb, fooled, lead_of, wanted};
use super::options::Aim;

/// Images that starts are compared on, at most.
const SAMPLE: usize = 256;
/// Classes that all images are driven to, at most: those that lead most often where nothing is changed yet.
const CLASSES: usize = 10;
/// Norms that are tried for a start: halvings of the largest there is, and of what is left between two of them.
const HALVINGS: usize = 12;
const BISECTIONS: usize = 4;
/// A start that takes more than so many times the norm of the best one before is left where it is.
const WORSE: f64 = 1.5;

impl Climb<'_> {
    /// Starts, the best first: towards any wrong class, towards each of the likeliest ones, and a random one.
    pub(super) fn starts(&self, largest: f64) -> Result<Vec<Candidate>, ClassifierError> {
        let count = self.field.len();
        let mut random = Stream::new(self.seed, "universal start", 0);
        let mut sample = random.order(count);
        sample.truncate(SAMPLE);
        let mut goals = vec![self.field.target];
        if self.field.target.is_none() {
            goals.extend(self.likely(&sample)?.into_iter().map(Some));
        }
        let mut ways = self.field.directions(&sample, &goals)?;
        let length = self.reach.len();
        ways.push((0..length).map(|_| random.normal()).collect::<Vec<f64>>());
        let mut starts = Vec::with_capacity(ways.len());
        for way in ways {
            if self.stopped() {
                break;
            }
            let best = starts.iter().map(|start: &Candidate| -start.merit);
            let best = best.fold(f64::INFINITY, f64::min);
            starts.push(self.start(&way, &sample, [best, largest])?);
        }
        starts.sort_by(|a, b| b.merit.total_cmp(&a.merit));
        Ok(starts)
    }

    /// The wrong classes that come second most often.
    fn likely(&self, sample: &[usize]) -> Result<Vec<usize>, ClassifierError> {
        let none = vec![0.0; self.reach.len()];
        let margins = self.field.margins(sample, &none)?.unwrap_or_default();
        let mut often = vec![0usize; self.field.classifier.classes()];
        margins.iter().for_each(|margin| often[margin.up] += 1);
        let mut classes: Vec<usize> = (0..often.len()).collect();
        classes.sort_by_key(|&class| std::cmp::Reverse(often[class]));
        classes.truncate(CLASSES);
        Ok(classes)
    }

    /// The perturbation along a direction that does best on a sample. Where the norm is free, `best` is that of the best
    /// start before, infinite where there is none.
    fn start(
        &self,
        way: &[f64],
        sample: &[usize],
        [best, largest]: [f64; 2],
    ) -> Result<Candidate, ClassifierError> {
        let at = |radius: f64| {
            let mut delta = steepest(self.norm, way, radius);
            self.confine(&mut delta, radius);
            delta
        };
        let share = match self.aim {
            Aim::Epsilon(epsilon) => {
                let delta = at(epsilon);
                let margins = self.field.margins(sample, &delta)?.unwrap_or_default();
                return Ok(Candidate {
                    merit: fooled(&margins) as f64,
                    radius: epsilon,
                    delta,
                });
            }
            Aim::Share(share) => share,
        };
        let count = wanted(share, sample.len());
        let does = |radius: f64| -> Result<bool, ClassifierError> {
            let margins = self.field.margins(sample, &at(radius))?;
            Ok(margins.is_some_and(|margins| lead_of(&margins, count) > 0.0))
        };
        let most = largest.min(WORSE * best);
        // The first from below: clipped images may come back at larger norms.
        let first = if best.is_finite() {
            most
        } else {
            largest / f64::from(1 << HALVINGS)
        };
        let (mut low, mut high) = (0.0, first);
        while high < most && !does(high)? {
            (low, high) = (high, 2.0 * high);
        }
        if high >= most && !does(most)? {
            return Ok(Candidate {
                merit: f64::NEG_INFINITY,
                radius: most,
                delta: at(most),
            });
        }
        for _ in 0..BISECTIONS {
            let middle = 0.5 * (low + high);
            *(if does(middle)? { &mut high } else { &mut low }) = middle;
        }
        Ok(Candidate {
            merit: -high,
            radius: high,
            delta: at(high),
        })
    }

    /// A perturbation times the smallest factor with which it still does by `enough`, up to 1 and a little above; None
    /// where it does with none.
    pub(super) fn shortened(
        &self,
        delta: &[f32],
        enough: &mut impl FnMut(&[f32]) -> Result<bool, ClassifierError>,
    ) -> Result<Option<Vec<f32>>, ClassifierError> {
        let times = |factor: f64| {
            let mut delta = delta.to_vec();
            scale(&mut delta, factor);
            delta
        };
        let (mut low, mut high) = (0.0, None);
        for factor in [0.9, 1.0, 1.02, 1.1, 1.3, 2.0] {
            if enough(&times(factor))? {
                high = Some(factor);
                break;
            }
            low = factor;
        }
        let Some(mut high) = high else {
            return Ok(None);
        };
        // To 1e-5 of the norm.
        while high - low > 1e-5 * high && !self.field.limits.timed_out() {
            let middle = 0.5 * (low + high);
            *(if enough(&times(middle))? {
                &mut high
            } else {
                &mut low
            }) = middle;
        }
        Ok(Some(times(high)))
    }
}
