//! The paper's own figures, to hold results against.
//!
//! Source: C. Szegedy, W. Zaremba, I. Sutskever, J. Bruna, D. Erhan, I. Goodfellow, R. Fergus,
//! "Intriguing properties of neural networks", section 4.2. Errors are fractions in [0, 1]
//! (the paper prints percentages); distortions are root mean squares of the change of a pixel,
//! pixels in [0, 1]. Models and rows have the names that [`crate::results`] uses.

/// One row of table 1: a model trained on MNIST, and the distortion that fools it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Table1Entry {
    /// The model's name in the results.
    pub model: &'static str,
    /// What the model is.
    pub description: &'static str,
    /// Weight decay of each layer.
    pub decay: &'static [f64],
    /// Error on the 60,000 training images.
    pub train_error: f64,
    /// Error on the 10,000 test images.
    pub test_error: f64,
    /// Average minimum distortion that brings the accuracy on the training set to 0.
    pub distortion: f64,
}

/// Errors of the columns' models on images changed as the row says (tables 2 and 4).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TransferEntries {
    /// What each row's images are: a model's examples, or `noise` and its standard deviation.
    pub rows: &'static [&'static str],
    /// The columns' models.
    pub columns: &'static [&'static str],
    /// `error[row][column]`.
    pub error: &'static [&'static [f64]],
    /// The average distortion that the paper gives for each row.
    pub distortion: &'static [f64],
}

impl TransferEntries {
    /// The paper's error of the model `column` on the images of `row`; `None` where the paper has
    /// no such row or column.
    pub fn error(&self, row: &str, column: &str) -> Option<f64> {
        let row = self.rows.iter().position(|name| *name == row)?;
        let column = self.columns.iter().position(|name| *name == column)?;
        Some(self.error[row][column])
    }

    /// The paper's average distortion of the images of `row`; `None` where it has no such row.
    pub fn distortion(&self, row: &str) -> Option<f64> {
        let row = self.rows.iter().position(|name| *name == row)?;
        Some(self.distortion[row])
    }
}

/// One row of table 3: a model trained on one half of the training set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Table3Entry {
    /// The model's name in the results.
    pub model: &'static str,
    /// Its layers, and the half that it was trained on.
    pub description: &'static str,
    /// Error on P1, the first half of the training set.
    pub error_p1: f64,
    /// Error on P2, the other half.
    pub error_p2: f64,
    /// Error on the 10,000 test images.
    pub test_error: f64,
    /// Average minimum distortion.
    pub distortion: f64,
}

/// One panel of figure 7.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figure7Entry {
    /// `a`, `b` or `c`.
    pub panel: &'static str,
    /// Root mean square of the change of a pixel.
    pub distortion: f64,
    /// Fraction of the changed images that are still classified correctly.
    pub accuracy: f64,
}

/// Figure 5: the average distortion of the 64 examples for AlexNet.
pub const FIGURE5_DISTORTION: f64 = 0.006_508;

/// Table 1: "Tests of the generalization of adversarial instances on MNIST".
pub const TABLE1: [Table1Entry; 6] = [
    Table1Entry {
        model: "softmax1",
        description: "linear softmax, FC10(1e-4)",
        decay: &[1e-4],
        train_error: 0.067,
        test_error: 0.074,
        distortion: 0.062,
    },
    Table1Entry {
        model: "softmax2",
        description: "linear softmax, FC10(1e-2)",
        decay: &[1e-2],
        train_error: 0.1,
        test_error: 0.094,
        distortion: 0.1,
    },
    Table1Entry {
        model: "softmax3",
        description: "linear softmax, FC10(1)",
        decay: &[1.0],
        train_error: 0.212,
        test_error: 0.2,
        distortion: 0.14,
    },
    Table1Entry {
        model: "FC100-100-10",
        description: "two sigmoid layers of 100",
        decay: &[1e-5, 1e-5, 1e-6],
        train_error: 0.0,
        test_error: 0.0164,
        distortion: 0.058,
    },
    Table1Entry {
        model: "FC200-200-10",
        description: "two sigmoid layers of 200",
        decay: &[1e-5, 1e-5, 1e-6],
        train_error: 0.0,
        test_error: 0.0154,
        distortion: 0.065,
    },
    Table1Entry {
        model: "AE400-10",
        description: "sparse autoencoder of 400, softmax on top",
        decay: &[1e-6],
        train_error: 0.0057,
        test_error: 0.019,
        distortion: 0.086,
    },
];

