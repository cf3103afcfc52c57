//! Linear functions of inputs and outputs.

/// A linear function of inputs and outputs.
#[derive(Default)]
pub(super) struct Linear {
    /// Variables with their factors, in any order.
    pub(super) factors: Vec<(Variable, f64)>,
    pub(super) constant: f64,
}

/// An input or output, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Variable {
    Input(usize),
    Output(usize),
}

impl Linear {
    pub(super) fn scaled(mut self, factor: f64) -> Linear {
        self.factors.iter_mut().for_each(|(_, f)| *f *= factor);
        self.constant *= factor;
        self
    }

    pub(super) fn plus(mut self, other: Linear) -> Linear {
        self.factors.extend(other.factors);
        self.constant += other.constant;
        self
    }

    /// Each variable once, those without a factor left out.
    pub(super) fn collected(mut self) -> Linear {
        self.factors.sort_by_key(|(variable, _)| *variable);
        self.factors.dedup_by(|(variable, factor), (kept, sum)| {
            let same = variable == kept;
            if same {
                *sum += *factor;
            }
            same
        });
        self.factors.retain(|(_, factor)| *factor != 0.0);
        self
    }

    pub(super) fn is_finite(&self) -> bool {
        self.constant.is_finite() && self.factors.iter().all(|(_, factor)| factor.is_finite())
    }
}

/// The input or output that a word names.
pub(super) fn variable(word: &str) -> Option<Variable> {
    let (letter, index) = word.split_once('_')?;
    let is_index = !index.is_empty() && index.bytes().all(|byte| byte.is_ascii_digit());
    let index = index.parse().ok().filter(|_| is_index)?;
    match letter {
        "X" => Some(Variable::Input(index)),
        "Y" => Some(Variable::Output(index)),
        _ => None,
    }
}
