//! Where the windows of convolutions and pooling stand.

use crate::graph::MAX_VALUES;

/// The windows over the spatial axes of a value [channels, positions...], one or two of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// How long a window is along each axis.
    pub kernel: Vec<usize>,
    /// From one window to the next along each axis.
    pub strides: Vec<usize>,
    /// From one position of a window to the next along each axis.
    pub dilations: Vec<usize>,
    /// Positions added before each axis.
    pub before: Vec<usize>,
    /// Positions added after each axis.
    pub after: Vec<usize>,
}

/// Windows over two axes; where a value has one, the first has length 1.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plane {
    pub(super) input: [usize; 2],
    pub(super) output: [usize; 2],
    pub(super) kernel: [usize; 2],
    pub(super) stride: [usize; 2],
    pub(super) dilation: [usize; 2],
    pub(super) before: [usize; 2],
    pub(super) after: [usize; 2],
}

impl Window {
    /// Windows of a size, one beside the other, without padding.
    pub fn tiles(kernel: &[usize]) -> Window {
        Window {
            strides: kernel.to_vec(),
            ..Window::dense(kernel)
        }
    }

    /// Windows of a size at every position where they fit.
    pub fn dense(kernel: &[usize]) -> Window {
        let axes = kernel.len();
        Window {
            kernel: kernel.to_vec(),
            strides: vec![1; axes],
            dilations: vec![1; axes],
            before: vec![0; axes],
            after: vec![0; axes],
        }
    }

    /// How many windows there are along each spatial axis; with `ceil`, a last one that begins
    /// inside but does not fit whole counts, too.
    ///
    /// # Errors
    /// What does not fit, in words.
    pub fn outputs(&self, positions: &[usize], ceil: bool) -> Result<Vec<usize>, String> {
        let axes = positions.len();
        let lists = [
            &self.kernel,
            &self.strides,
            &self.dilations,
            &self.before,
            &self.after,
        ];
        if !(1..=2).contains(&axes) || lists.iter().any(|list| list.len() != axes) {
            let window = self.kernel.len();
            return Err(format!(
                "windows over 1 or 2 axes are supported; here a window has {window}, the value {axes}"
            ));
        }
        let positive = [&self.kernel, &self.strides, &self.dilations];
        if positive.iter().any(|list| list.contains(&0)) {
            return Err("a kernel size, stride or dilation is 0".to_owned());
        }
        let mut padded_size = 1usize;
        let mut outputs = Vec::with_capacity(axes);
        for axis in 0..axes {
            let window = (self.kernel[axis] - 1).checked_mul(self.dilations[axis]);
            let padded = positions[axis]
                .checked_add(self.before[axis])
                .and_then(|size| size.checked_add(self.after[axis]));
            let (Some(window), Some(padded)) = (window, padded) else {
                return Err("a window or its padding is absurdly large".to_owned());
            };
            padded_size = padded_size.saturating_mul(padded);
            if window >= padded || padded_size > MAX_VALUES {
                return Err(format!(
                    "a window over {} positions does not fit {padded} of them, padding included",
                    window.saturating_add(1)
                ));
            }
            let (room, stride) = (padded - window - 1, self.strides[axis]);
            let mut count = room / stride + 1;
            // A window more, where it begins before the padding at the end.
            if ceil
                && !room.is_multiple_of(stride)
                && count * stride < positions[axis] + self.before[axis]
            {
                count += 1;
            }
            outputs.push(count);
        }
        Ok(outputs)
    }

    /// The same over two axes, for the spatial axes `positions`; checked before by
    /// [`outputs`](Window::outputs).
    pub(super) fn plane(&self, positions: &[usize], ceil: bool) -> Plane {
        let outputs = self
            .outputs(positions, ceil)
            .expect("checked when the graph was built");
        let two = |list: &[usize], none: usize| match *list {
            [one] => [none, one],
            [first, second] => [first, second],
            _ => unreachable!("checked when the graph was built"),
        };
        let (output, stride) = (two(&outputs, 1), two(&self.strides, 1));
        Plane {
            input: two(positions, 1),
            output,
            kernel: two(&self.kernel, 1),
            // Nothing is a step away from the only window, and a kernel's memory grows with the steps.
            stride: [0, 1].map(|axis| if output[axis] == 1 { 1 } else { stride[axis] }),
            dilation: two(&self.dilations, 1),
            before: two(&self.before, 0),
            after: two(&self.after, 0),
        }
    }
}

impl Plane {
    /// How many positions of the input.
    pub(super) fn input_len(&self) -> usize {
        self.input[0] * self.input[1]
    }

    /// How many windows.
    pub(super) fn output_len(&self) -> usize {
        self.output[0] * self.output[1]
    }

    /// How many positions a window has.
    pub(super) fn kernel_len(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// True where every window is one position and each position has one.
    pub(super) fn is_pointwise(&self) -> bool {
        self.kernel == [1, 1] && self.stride == [1, 1] && self.input == self.output
    }

    /// Which outputs along an axis have position `tap` of their window inside the input.
    pub(super) fn inside(&self, axis: usize, tap: usize) -> std::ops::Range<usize> {
        let (stride, before) = (self.stride[axis], self.before[axis]);
        let offset = tap * self.dilation[axis];
        let first = before.saturating_sub(offset).div_ceil(stride);
        // o stride + offset - before < input
        let end = (self.input[axis] + before)
            .saturating_sub(offset)
            .div_ceil(stride);
        let end = end.min(self.output[axis]);
        first.min(end)..end
    }

    /// The input position of output `output` at position `tap` of its window, where it is inside.
    pub(super) fn position(&self, axis: usize, output: usize, tap: usize) -> usize {
        output * self.stride[axis] + tap * self.dilation[axis] - self.before[axis]
    }
}
