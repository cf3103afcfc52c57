//! The options of QuocNet's training.

use blindspot_paper::quocnet::Plan;

use super::parse::count;
use crate::errors::Usage;

/// The network's size and training; what is given for several stages holds for all of them, or is a
/// list, a number for each.
#[derive(Debug, clap::Args)]
pub(crate) struct QuocNetArgs {
    /// Stages of filtering, pooling and normalisation [default: 3]
    #[arg(help_heading = "QuocNet", long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    stages: Option<u16>,
    /// Side of a receptive field: one for all stages, or one for each, as in 6,2,2
    #[arg(
        help_heading = "QuocNet",
        long,
        value_name = "SIDE,...",
        value_delimiter = ','
    )]
    field: Vec<u16>,
    /// From one field to the next
    #[arg(
        help_heading = "QuocNet",
        long,
        value_name = "STEP,...",
        value_delimiter = ','
    )]
    stride: Vec<u16>,
    /// Maps: filters at each position
    #[arg(
        help_heading = "QuocNet",
        long,
        value_name = "N,...",
        value_delimiter = ',',
        value_parser = count::<u16>(0..)
    )]
    maps: Vec<u16>,
    /// Side of the neighbourhood that is pooled over
    #[arg(
        help_heading = "QuocNet",
        long,
        value_name = "SIDE,...",
        value_delimiter = ','
    )]
    pooling: Vec<u16>,
    /// Resize and crop the images to so many pixels each way
    #[arg(help_heading = "QuocNet", long, value_name = "SIDE", value_parser = clap::value_parser!(u16).range(1..=8192))]
    pub(crate) input: Option<u16>,
    /// Learn from so many random squares of --input pixels of each image, at its own size, instead of all
    /// of it resized
    #[arg(help_heading = "QuocNet", long, value_name = "N", value_parser = count::<u32>(1..=1_000_000))]
    pub(crate) crops: Option<u32>,
    /// Weight of sparsity in the loss
    #[arg(help_heading = "QuocNet", long, value_name = "LAMBDA")]
    lambda: Option<f64>,
    /// Passes over the images for each stage
    #[arg(help_heading = "QuocNet", long, value_name = "N", value_parser = count::<u32>(0..))]
    passes: Option<u32>,
    /// Train so many replicas, each on its own mini-batch of every step, whose gradients are added up: a larger
    /// batch, for more ranks under mpirun than one copy of a stage can be divided among
    #[arg(help_heading = "QuocNet", long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    replicas: Option<u16>,
    /// Under mpirun: rank 0 keeps the weights (a parameter server), each other rank is a replica that waits
    /// for no other. Who is faster changes the bits: the same seed may give other weights next time
    #[arg(help_heading = "QuocNet", long)]
    asynchronous: bool,
    /// Print what this size, and larger ones up to the paper's, cost, and how many days they would train
    /// here on ten million images; train nothing
    #[arg(help_heading = "QuocNet", long)]
    pub(crate) costs: bool,
    /// Make a network of this size with random filters, and run 16 random images through it and the
    /// gradient back to images and filters, on one thread; train nothing
    #[arg(help_heading = "QuocNet", long, conflicts_with = "costs")]
    pub(crate) trial: bool,
    /// Memory that --trial may take, in GiB
    #[arg(
        help_heading = "QuocNet",
        long,
        value_name = "GIB",
        default_value_t = 16.0,
        requires = "trial"
    )]
    pub(crate) trial_memory: f64,
}

impl QuocNetArgs {
    /// The default plan with what was asked for.
    pub(crate) fn plan(&self) -> Result<Plan, Usage> {
        let mut plan = Plan::small();
        let last = *plan.stages.last().expect("it has stages");
        let count = self.stages.map_or(plan.stages.len(), usize::from);
        plan.stages.resize(count, last);
        let lists = [
            ("--field", &self.field),
            ("--stride", &self.stride),
            ("--maps", &self.maps),
            ("--pooling", &self.pooling),
        ];
        for (name, list) in lists {
            if !list.is_empty() && list.len() != 1 && list.len() != count {
                let given = list.len();
                let why =
                    format!("{name} has {given} numbers for {count} stages; give one, or {count}");
                return Err(Usage(why));
            }
            for (i, stage) in plan.stages.iter_mut().enumerate() {
                let Some(&number) = list.get(i).or(list.first()) else {
                    continue;
                };
                *match name {
                    "--field" => &mut stage.field,
                    "--stride" => &mut stage.stride,
                    "--maps" => &mut stage.maps,
                    _ => &mut stage.pool,
                } = number.into();
            }
        }
        plan.lambda = self.lambda.unwrap_or(plan.lambda);
        plan.replicas = self.replicas.map_or(plan.replicas, usize::from);
        plan.asynchronous = self.asynchronous;
        plan.epochs = self.passes.map_or(plan.epochs, |passes| passes as usize);
        Ok(plan)
    }

    /// Refuses what another model would not look at.
    pub(crate) fn unused(&self, model: &str) -> Result<(), Usage> {
        let lists = [&self.field, &self.stride, &self.maps, &self.pooling];
        let given = lists.iter().any(|list| !list.is_empty())
            || self.stages.is_some()
            || self.input.is_some()
            || self.lambda.is_some()
            || self.passes.is_some()
            || self.crops.is_some()
            || self.replicas.is_some()
            || self.asynchronous
            || self.costs
            || self.trial;
        if given {
            Err(Usage(format!(
                "--stages, --field, --stride, --maps, --pooling, --input, --crops, --lambda, --passes, \
                 --replicas, --asynchronous, --costs and --trial are for quocnet, not for {model}"
            )))
        } else {
            Ok(())
        }
    }
}
