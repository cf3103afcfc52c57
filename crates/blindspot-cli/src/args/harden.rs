//! The options of hardening: training on adversarial examples.

use blindspot::model::Norm;
use blindspot_paper::harden::{Plan, PoolOptions};
use blindspot_paper::train::MiniBatch;

use super::parse::count;

/// Training with a living pool of adversarial examples.
#[derive(Debug, clap::Args)]
pub(crate) struct HardenArgs {
    /// Train by mini-batches, with adversarial examples mixed in that are made against the network
    /// as it is, all the time
    #[arg(help_heading = "Hardening", long)]
    pub(crate) harden: bool,
    /// Where they enter: input, or hidden1 and so on, the outputs of hidden layers; a perturbed output
    /// trains only the layers above it. All of them by default
    #[arg(
        help_heading = "Hardening",
        long,
        value_name = "LAYER,...",
        value_delimiter = ',',
        requires = "harden"
    )]
    layers: Vec<String>,
    /// Examples in the pool of each layer
    #[arg(
        help_heading = "Hardening",
        long,
        value_name = "N",
        default_value_t = 3_000,
        value_parser = count::<usize>(0..),
        requires = "harden"
    )]
    pool: usize,
    /// The part of each pool that is replaced at a time
    #[arg(
        help_heading = "Hardening",
        long,
        value_name = "F",
        default_value_t = 0.05,
        requires = "harden"
    )]
    refresh: f64,
    /// Steps from one replacement to the next
    #[arg(
        help_heading = "Hardening",
        long,
        value_name = "STEPS",
        default_value_t = 40,
        value_parser = count::<u64>(0..),
        requires = "harden"
    )]
    every: u64,
    /// Examples of each pool in a step, for each image of it
    #[arg(
        help_heading = "Hardening",
        long,
        value_name = "RATIO",
        default_value_t = 0.5,
        requires = "harden"
    )]
    mix: f64,
    /// How far an example goes, as a multiple of the smallest perturbation found; 1 is the decision
    /// boundary
    #[arg(
        help_heading = "Hardening",
        long,
        value_name = "FACTOR",
        default_value_t = 1.0,
        requires = "harden"
    )]
    beyond: f64,
    /// What is small of an example's perturbation: l2, linf, l1 or l0
    #[arg(
        help_heading = "Hardening",
        long,
        value_name = "NORM",
        default_value = "l2",
        requires = "harden"
    )]
    norm: Norm,
    /// The largest perturbation of an example that enters a pool: its distortion (root mean square), with
    /// another --norm than l2 that; inf for any. The larger, the more distortion is needed afterwards, and the more is wrong without
    #[arg(
        help_heading = "Hardening",
        long,
        value_name = "D",
        default_value_t = 0.03,
        requires = "harden"
    )]
    within: f64,
    /// Passes over the images
    #[arg(help_heading = "Hardening", long, value_name = "E", default_value_t = 20, requires = "harden", value_parser = count::<u32>(1..=1_000_000))]
    epochs: u32,
    /// Images in a step
    #[arg(help_heading = "Hardening", long, value_name = "N", default_value_t = 128, requires = "harden", value_parser = count::<u32>(1..=1_000_000))]
    batch: u32,
    /// The size of the first steps
    #[arg(
        help_heading = "Hardening",
        long,
        value_name = "RATE",
        default_value_t = 0.005,
        requires = "harden"
    )]
    rate: f64,
}

impl HardenArgs {
    /// What is asked for, for a network with these layers and this weight decay.
    pub(crate) fn plan(&self, layers: Vec<String>, decay: Vec<f64>) -> Plan {
        let layers = if self.layers.is_empty() {
            layers
        } else {
            self.layers.clone()
        };
        Plan {
            training: MiniBatch {
                batch: self.batch as usize,
                rate: self.rate,
                decay,
                ..MiniBatch::new(self.epochs as usize)
            },
            pool: Some(PoolOptions {
                size: self.pool,
                refresh_fraction: self.refresh,
                refresh_interval: self.every,
                mix_ratio: self.mix,
                overshoot: self.beyond,
                norm: self.norm,
                max_distance: Some(self.within),
                ..PoolOptions::new(layers)
            }),
        }
    }
}
