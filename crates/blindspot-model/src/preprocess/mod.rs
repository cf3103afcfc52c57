//! What stands between an image and a network that was trained elsewhere: it becomes part of the
//! network, so that box and distances stay those of the image.

mod file;

use std::str::FromStr;

use blindspot_data::ErrorKind;
use blindspot_net::{ExactNetwork, Graph, GraphError, Network, Op, Operand, WeightError, ops};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::file::{Described, Said, read};

/// What a network wants of its input that an image, with channels (red, green, blue), height and
/// width and values in [0, 1], is not. In this order: the channels are put in their order, the
/// values scaled to the range, the mean taken away, divided by the deviation, the axes put in their
/// order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Preprocess {
    /// What the image's 0 and 1 become.
    pub range: [f64; 2],
    /// What is taken away from each channel, in the range's unit and the network's order of
    /// channels: nothing, one number for all, or one a channel.
    pub mean: Vec<f64>,
    /// What each channel is divided by after that, likewise.
    pub std: Vec<f64>,
    /// The order of the channels.
    pub channel_order: ChannelOrder,
    /// The order of the axes.
    pub layout: Layout,
}

/// In which order a network takes colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ChannelOrder {
    /// Red, green, blue: as images have them.
    Rgb,
    /// Blue, green, red: OpenCV's and Caffe's.
    Bgr,
}

/// In which order a network takes an image's axes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Channels, height, width: as images have them; PyTorch's and ONNX's.
    Nchw,
    /// Height, width, channels: TensorFlow's.
    Nhwc,
}

/// Why a network can't take images in the way described.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PreprocessError {
    /// A description that no network can have.
    #[error("{0}")]
    Description(String),
    /// The network's input is another one.
    #[error("the network's input has the shape {}: {why}", shape(input))]
    Input {
        /// Its shape.
        input: Vec<usize>,
        /// What does not fit, and what to do.
        why: String,
    },
    /// The joined network does not fit together.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The joined network's weights are no finite numbers.
    #[error(transparent)]
    Weight(#[from] WeightError),
}

impl PreprocessError {
    /// [`ErrorKind::Model`]: another preprocessing, or another network, helps.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Model
    }
}

fn shape(sizes: &[usize]) -> String {
    let sizes: Vec<String> = sizes.iter().map(usize::to_string).collect();
    sizes.join("x")
}

impl Default for Preprocess {
    /// The network takes images as they are.
    fn default() -> Self {
        Preprocess {
            range: [0.0, 1.0],
            mean: Vec::new(),
            std: Vec::new(),
            channel_order: ChannelOrder::Rgb,
            layout: Layout::Nchw,
        }
    }
}

impl Preprocess {
    /// True where the network takes images as they are.
    pub fn is_identity(&self) -> bool {
        *self == Preprocess::default()
    }

    /// True where an image's values reach the network as they are, in [0, 1], whatever the order of
    /// its channels and axes.
    pub(crate) fn keeps_values(&self) -> bool {
        self.range == [0.0, 1.0] && self.mean.is_empty() && self.std.is_empty()
    }

    /// Channels, height and width of the images for a network with this input; None where the input
    /// is a mere list of values, and any image with as many will do.
    ///
    /// # Errors
    /// [`PreprocessError::Input`] where the input is no image's in the layout described.
    pub fn image_shape(&self, input: &[usize]) -> Result<Option<[usize; 3]>, PreprocessError> {
        let refused = |why: &str| PreprocessError::Input {
            input: input.to_vec(),
            why: why.into(),
        };
        let colours = |channels: usize| channels == 1 || channels == 3;
        match (self.layout, input) {
            (Layout::Nchw, &[a, b, c]) if colours(a) || !colours(c) => Ok(Some([a, b, c])),
            (Layout::Nhwc, &[a, b, c]) if colours(c) || !colours(a) => Ok(Some([c, a, b])),
            (Layout::Nchw, _) if input.len() == 3 => Err(refused(
                "the channels seem to be the last axis; describe the layout as nhwc",
            )),
            (Layout::Nhwc, _) if input.len() == 3 => Err(refused(
                "the channels seem to be the first axis; describe the layout as nchw",
            )),
            (Layout::Nhwc, _) => Err(refused("it has no channels; describe the layout as nchw")),
            (Layout::Nchw, &[height, width]) => Ok(Some([1, height, width])),
            (Layout::Nchw, _) => Ok(None),
        }
    }

    /// The network that takes images in [0, 1] as they are, and does with them what `network` does
    /// with its input.
    ///
    /// # Errors
    /// [`PreprocessError`] where network and description don't fit each other.
    pub fn before(&self, network: Network<f32>) -> Result<Network<f32>, PreprocessError> {
        match self.network(network.input_shape())? {
            None => Ok(network),
            Some(own) => Ok(network.after(own.network().cast())?),
        }
    }

