//! What most programs take: `use blindspot::prelude::*`.

pub use blindspot_data::{ErrorKind, Fit, ImageSet, Resize};
pub use blindspot_net::Network;

pub use crate::certify::{Certificate, Certifier, CertifyError};
pub use crate::goals::OutputGoal;
pub use crate::search::{
    Attack, AttackMethod, Criterion, Example, Iterate, Method, SearchError, Target,
};
pub use crate::transfer::Transfer;
pub use crate::units::Units;
pub use blindspot_bounds::spectrum::{Spectra, Spectrum, SpectrumError};
pub use blindspot_model::InputBox;
pub use blindspot_model::classifier::{Classifier, FnClassifier};
pub use blindspot_model::preprocess::{ChannelOrder, Layout, Preprocess};
pub use blindspot_model::{Answer, Interface, Model, ModelError, ModelOptions, Outputs};
