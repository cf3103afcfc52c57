//! Small networks around a model.

use std::sync::Arc;

use blindspot_net::{ExactNetwork, GraphError, Network};

use super::CertifyError;

/// Small networks at the ends of a model.
#[derive(Debug, Default)]
pub struct Ends {
    /// What makes the model's input of another one of the same shape.
    pub before: Option<Network<f64>>,
    /// What makes numbers of the model's own outputs, of which the largest is the answer.
    pub behind: Option<Network<f64>>,
}

impl Ends {
    /// The whole of a model's network and these.
    ///
    /// # Errors
    /// [`CertifyError::Model`] if they don't fit each other.
    pub(super) fn around(
        self,
        network: Arc<ExactNetwork>,
    ) -> Result<Arc<ExactNetwork>, CertifyError> {
        let unfit = |error: GraphError| CertifyError::Model(error.to_string());
        let mut whole = network;
        if let Some(before) = self.before {
            let model = Arc::unwrap_or_clone(whole);
            whole = Arc::new(model.after(before.into()).map_err(unfit)?);
        }
        if let Some(behind) = self.behind {
            let model = Arc::unwrap_or_clone(whole);
            whole = Arc::new(ExactNetwork::from(behind).after(model).map_err(unfit)?);
        }
        Ok(whole)
    }
}