    /// The same with nothing rounded to single precision.
    ///
    /// # Errors
    /// [`PreprocessError`] where network and description don't fit each other.
    pub fn before_exact(&self, exact: ExactNetwork) -> Result<ExactNetwork, PreprocessError> {
        match self.network(exact.network().input_shape())? {
            None => Ok(exact),
            Some(own) => Ok(exact.after(own)?),
        }
    }

    /// What stands before a network with this input; None if nothing does.
    fn network(&self, input: &[usize]) -> Result<Option<ExactNetwork>, PreprocessError> {
        let image = self.image_shape(input)?;
        let [scale, shift] = self.scale_and_shift(input, image)?;
        if self.is_identity() {
            return Ok(None);
        }
        let shape = match image {
            Some(shape) if input.len() == 3 => shape.to_vec(),
            _ => input.to_vec(),
        };
        let mut graph = Graph::new("image", &shape)?;
        let (mut weights, mut magnitudes) = (Vec::new(), Vec::new());
        let mut last = graph.input();
        if self.channel_order == ChannelOrder::Bgr {
            let reverse = Op::Gather(ops::Gather {
                axis: 0,
                positions: vec![2, 1, 0],
            });
            last = graph.node("bgr", reverse, &[Operand::Value(last)], "bgr")?;
        }
        let ones: Vec<usize> = shape.iter().map(|_| 1).collect();
        let of_channels: Vec<usize> = [scale.len()].iter().chain(&ones[1..]).copied().collect();
        for (name, op, numbers, neutral) in [
            ("scale", ops::Binary::Mul, scale, 1.0),
            ("shift", ops::Binary::Add, shift, 0.0),
        ] {
            if numbers.iter().any(|&[value, _]| value != neutral) {
                let weight = graph.weight(&format!("{name}.weight"), &of_channels)?;
                let operands = [Operand::Value(last), Operand::Weight(weight)];
                last = graph.node(name, Op::Binary(op), &operands, name)?;
                weights.push(numbers.iter().map(|&[value, _]| value).collect());
                magnitudes.push(numbers.iter().map(|&[_, size]| size).collect());
            }
        }
        if self.layout == Layout::Nhwc {
            let to_last = Op::Transpose(ops::Transpose {
                permutation: vec![1, 2, 0],
            });
            graph.node("nhwc", to_last, &[Operand::Value(last)], "nhwc")?;
        }
        let network = Network::new(graph, weights)?;
        Ok(Some(ExactNetwork::new(network, magnitudes)?))
    }

    /// What each channel, or each value, is multiplied by and what is added then: (low + (high -
    /// low) x - mean) / std. Each number has its magnitude beside it.
    fn scale_and_shift(
        &self,
        input: &[usize],
        image: Option<[usize; 3]>,
    ) -> Result<[Vec<[f64; 2]>; 2], PreprocessError> {
        let refused = |why: String| Err(PreprocessError::Description(why));
        let [low, high] = self.range;
        if !(low < high && low.is_finite() && high.is_finite()) {
            return refused(format!(
                "invalid range [{low}, {high}]: give a lower and a higher finite number"
            ));
        }
        let channels = image.map_or(1, |[channels, ..]| channels);
        if self.channel_order == ChannelOrder::Bgr && channels != 3 {
            return Err(PreprocessError::Input {
                input: input.to_vec(),
                why: "only 3 channels can be in the order bgr; describe the order as rgb".into(),
            });
        }
        for (what, values) in [("mean", &self.mean), ("std", &self.std)] {
            if values.len() > 1 && values.len() != channels {
                return Err(PreprocessError::Input {
                    input: input.to_vec(),
                    why: format!(
                        "the {what} has {} numbers for {channels} channel(s); give one for all, or one \
                         for each",
                        values.len()
                    ),
                });
            }
            if values.iter().any(|value| !value.is_finite()) {
                return refused(format!("the {what} takes finite numbers"));
            }
        }
        if let Some(std) = self.std.iter().find(|&&std| std <= 0.0) {
            return refused(format!(
                "a std of {std}: values are divided by it; give numbers above 0"
            ));
        }
        let of = |values: &[f64], channel: usize, default: f64| match values {
            [] => default,
            [one] => *one,
            many => many[channel],
        };
        let channel = |channel| {
            let (mean, std) = (of(&self.mean, channel, 0.0), of(&self.std, channel, 1.0));
            // Computed, and so with a magnitude above the absolute value.
            let sum = |a: f64, b: f64| [(a + b) / std, (a.abs() + b.abs()) / std * (1.0 + 1e-6)];
            (sum(high, -low), sum(low, -mean))
        };
        let (scale, shift) = (0..channels).map(channel).unzip();
        Ok([scale, shift])
    }
}

impl FromStr for ChannelOrder {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "rgb" => Ok(ChannelOrder::Rgb),
            "bgr" => Ok(ChannelOrder::Bgr),
            _ => Err("write rgb or bgr".into()),
        }
    }
}

impl FromStr for Layout {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "nchw" => Ok(Layout::Nchw),
            "nhwc" => Ok(Layout::Nhwc),
            _ => Err("write nchw or nhwc".into()),
        }
    }
}