/// Table 2: "Cross-model generalization of adversarial examples", made of the training set.
pub const TABLE2: TransferEntries = TransferEntries {
    rows: &[
        "softmax1",
        "softmax2",
        "softmax3",
        "FC100-100-10",
        "FC200-200-10",
        "AE400-10",
        "noise 0.1",
        "noise 0.3",
    ],
    columns: &[
        "softmax1",
        "softmax2",
        "softmax3",
        "FC100-100-10",
        "FC200-200-10",
        "AE400-10",
    ],
    error: &[
        &[1.0, 0.117, 0.227, 0.02, 0.039, 0.027],
        &[0.871, 1.0, 0.352, 0.359, 0.273, 0.098],
        &[0.719, 0.762, 1.0, 0.481, 0.47, 0.344],
        &[0.289, 0.137, 0.211, 1.0, 0.066, 0.02],
        &[0.382, 0.14, 0.238, 0.203, 1.0, 0.027],
        &[0.234, 0.16, 0.248, 0.094, 0.066, 1.0],
        &[0.05, 0.101, 0.183, 0.0, 0.0, 0.008],
        &[0.156, 0.113, 0.227, 0.05, 0.043, 0.031],
    ],
    distortion: &[0.062, 0.1, 0.14, 0.058, 0.065, 0.086, 0.1, 0.3],
};

/// Table 3: "Models trained to study cross-training-set generalization". P1 and P2 are the two
/// halves, 30,000 images each, of the training set.
pub const TABLE3: [Table3Entry; 3] = [
    Table3Entry {
        model: "M1",
        description: "FC100-100-10 trained on P1",
        error_p1: 0.0,
        error_p2: 0.024,
        test_error: 0.02,
        distortion: 0.062,
    },
    Table3Entry {
        model: "M2",
        description: "FC123-456-10 trained on P1",
        error_p1: 0.0,
        error_p2: 0.025,
        test_error: 0.021,
        distortion: 0.059,
    },
    Table3Entry {
        model: "M3",
        description: "FC100-100-10 trained on P2",
        error_p1: 0.023,
        error_p2: 0.0,
        test_error: 0.021,
        distortion: 0.058,
    },
];

/// Table 4: "Cross-training-set generalization error rate", made of the test set. The rows
/// `... x0.1` are the same examples with the change scaled to a standard deviation of 0.1.
pub const TABLE4: TransferEntries = TransferEntries {
    rows: &[
        "M1",
        "M2",
        "M3",
        "noise 0.06",
        "M1 x0.1",
        "M2 x0.1",
        "M3 x0.1",
        "noise 0.1",
    ],
    columns: &["M1", "M2", "M3"],
    error: &[
        &[1.0, 0.262, 0.059],
        &[0.0625, 1.0, 0.051],
        &[0.082, 0.082, 1.0],
        &[0.022, 0.026, 0.024],
        &[1.0, 0.98, 0.43],
        &[0.96, 1.0, 0.22],
        &[0.27, 0.5, 1.0],
        &[0.026, 0.028, 0.027],
    ],
    distortion: &[0.062, 0.059, 0.058, 0.06, 0.1, 0.1, 0.1, 0.1],
};

/// Figure 7: adversarial examples for a linear classifier (a) and for FC200-200-10 (b), which are
/// never classified correctly, beside Gaussian noise (c), which is in half of the cases.
pub const FIGURE7: [Figure7Entry; 3] = [
    Figure7Entry {
        panel: "a",
        distortion: 0.06,
        accuracy: 0.0,
    },
    Figure7Entry {
        panel: "b",
        distortion: 0.063,
        accuracy: 0.0,
    },
    Figure7Entry {
        panel: "c",
        distortion: 1.0,
        accuracy: 0.51,
    },
];

/// The paper's test error of FC100-100-10 trained in one of the ways of
/// [`Results::hardening`](crate::results::Results::hardening), in words, where it has one.
pub fn hardening(way: &str) -> Option<&'static str> {
    match way {
        "b" => Some("6%"),
        "c" => Some("about 3%"),
        "f" => Some("below 2%"),
        _ => None,
    }
}

