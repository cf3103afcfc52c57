//! A layer's activations in a journal. They are the expensive part of a survey, and all projections
//! follow from them, so that several processes can share the work.

use std::sync::Arc;

use blindspot_model::inputs::{InputError, Inputs};
use blindspot_net::{Graph, Network};
use blindspot_run::BlockSizer;
use blindspot_run::journal::{Entries, JournalError, Reader};
use blindspot_run::monitor::Monitor;

use super::distances::load;
use super::{Context, Layer, Plan, UnitsError, untrained};

/// Memory for one block's activations, in bytes.
const MAX_BLOCK_BYTES: usize = 64 << 20;
/// Largest number of images in a block.
const MAX_BLOCK_IMAGES: usize = 4096;

/// Evaluates a layer's activations, to be kept in a journal: those of the network studied and, for a
/// study, those of the untrained network.
pub struct LayerEvaluator {
    networks: Vec<Network<f32>>,
}

impl LayerEvaluator {
    /// An evaluator of the activations that a survey by `plan` needs.
    ///
    /// # Errors
    /// [`UnitsError`] if the plan does not fit the layer.
    pub fn new(
        network: &Network<f32>,
        layer: &Layer,
        plan: &Plan,
    ) -> Result<LayerEvaluator, UnitsError> {
        plan.check(layer)?;
        let mut networks = vec![network.up_to(layer.id)];
        if plan.study {
            networks.push(untrained(network, plan.seed).up_to(layer.id));
        }
        Ok(LayerEvaluator { networks })
    }

    /// Number of bytes of one image's activations in a journal.
    pub fn bytes(&self) -> usize {
        let lengths = self.networks.iter().map(Network::output_len);
        4 * lengths.sum::<usize>()
    }

    /// Evaluates the images `indices` of a set, block by block and in order. `take` gets each image's
    /// index and the content of its journal entry: the layer's activations (f32, little-endian), then
    /// those of the untrained network, if needed. If the monitor cancels the work, it ends after a whole
    /// block.
    ///
    /// # Errors
    /// [`UnitsError`] if the images don't fit the network, or any error of `take`.
    pub fn evaluate<E: From<UnitsError>>(
        &self,
        inputs: &(impl Inputs + ?Sized),
        indices: &[usize],
        monitor: &dyn Monitor,
        mut take: impl FnMut(Vec<(usize, Vec<u8>)>) -> Result<(), E>,
    ) -> Result<(), E> {
        let network = self.networks[0].input_len();
        if inputs.is_empty() {
            return Err(UnitsError::Empty.into());
        }
        if network != inputs.input_len() {
            let image = inputs.input_len();
            return Err(UnitsError::Size { network, image }.into());
        }
        let most = (MAX_BLOCK_BYTES / self.bytes().max(1)).clamp(1, MAX_BLOCK_IMAGES);
        let least = rayon::current_num_threads().min(most);
        let mut sizer = BlockSizer::new(least..=most);
        let mut rest = indices.to_vec();
        monitor.begin("layer values", indices.len() as u64);
        while !rest.is_empty() && !monitor.cancelled() {
            let block = sizer.next_block(&mut rest);
            let values = self.networks.iter();
            let values = values.map(|network| load(inputs, Some(network), &block));
            let values: Vec<Vec<f32>> =
                values.collect::<Result<_, _>>().map_err(UnitsError::from)?;
            let content = |place: usize| {
                let of_networks = values.iter().flat_map(|values| {
                    let length = values.len() / block.len();
                    &values[place * length..][..length]
                });
                of_networks.flat_map(|value| value.to_le_bytes()).collect()
            };
            let places = block.iter().enumerate();
            take(places.map(|(i, &image)| (image, content(i))).collect())?;
            monitor.progress((indices.len() - rest.len()) as u64, "");
            sizer.block_done(block.len());
        }
        monitor.end();
        Ok(())
    }
}

/// Reads the activations that a [`LayerEvaluator`] gave for all images of a set.
pub struct ActivationReader<'a> {
    /// The identity on the layer's activations.
    network: Network<f32>,
    layer: Layer,
    trained: Values<'a>,
    untrained: Values<'a>,
}

impl<'a> ActivationReader<'a> {
    /// A reader of a layer's activations in a journal's entries.
    ///
    /// # Errors
    /// [`JournalError`] if the entries are of another layer, or can't be opened.
    pub fn new(entries: &'a Entries, layer: &Layer) -> Result<ActivationReader<'a>, JournalError> {
        let shape = [&[layer.units], &layer.positions[..]].concat();
        let length: usize = shape.iter().product();
        let bytes = entries.header().bytes;
        let graph = Graph::new(&layer.name, &shape).ok();
        let network = graph.and_then(|graph| Network::new(graph, Vec::new()).ok());
        let Some(network) = network.filter(|_| [4 * length, 8 * length].contains(&bytes)) else {
            return Err(JournalError::Mismatch("hold values of another layer"));
        };
        let reader = Arc::new(entries.reader()?);
        let values = |from| Values {
            reader: Arc::clone(&reader),
            from,
            length,
        };
        Ok(ActivationReader {
            layer: Layer {
                id: network.graph().input(),
                ..layer.clone()
            },
            network,
            trained: values(0),
            untrained: values(bytes - 4 * length),
        })
    }

    /// The layer of the network studied, over the stored activations.
    pub(super) fn trained<'s>(&'s self, labels: Option<&'s [usize]>) -> Context<'s> {
        Context {
            labels,
            ..Context::new(&self.network, &self.layer, &self.trained)
        }
    }

    /// The layer of the untrained network, over the stored activations.
    pub(super) fn untrained<'s>(&'s self, labels: Option<&'s [usize]>) -> Context<'s> {
        Context {
            labels,
            ..Context::new(&self.network, &self.layer, &self.untrained)
        }
    }
}

/// The stored activations of one network.
struct Values<'a> {
    reader: Arc<Reader<'a>>,
    /// Offset of the activations in an entry, in bytes.
    from: usize,
    length: usize,
}

impl Inputs for Values<'_> {
    fn len(&self) -> usize {
        self.reader.len()
    }

    fn input_len(&self) -> usize {
        self.length
    }

    fn read(&self, position: usize, out: &mut [f32]) -> Result<(), InputError> {
        let mut bytes = vec![0; 4 * self.length];
        let read = self.reader.read(position, self.from, &mut bytes);
        read.map_err(|error| InputError::new(JournalError::Unreadable(error).to_string()))?;
        for (place, &value) in out.iter_mut().zip(bytes.as_chunks::<4>().0) {
            *place = f32::from_le_bytes(value);
        }
        Ok(())
    }
}
