//! An axis: where its values stand, its ticks at round numbers, and what it shows.

/// An axis of a drawing.
#[derive(Debug, Clone)]
pub(crate) struct Axis {
    /// What stands beside it, with its unit; nothing is written where it is empty.
    pub(crate) name: String,
    /// The values at its ends; of a logarithmic one their powers of ten.
    pub(crate) ends: [f64; 2],
    logarithmic: bool,
    /// Values, and the words beside them.
    pub(crate) ticks: Vec<(f64, String)>,
}

impl Axis {
    /// From 0 to a round number, `largest` or a little beyond it.
    pub(crate) fn up_to(largest: f64, name: &str) -> Axis {
        Axis::of_ticks(ticks([0.0, largest], 0.0), name)
    }

    /// From a round number to another, with both values between them.
    pub(crate) fn between(ends: [f64; 2], name: &str) -> Axis {
        Axis::of_ticks(ticks(ends, 0.0), name)
    }

    /// From 0 to a round whole number, `largest` or a little beyond it.
    pub(crate) fn counts(largest: usize, name: &str) -> Axis {
        Axis::of_ticks(ticks([0.0, largest as f64], 1.0), name)
    }

    /// From 0 to a round percentage: that of the share `largest`, or a little beyond it.
    pub(crate) fn percent_up_to(largest: f64, name: &str) -> Axis {
        let percent = Axis::up_to(100.0 * largest, name);
        let share = |(tick, words)| (tick / 100.0, format!("{words}%"));
        Axis {
            ends: percent.ends.map(|end| end / 100.0),
            ticks: percent.ticks.into_iter().map(share).collect(),
            ..percent
        }
    }

    /// From 0 to 100%.
    pub(crate) fn shares(name: &str) -> Axis {
        Axis::percent_up_to(1.0, name)
    }

    /// From 0 to a right angle.
    pub(crate) fn degrees(name: &str) -> Axis {
        let tick = |step: u32| (f64::from(15 * step), format!("{}°", 15 * step));
        Axis {
            name: name.to_owned(),
            ends: [0.0, 90.0],
            logarithmic: false,
            ticks: (0..=6).map(tick).collect(),
        }
    }

    /// Logarithmic, over positive values; six powers of ten below the largest at most.
    pub(crate) fn powers(smallest: f64, largest: f64, name: &str) -> Axis {
        let high = largest.log10().ceil();
        let low = smallest.log10().floor().max(high - 7.0).min(high - 1.0);
        let tick = |power: i32| (10f64.powi(power), format!("1e{power}"));
        Axis {
            name: name.to_owned(),
            ends: [low, high],
            logarithmic: true,
            ticks: (low as i32..=high as i32).map(tick).collect(),
        }
    }

    /// From 0 to 1 without ticks.
    pub(crate) fn bare(name: &str) -> Axis {
        Axis {
            name: name.to_owned(),
            ends: [0.0, 1.0],
            logarithmic: false,
            ticks: Vec::new(),
        }
    }

    fn of_ticks(ticks: Vec<f64>, name: &str) -> Axis {
        let (first, step) = (ticks[0], ticks[1] - ticks[0]);
        Axis {
            name: name.to_owned(),
            ends: [first, *ticks.last().expect("an axis has ticks")],
            logarithmic: false,
            ticks: ticks
                .into_iter()
                .map(|tick| (tick, shown(tick, step)))
                .collect(),
        }
    }

    /// With the ticks at its ends alone, for a low drawing.
    pub(crate) fn sparse(mut self) -> Axis {
        let last = self.ticks.len().saturating_sub(1);
        let mut place = 0..;
        self.ticks
            .retain(|_| place.next().is_some_and(|i| i == 0 || i == last));
        self
    }

    /// Without words, above another drawing with the same axis.
    pub(crate) fn wordless(mut self) -> Axis {
        self.name.clear();
        self.ticks.iter_mut().for_each(|(_, words)| words.clear());
        self
    }

