//! The search for inputs of a property's boxes with unsafe outputs: that of the cases' goal, from the inputs that are the
//! nearest to it of many.

use std::sync::Arc;
use std::time::Instant;

use blindspot_model::inputs::InMemory;
use blindspot_run::monitor::Silenced;
use blindspot_run::random::Stream;

use super::counterexample::{Counterexample, margin, nearest};
use super::verify::Work;
use super::{PropertyError, Region};
use crate::goals::head::{HeadBuilder, Linear};
use crate::goals::{Formula, OutputGoal};
use crate::search::{Bounds, SearchOptions, search};

/// Inputs of a box that are tried before the search, at most and at least.
const SAMPLES: [usize; 2] = [2048, 16];
/// Multiplications and additions that they may take.
const SAMPLE_STEPS: f64 = 2e9;
/// Inputs that are evaluated at a time.
const BATCH: usize = 64;
/// From how many of these inputs each case is searched for.
const STARTS: usize = 3;
/// Evaluations of the model for the search from one of them, at most.
const MAX_EVALUATIONS: u64 = 150;
/// The share of the time that is left that the search takes, at most.
const SEARCH_SHARE: f64 = 0.25;

impl Work<'_> {
    /// Searches a box, one of `count` that are left, from inputs that are the nearest to unsafe of many.
    pub(super) fn search_region(
        &mut self,
        region: usize,
        count: usize,
    ) -> Result<Option<Counterexample>, PropertyError> {
        if self.ended().is_some() {
            return Ok(None);
        }
        let samples = self.samples(region);
        let inputs = self.property.inputs();
        let cases = &self.property.regions()[region].cases;
        // For each case the nearest inputs so far, the nearest first.
        let mut nearest: Vec<Vec<(f64, usize)>> = vec![Vec::new(); cases.len()];
        for (batch, samples) in samples.chunks(BATCH * inputs).enumerate() {
            let outputs = self.judge.outputs(samples).to_vec();
            for (i, outputs) in outputs.chunks_exact(self.property.outputs()).enumerate() {
                let outputs: Vec<f64> = outputs.iter().map(|&y| y.into()).collect();
                for (case, nearest) in cases.iter().zip(&mut nearest) {
                    let margin = margin(case, &outputs);
                    let place = nearest.partition_point(|(other, _)| *other >= margin);
                    nearest.insert(place, (margin, BATCH * batch + i));
                    nearest.truncate(STARTS);
                }
            }
            if self.ended().is_some() {
                break;
            }
        }
        let point = |sample: usize| -> Vec<f64> {
            let sample = &samples[sample * inputs..][..inputs];
            sample.iter().map(|&x| x.into()).collect()
        };
        for (margin, sample) in nearest.iter().filter_map(|nearest| nearest.first()) {
            if *margin >= 0.0
                && let Some(found) = self.judge.judge(region, &point(*sample))
            {
                return Ok(Some(found));
            }
        }
        let cases = nearest.len();
        for (case, nearest) in nearest.iter().enumerate() {
            let starts: Vec<Vec<f64>> = nearest.iter().map(|(_, sample)| point(*sample)).collect();
            let time = self.time_left(count * (cases - case));
            if let Some(found) = self.search_case(region, case, &starts, time)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Inputs of a box, one after the other: its middle, then corners and others at random, in turn.
    fn samples(&self, region: usize) -> Vec<f32> {
        let Region { lower, upper, .. } = &self.property.regions()[region];
        let steps = self.model.network().graph().steps().max(1.0);
        let [most, least] = SAMPLES;
        let count = ((SAMPLE_STEPS / steps) as usize).clamp(least, most);
        let mut stream = Stream::new(self.options.seed, "inputs of a property", region);
        let mut samples = Vec::with_capacity(count * lower.len());
        for sample in 0..count {
            for (&lower, &upper) in lower.iter().zip(upper) {
                let part = match sample {
                    0 => 0.5,
                    _ if sample % 2 == 1 => stream.uniform().round(),
                    _ => stream.uniform(),
                };
                samples.push(nearest(lower + part * (upper - lower), lower, upper));
            }
        }
        samples
    }

    /// Seconds for one of `count` searches that are left; None without a limit.
    pub(super) fn time_left(&self, count: usize) -> Option<f64> {
        let left = self.deadline?.saturating_duration_since(Instant::now());
        Some(SEARCH_SHARE * left.as_secs_f64() / count.max(1) as f64)
    }

    /// Searches all cases of a box from the same inputs.
    pub(super) fn search_from(
        &mut self,
        region: usize,
        starts: &[Vec<f64>],
        time: Option<f64>,
    ) -> Result<Option<Counterexample>, PropertyError> {
        let cases = self.property.regions()[region].cases.len();
        for case in 0..cases {
            let time = time.map(|time| time / cases as f64);
            if let Some(found) = self.search_case(region, case, starts, time)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Searches for outputs of a case from inputs of its box, at most so many seconds.
    fn search_case(
        &mut self,
        region: usize,
        case: usize,
        starts: &[Vec<f64>],
        time: Option<f64>,
    ) -> Result<Option<Counterexample>, PropertyError> {
        let Region {
            lower,
            upper,
            cases,
        } = &self.property.regions()[region];
        if starts.is_empty() || cases[case].is_empty() || self.ended().is_some() {
            return Ok(None);
        }
        if time.is_some_and(|time| time <= 0.0) {
            return Ok(None);
        }
        let leads = cases[case].iter().map(|inequality| Linear {
            factors: inequality
                .factors
                .iter()
                .map(|&(output, factor)| (output, -factor))
                .collect(),
            constant: inequality.bound,
        });
        let shape = [self.property.outputs()];
        let formula = HeadBuilder::new(&shape).functions(&leads.collect::<Vec<_>>());
        let goal = OutputGoal::Margin(Formula {
            file: self.property.name().to_owned(),
            network: Some(Arc::new(formula.cast())),
        });
        let ends = || lower.iter().zip(upper);
        let single = |ends: (&f64, &f64), x: f64| nearest(x, *ends.0, *ends.1);
        let bounds = Bounds {
            lower: ends().map(|(l, u)| single((l, u), *l)).collect(),
            upper: ends().map(|(l, u)| single((l, u), *u)).collect(),
            max_perturbation: vec![f32::INFINITY; lower.len()],
        };
        let rows = starts
            .iter()
            .flat_map(|start| start.iter().zip(ends()).map(|(x, ends)| single(ends, *x)));
        let inputs = InMemory::new(rows.collect(), lower.len());
        let options = SearchOptions::default()
            .goal(goal)
            .bounds(Arc::new(bounds))
            .seed(self.options.seed)
            .enough(f64::INFINITY)
            .max_evaluations(MAX_EVALUATIONS)
            .time_limit(time);
        let positions: Vec<usize> = (0..starts.len()).collect();
        let labels = vec![0; starts.len()];
        let silent = Silenced(self.monitor);
        let found = search(self.model, &inputs, &labels, &positions, &options, &silent)?;
        for example in found {
            let point: Vec<f64> = example.adversarial.iter().map(|&x| x.into()).collect();
            if let Some(found) = self.judge.judge(region, &point) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}
