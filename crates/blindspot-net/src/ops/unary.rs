//! Functions of one number, applied to each.

/// A function of one number; ONNX's operator of the same name, with its attributes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Unary {
    /// max(0, x); its gradient at 0 is 0.
    Relu,
    /// x where it is at least 0, `alpha` x elsewhere.
    LeakyRelu {
        /// The slope below 0.
        alpha: f64,
    },
    /// x where it is above 0, `alpha` (e^x - 1) elsewhere.
    Elu {
        /// The depth reached below 0.
        alpha: f64,
    },
    /// x cut to [`min`, `max`]; its gradient is 0 outside and at the ends.
    Clip {
        /// The lower end, perhaps -infinity.
        min: f64,
        /// The upper end, perhaps infinity.
        max: f64,
    },
    /// The logistic function, 1 / (1 + e^-x).
    Sigmoid,
    /// `alpha` x + `beta` cut to [0, 1].
    HardSigmoid {
        /// The slope.
        alpha: f64,
        /// The value at 0.
        beta: f64,
    },
    /// The hyperbolic tangent.
    Tanh,
    /// log(1 + e^x).
    Softplus,
    /// The error function.
    Erf,
    /// x times the normal distribution function of x.
    Gelu {
        /// Its approximation by tanh.
        tanh: bool,
    },
    /// e^x.
    Exp,
    /// The natural logarithm.
    Log,
    /// The square root.
    Sqrt,
    /// -x.
    Neg,
    /// |x|; its gradient at 0 is 0.
    Abs,
}
