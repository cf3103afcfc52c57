//! A layer's values as journals keep them. They are what takes a network; all that is asked of units and
//! directions can be told from them.

use std::sync::Arc;

use blindspot_net::{Graph, Network};

use super::bases::untrained;
use super::distances::load;
use super::survey::{Pass, Plan};
use super::{Layer, UnitsError};
use crate::inputs::{InputError, Inputs};
use crate::run::Pace;
use crate::run::journal::{Entries, JournalError, Reader};
use crate::run::monitor::Monitor;

/// Bytes of a block's values, and its images, at most; images of a first block for each thread.
const MEMORY: usize = 64 << 20;
const MOST: usize = 4096;
const FIRST: usize = 8;

/// The networks whose values at a layer are to be kept: the one looked at, and for a study the untrained
/// one.
pub struct LayerValues {
    networks: Vec<Network<f32>>,
}

impl LayerValues {
    /// Those that a survey as planned takes.
    ///
    /// # Errors
    /// [`UnitsError`] where the plan does not fit the layer.
    pub fn new(
        network: &Network<f32>,
        layer: &Layer,
        plan: &Plan,
    ) -> Result<LayerValues, UnitsError> {
        plan.check(layer)?;
        let mut networks = vec![network.up_to(layer.id)];
        if plan.study {
            networks.push(untrained(network, plan.seed).up_to(layer.id));
        }
        Ok(LayerValues { networks })
    }

    /// Bytes of an image's values.
    pub fn bytes(&self) -> usize {
        let lengths = self.networks.iter().map(Network::output_len);
        4 * lengths.sum::<usize>()
    }

    /// Evaluates images `indices` of a set. `take` is given some at a time, in order: each image and the
    /// content of its entry in a journal, the layer's values (f32), then the untrained network's. Where
    /// the monitor cancels the work, it ends after the last whole block.
    ///
    /// # Errors
    /// [`UnitsError`] where network and images don't fit, what `take` fails with.
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
        let most = (MEMORY / self.bytes().max(1)).clamp(1, MOST);
        let least = rayon::current_num_threads().min(most);
        let mut pace = Pace::new(FIRST * least, least..=most);
        let mut rest = indices;
        monitor.begin("layer values", indices.len() as u64);
        while !rest.is_empty() && !monitor.cancelled() {
            let block = pace.take(&mut rest);
            let values = self.networks.iter();
            let values = values.map(|network| load(inputs, Some(network), block));
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
            pace.done();
        }
        monitor.end();
        Ok(())
    }
}

/// The values that [`LayerValues`] gave for all images of a set.
pub struct StoredLayer<'a> {
    /// A network that gives what it is given: the layer's values.
    network: Network<f32>,
    layer: Layer,
    trained: Values<'a>,
    untrained: Values<'a>,
}

impl<'a> StoredLayer<'a> {
    /// The values of a layer in these entries.
    ///
    /// # Errors
    /// [`JournalError`] where they are not of such a layer, or can't be opened.
    pub fn new(entries: &'a Entries, layer: &Layer) -> Result<StoredLayer<'a>, JournalError> {
        let shape = [&[layer.units], &layer.positions[..]].concat();
        let length: usize = shape.iter().product();
        let bytes = entries.header().bytes;
        let graph = Graph::new(&layer.name, &shape).ok();
        let network = graph.and_then(|graph| Network::new(graph, Vec::new()).ok());
        let Some(network) = network.filter(|_| [4 * length, 8 * length].contains(&bytes)) else {
            let why = "the journals hold values of another layer; run their commands again";
            return Err(JournalError::Incomplete(why.into()));
        };
        let reader = Arc::new(entries.reader()?);
        let values = |from| Values {
            reader: Arc::clone(&reader),
            from,
            length,
        };
        Ok(StoredLayer {
            layer: Layer {
                id: network.graph().input(),
                ..layer.clone()
            },
            network,
            trained: values(0),
            untrained: values(bytes - 4 * length),
        })
    }

    /// A pass over the images through the network looked at, or through the untrained one.
    pub(super) fn pass(&self, trained: bool) -> Pass<'_> {
        Pass {
            network: std::borrow::Cow::Borrowed(&self.network),
            layer: &self.layer,
            inputs: match trained {
                true => &self.trained,
                false => &self.untrained,
            },
        }
    }
}

/// The values of one network.
struct Values<'a> {
    reader: Arc<Reader<'a>>,
    /// Where they start in an entry.
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
        read.map_err(|error| InputError::new(JournalError::unreadable(error).to_string()))?;
        for (place, &value) in out.iter_mut().zip(bytes.as_chunks::<4>().0) {
            *place = f32::from_le_bytes(value);
        }
        Ok(())
    }
}