    /// Where a value stands, from 0 to 1.
    pub(crate) fn place(&self, value: f64) -> f64 {
        let value = if self.logarithmic {
            value.log10()
        } else {
            value
        };
        let [low, high] = self.ends;
        ((value - low) / (high - low)).clamp(0.0, 1.0)
    }
}

/// Round numbers, at least `least` apart, from one not above `low` to one not below `high`: two to eight of them. 0 and 1
/// where there is nothing between the ends.
fn ticks([low, high]: [f64; 2], least: f64) -> Vec<f64> {
    let span = high - low;
    if !(span.is_finite() && span > 0.0) {
        return vec![0.0, 1.0];
    }
    let rough = span / 6.0;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .map(|factor| factor * power)
        .into_iter()
        .find(|&step| step >= rough * (1.0 - 1e-9))
        .unwrap_or(10.0 * power)
        .max(least);
    let (first, last) = (
        (low / step + 1e-9).floor() as i64,
        (high / step - 1e-9).ceil() as i64,
    );
    (first..=last).map(|i| i as f64 * step).collect()
}

/// A tick's number with as many digits as the step asks for.
fn shown(tick: f64, step: f64) -> String {
    if (1e-4..1e5).contains(&step) {
        let digits = (-step.log10()).ceil().max(0.0) as usize;
        format!("{tick:.digits$}")
    } else {
        format!("{tick:.0e}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_reach_the_largest_value() {
        for largest in [1e-7, 0.03, 0.9999, 1.0, 1.3, 2.0, 6.1, 47.0, 1e9] {
            let ticks = ticks([0.0, largest], 0.0);
            let step = ticks[1];
            assert!((4..=8).contains(&ticks.len()), "{largest}: {ticks:?}");
            assert!(
                *ticks.last().unwrap() >= largest * (1.0 - 1e-9),
                "{largest}"
            );
            let digit = step / 10f64.powf(step.log10().floor());
            assert!(
                [1.0, 2.0, 5.0, 10.0]
                    .iter()
                    .any(|d| (d - digit).abs() < 1e-6),
                "{step}"
            );
        }
        for nothing in [0.0, f64::NAN, f64::INFINITY] {
            assert_eq!(ticks([0.0, nothing], 0.0), [0.0, 1.0]);
        }
    }

    #[test]
    fn an_axis_that_does_not_begin_at_0_begins_at_a_round_number() {
        let axis = Axis::between([0.213, 0.347], "");
        let words: Vec<&str> = axis.ticks.iter().map(|(_, words)| &**words).collect();
        assert_eq!(words, ["0.20", "0.25", "0.30", "0.35"]);
        assert_eq!(Axis::between([-1.3, 0.4], "").ends, [-1.5, 0.5]);
    }

    #[test]
    fn counts_are_whole_and_shares_in_percent() {
        let words = |axis: &Axis| -> Vec<String> {
            axis.ticks.iter().map(|(_, words)| words.clone()).collect()
        };
        assert_eq!(words(&Axis::counts(2, "")), ["0", "1", "2"]);
        assert_eq!(words(&Axis::counts(0, "")), ["0", "1"]);
        let shares = Axis::percent_up_to(0.23, "");
        assert_eq!(words(&shares), ["0%", "5%", "10%", "15%", "20%", "25%"]);
        assert_eq!(shares.ends, [0.0, 0.25]);
        assert_eq!(words(&shares.sparse()), ["0%", "25%"]);
    }

    #[test]
    fn a_logarithmic_axis_has_whole_powers() {
        let axis = Axis::powers(0.02, 30.0, "");
        let words: Vec<&str> = axis.ticks.iter().map(|(_, words)| &**words).collect();
        assert_eq!(words, ["1e-2", "1e-1", "1e0", "1e1", "1e2"]);
        assert!((axis.place(1.0) - 0.5).abs() < 1e-12);
        assert_eq!(Axis::powers(1e-30, 1.0, "").ends, [-7.0, 0.0]);
    }
}
