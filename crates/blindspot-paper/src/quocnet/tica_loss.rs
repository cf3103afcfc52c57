//! The loss of reconstruction TICA, as numbers that ranks add up.

/// The two parts of the loss, summed over images, and what to compare them with.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct TicaLoss {
    /// Squared error of the reconstructions.
    pub(crate) error: f64,
    /// Sum of the pooled responses, without lambda.
    pub(crate) sparsity: f64,
    /// Sum of squares of the images themselves, to compare the error with.
    pub(crate) energy: f64,
}

impl TicaLoss {
    /// Adds the loss of other images.
    pub(crate) fn add(&mut self, other: TicaLoss) {
        self.error += other.error;
        self.sparsity += other.sparsity;
        self.energy += other.energy;
    }

    /// Error and pooled responses as parts of the images' sum of squares.
    pub(super) fn ratio(&self) -> (f64, f64) {
        let energy = self.energy.max(f64::MIN_POSITIVE);
        (self.error / energy, self.sparsity / energy)
    }

    /// Whether error and pooled responses are finite.
    pub(super) fn is_finite(&self) -> bool {
        (self.error + self.sparsity).is_finite()
    }

    /// The loss as three numbers, to be sent.
    pub(super) fn numbers(&self) -> [f64; 3] {
        [self.error, self.sparsity, self.energy]
    }

    /// The loss that [`numbers`](TicaLoss::numbers) has made three numbers of.
    pub(super) fn of([error, sparsity, energy]: [f64; 3]) -> TicaLoss {
        TicaLoss {
            error,
            sparsity,
            energy,
        }
    }
}
