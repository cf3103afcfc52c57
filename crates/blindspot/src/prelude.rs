//! What most programs take: `use blindspot::prelude::*`.

pub use blindspot_data::{ErrorKind, Fit, ImageSet, Resize};
pub use blindspot_net::Network;

pub use crate::certify::{Certificate, Certifier, CertifyError};
pub use crate::classifier::{Classifier, FnClassifier};
pub use crate::model::{Answer, Model, ModelError, ModelOptions};
pub use crate::preprocess::{ChannelOrder, Layout, Preprocess};
pub use crate::search::{
    Attack, AttackMethod, Criterion, Example, InputBox, Iterate, Method, SearchError, Target,
};
pub use crate::spectrum::{Spectra, Spectrum, SpectrumError};
pub use crate::transfer::Transfer;
pub use crate::units::Units;