/// One row of table 5: a layer of the trained AlexNet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Table5Entry {
    /// The paper's name of the layer.
    pub layer: &'static str,
    /// Inputs (channels), the kernel of a convolution, outputs (features).
    pub size: &'static [usize],
    /// The stride of a convolution.
    pub stride: Option<usize>,
    /// The lower frame bound.
    pub lower: f64,
    /// The upper one.
    pub upper: f64,
}

/// Table 5: "Frame bounds of each rectified layer of the network from `[9]`", AlexNet. Three of its
/// figures are hard to read in the paper: both of the fourth convolution, the lower of the second
/// fully connected layer.
pub const TABLE5: [Table5Entry; 8] = {
    const fn entry(
        layer: &'static str,
        size: &'static [usize],
        stride: Option<usize>,
        lower: f64,
        upper: f64,
    ) -> Table5Entry {
        Table5Entry {
            layer,
            size,
            stride,
            lower,
            upper,
        }
    }
    [
        entry("Conv. 1", &[3, 11, 11, 96], Some(4), 0.1, 20.0),
        entry("Conv. 2", &[96, 5, 5, 256], Some(1), 0.06, 10.0),
        entry("Conv. 3", &[256, 3, 3, 384], Some(1), 0.01, 7.0),
        entry("Conv. 4", &[384, 3, 3, 384], Some(1), 5e-5, 7.5),
        entry("Conv. 5", &[384, 3, 3, 256], Some(1), 0.03, 11.0),
        entry("FC. 1", &[9216, 4096], None, 0.09, 3.12),
        entry("FC. 2", &[4096, 4096], None, 1e-4, 4.0),
        entry("FC. 3", &[4096, 1000], None, 0.25, 4.0),
    ]
};

/// The row of table 5 for a layer whose weight has this shape: `[F, C, kernel...]` of a
/// convolution, inputs and outputs of a fully connected layer.
pub fn table5(shape: &[usize]) -> Option<&'static Table5Entry> {
    TABLE5.iter().find(|entry| match *shape {
        [f, c, h, w] => *entry.size == [c, h, w, f],
        _ => shape == entry.size,
    })
}

/// The row of table 1 for the model named `model`, where the paper has it.
pub fn table1(model: &str) -> Option<&'static Table1Entry> {
    TABLE1.iter().find(|entry| entry.model == model)
}

/// The paper's figures for the panel of figure 7 named `panel`, where it has them.
pub fn figure7(panel: &str) -> Option<&'static Figure7Entry> {
    FIGURE7.iter().find(|entry| entry.panel == panel)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_has_as_many_figures_as_rows_and_columns() {
        for table in [TABLE2, TABLE4] {
            assert_eq!(table.error.len(), table.rows.len());
            assert_eq!(table.distortion.len(), table.rows.len());
            for row in table.error {
                assert_eq!(row.len(), table.columns.len());
                assert!(row.iter().all(|error| (0.0..=1.0).contains(error)));
            }
        }
    }

    #[test]
    fn examples_always_fool_the_model_they_were_made_for() {
        for table in [TABLE2, TABLE4] {
            for model in table.columns {
                assert_eq!(table.error(model, model), Some(1.0));
            }
        }
    }

    #[test]
    fn tables_1_and_2_agree_on_models_and_distortions() {
        assert_eq!(TABLE1.map(|entry| entry.model), TABLE2.columns);
        for entry in TABLE1 {
            assert_eq!(TABLE2.distortion(entry.model), Some(entry.distortion));
        }
        for entry in TABLE3 {
            assert_eq!(TABLE4.distortion(entry.model), Some(entry.distortion));
        }
    }

    #[test]
    fn what_the_paper_does_not_have_is_none() {
        assert_eq!(TABLE2.error("noise 0.2", "softmax1"), None);
        assert_eq!(TABLE2.error("softmax1", "softmax9"), None);
        assert_eq!(TABLE2.distortion("noise 0.2"), None);
        assert!(table1("softmax9").is_none());
        assert!(figure7("d").is_none());
    }
}
