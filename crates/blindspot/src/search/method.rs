//! The methods that come with the tool, by name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::norms::Norm;

/// How the smallest perturbation is searched for.
///
/// A baseline runs as published; [`Attack::custom`](super::Attack::custom) runs one with other
/// [options](super::attacks).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
#[non_exhaustive]
pub enum Method {
    /// The tool's own search: sequential quadratic programming on the decision boundary in L2, sequential
    /// linear programming in Linf and L1, a choice of inputs in L0. Where it finds nothing,
    /// [`Method::Lbfgs`] takes over.
    Sqp,
    /// The paper's search (section 4.1): box-constrained L-BFGS on a penalised loss.
    Lbfgs,
    /// Baseline: the fast gradient sign method (Goodfellow et al. 2015) with the smallest step
    /// that succeeds.
    Fgsm,
    /// Baseline: projected gradient descent (Madry et al. 2018) in the smallest L2 ball that
    /// succeeds.
    Pgd,
    /// Baseline: DeepFool (Moosavi-Dezfooli et al. 2016).
    DeepFool,
    /// Baseline: the L2 attack of Carlini and Wagner (2017), 9 values of c, 1,000 steps each.
    CarliniWagner,
    /// Baseline: decoupled direction and norm (Rony et al. 2019), 100 steps.
    Ddn,
}

impl Method {
    /// Every method with its name: first the tool's own, then the paper's, then the baselines.
    pub const NAMES: [(Method, &'static str); 7] = [
        (Method::Sqp, "sqp"),
        (Method::Lbfgs, "lbfgs"),
        (Method::Fgsm, "fgsm"),
        (Method::Pgd, "pgd"),
        (Method::DeepFool, "deepfool"),
        (Method::CarliniWagner, "cw"),
        (Method::Ddn, "ddn"),
    ];

    /// The norms that the method can make small.
    pub fn norms(self) -> &'static [Norm] {
        match self {
            Method::Sqp => &[Norm::L2, Norm::Linf, Norm::L1, Norm::L0],
            _ => &[Norm::L2],
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = Self::NAMES.iter().find(|(method, _)| method == self);
        f.write_str(named.expect("every method has a name").1)
    }
}

impl FromStr for Method {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::NAMES.iter().find(|(_, name)| *name == text);
        known.map(|(method, _)| *method).ok_or_else(|| {
            let names = Self::NAMES.map(|(_, name)| name).join(", ");
            format!("unknown method `{text}`; use one of {names}")
        })
    }
}

impl From<Method> for String {
    fn from(method: Method) -> String {
        method.to_string()
    }
}

impl TryFrom<String> for Method {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}