/// Whether so many right answers of `images` look like guessing among `classes`: no more than a
/// guesser gets in all but one of 700 cases (3 standard deviations), and fewer than a network that is right half of the
/// time would get in one of 100.
pub fn near_chance(right: usize, images: usize, classes: usize) -> bool {
    let (right, images, chance) = (right as f64, images as f64, 1.0 / classes.max(2) as f64);
    let most = images * chance + 3.0 * (images * chance * (1.0 - chance)).sqrt();
    // 2.33 standard deviations of a coin below its mean; 7 misses of 7 are the least that tell.
    let fair = images / 2.0 - 2.33 * images.sqrt() / 2.0;
    right <= most && (right <= fair || right == 0.0 && images >= 7.0)
}

#[cfg(test)]
mod tests {
    use blindspot_net::Evaluator;

    use super::*;

    #[test]
    fn guessing_is_told_from_knowing() {
        assert!(near_chance(0, 64, 1000) && near_chance(10, 100, 10) && near_chance(0, 7, 10));
        assert!(!near_chance(0, 1, 1000), "one image tells nothing");
        assert!(!near_chance(60, 64, 1000) && !near_chance(45, 100, 10));
        assert!(
            !near_chance(50, 100, 2),
            "a coin can't be told from half right"
        );
    }

    /// A network that gives its input back.
    fn echo(shape: &[usize]) -> Network<f32> {
        let mut graph = Graph::new("x", shape).unwrap();
        let flat = Op::Reshape(ops::Reshape {
            shape: vec![shape.iter().product()],
        });
        graph
            .node("flat", flat, &[Operand::Value(graph.input())], "y")
            .unwrap();
        Network::new(graph, Vec::new()).unwrap()
    }

    #[test]
    fn every_step_is_what_is_written_of_it() {
        let preprocess = Preprocess {
            range: [0.0, 255.0],
            mean: vec![104.0, 117.0, 123.0],
            std: vec![1.0, 2.0, 4.0],
            channel_order: ChannelOrder::Bgr,
            layout: Layout::Nhwc,
        };
        let (height, width) = (2, 3);
        let network = preprocess.before(echo(&[height, width, 3])).unwrap();
        assert_eq!(network.input_shape(), [3, height, width]);
        let image: Vec<f32> = (0..18).map(|i| i as f32 / 17.0).collect();
        let mut evaluator = Evaluator::new(&network);
        evaluator.input(1).copy_from_slice(&image);
        let seen = evaluator.forward().to_vec();
        for row in 0..height {
            for column in 0..width {
                for channel in 0..3 {
                    let colour = 2 - channel;
                    let value = f64::from(image[colour * 6 + row * width + column]);
                    let expected =
                        (value * 255.0 - preprocess.mean[channel]) / preprocess.std[channel];
                    let found = f64::from(seen[(row * width + column) * 3 + channel]);
                    assert!((found - expected).abs() < 1e-4, "{found} {expected}");
                }
            }
        }
    }

    #[test]
    fn nothing_is_put_before_a_network_that_takes_images_as_they_are() {
        let network = echo(&[3, 4, 4]);
        assert_eq!(
            Preprocess::default().before(network.clone()).unwrap(),
            network
        );
    }

    #[test]
    fn a_list_of_values_is_scaled_as_a_whole() {
        let preprocess = Preprocess {
            mean: vec![0.5],
            std: vec![0.25],
            ..Preprocess::default()
        };
        let network = preprocess.before(echo(&[4])).unwrap();
        let mut evaluator = Evaluator::new(&network);
        evaluator.input(1).copy_from_slice(&[0.0, 0.25, 0.5, 1.0]);
        assert_eq!(evaluator.forward(), [-2.0, -1.0, 0.0, 2.0]);
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let says = |preprocess: Preprocess, input: &[usize], what: &str| {
            let error = preprocess.before(echo(input)).unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        };
        let default = Preprocess::default;
        says(default(), &[8, 8, 3], "layout as nhwc");
        says(
            Preprocess {
                layout: Layout::Nhwc,
                ..default()
            },
            &[3, 8, 8],
            "layout as nchw",
        );
        says(
            Preprocess {
                layout: Layout::Nhwc,
                ..default()
            },
            &[784],
            "no channels",
        );
        says(
            Preprocess {
                mean: vec![0.1, 0.2],
                ..default()
            },
            &[3, 8, 8],
            "2 numbers for 3",
        );
        says(
            Preprocess {
                std: vec![0.0],
                ..default()
            },
            &[3, 8, 8],
            "above 0",
        );
        says(
            Preprocess {
                range: [1.0, 1.0],
                ..default()
            },
            &[3, 8, 8],
            "invalid range",
        );
        let bgr = ChannelOrder::Bgr;
        says(
            Preprocess {
                channel_order: bgr,
                ..default()
            },
            &[1, 8, 8],
            "3 channels",
        );
    }
}
