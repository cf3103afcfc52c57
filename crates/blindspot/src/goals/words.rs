//! A goal in words, as the command takes it and records keep it.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use super::{Formula, OutputGoal, Template};

/// What a word that is no goal is answered.
const GOALS: &str = "use flips, flips:LABEL, labels:A,B,... or labels:none for models whose outputs are labels; moves:D, \
                     rises:D, falls:D or enters:LOW..HIGH for quantities, with :OUTPUT after it for another than the \
                     first; moves:D, turns:COSINE, near:D:IMAGE or aligns:COSINE:IMAGE for embeddings; margin:FILE.onnx \
                     for a formula of your own";

impl fmt::Display for OutputGoal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |output: &usize| match output {
            0 => String::new(),
            output => format!(":{output}"),
        };
        match self {
            OutputGoal::AnyFlip => f.write_str("flips"),
            OutputGoal::Flip(label) => write!(f, "flips:{label}"),
            OutputGoal::Labels(labels) if labels.is_empty() => f.write_str("labels:none"),
            OutputGoal::Labels(labels) => {
                let labels: Vec<String> = labels.iter().map(usize::to_string).collect();
                write!(f, "labels:{}", labels.join(","))
            }
            OutputGoal::Moves { by, output: None } => write!(f, "moves:{by}"),
            OutputGoal::Moves {
                by,
                output: Some(output),
            } => write!(f, "moves:{by}:{output}"),
            OutputGoal::Rises { by, output } => write!(f, "rises:{by}{}", of(output)),
            OutputGoal::Falls { by, output } => write!(f, "falls:{by}{}", of(output)),
            OutputGoal::Enters { low, high, output } => {
                let end = |end: &f64| Some(end.to_string()).filter(|_| end.is_finite());
                let [low, high] = [low, high].map(|it| end(it).unwrap_or_default());
                write!(f, "enters:{low}..{high}{}", of(output))
            }
            OutputGoal::Turns { below } => write!(f, "turns:{below}"),
            OutputGoal::Near { within, template } => write!(f, "near:{within}:{}", template.image),
            OutputGoal::Aligns { above, template } => {
                write!(f, "aligns:{above}:{}", template.image)
            }
            OutputGoal::Margin(formula) => write!(f, "margin:{}", formula.file),
        }
    }
}

impl OutputGoal {
    /// What happens when the goal is reached, as the end of a sentence.
    pub fn in_words(&self) -> String {
        match self {
            OutputGoal::AnyFlip => "a label flips".into(),
            OutputGoal::Flip(label) => format!("label {label} flips"),
            OutputGoal::Labels(labels) if labels.is_empty() => "no label is on".into(),
            OutputGoal::Labels(labels) => {
                let labels: Vec<String> = labels.iter().map(usize::to_string).collect();
                format!("the labels {}, and no others, are on", labels.join(", "))
            }
            OutputGoal::Moves { by, output: None } => {
                format!("the outputs move by more than {by} (L2)")
            }
            OutputGoal::Moves {
                by,
                output: Some(output),
            } => format!("output {output} moves by more than {by}"),
            OutputGoal::Rises { by, output } => format!("output {output} rises by more than {by}"),
            OutputGoal::Falls { by, output } => format!("output {output} falls by more than {by}"),
            OutputGoal::Enters { low, high, output } => {
                if high.is_infinite() {
                    format!("output {output} is above {low}")
                } else if low.is_infinite() {
                    format!("output {output} is below {high}")
                } else {
                    format!("output {output} lies between {low} and {high}")
                }
            }
            OutputGoal::Turns { below } => {
                format!("the cosine of its outputs with the original's falls below {below}")
            }
            OutputGoal::Near { within, template } => {
                let image = template.image;
                format!("its outputs come nearer than {within} (L2) to those of image {image}")
            }
            OutputGoal::Aligns { above, template } => {
                let image = template.image;
                format!("the cosine of its outputs with those of image {image} rises above {above}")
            }
            OutputGoal::Margin(formula) => format!("{} is above 0", formula.file),
        }
    }

    /// What the numbers of labels and predictions in files of examples stand for, of a model with so many outputs.
    pub fn answers(&self, outputs: usize) -> Vec<String> {
        let labels = |first: &str, end: &str| {
            let labels = (0..outputs).map(|label| format!("label {label} {end}"));
            [first.to_owned()].into_iter().chain(labels).collect()
        };
        let fixed = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        match self {
            OutputGoal::AnyFlip => labels("as it was", "flips"),
            OutputGoal::Labels(_) => labels("reached", "is not as wanted"),
            OutputGoal::Enters { low, high, .. } if low.is_finite() && high.is_finite() => {
                fixed(&["reached", "below", "above"])
            }
            OutputGoal::Enters { .. } => fixed(&["reached", "outside"]),
            OutputGoal::Moves {
                output: Some(_), ..
            } => fixed(&["as it was", "rises", "falls"]),
            OutputGoal::Moves { output: None, .. } if outputs == 1 => {
                fixed(&["as it was", "rises", "falls"])
            }
            _ => fixed(&["as it was", "reached"]),
        }
    }
}

impl FromStr for OutputGoal {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (word, rest) = text.split_once(':').unwrap_or((text, ""));
        let (first, second) = match rest.split_once(':') {
            Some((first, second)) => (first, Some(second)),
            None => (rest, None),
        };
        let read = Words {
            text,
            first,
            second,
        };
        let goal = match word {
            "flips" if rest.is_empty() => OutputGoal::AnyFlip,
            "flips" => OutputGoal::Flip(read.whole(rest)?),
            "labels" if rest == "none" => OutputGoal::Labels(BTreeSet::new()),
            "labels" => {
                let labels = rest.split(',').map(|label| read.whole(label.trim()));
                OutputGoal::Labels(labels.collect::<Result<_, _>>()?)
            }
            "moves" => OutputGoal::Moves {
                by: read.distance()?,
                output: second.map(|output| read.whole(output)).transpose()?,
            },
            "rises" => OutputGoal::Rises {
                by: read.distance()?,
                output: read.output()?,
            },
            "falls" => OutputGoal::Falls {
                by: read.distance()?,
                output: read.output()?,
            },
            "enters" => {
                let (low, high) = read.interval()?;
                OutputGoal::Enters {
                    low,
                    high,
                    output: read.output()?,
                }
            }
            "turns" if second.is_none() => OutputGoal::Turns {
                below: read.cosine()?,
            },
            "near" => OutputGoal::Near {
                within: read.distance()?,
                template: read.template()?,
            },
            "aligns" => OutputGoal::Aligns {
                above: read.cosine()?,
                template: read.template()?,
            },
            "margin" if !rest.is_empty() => OutputGoal::Margin(Formula {
                file: rest.to_owned(),
                network: None,
            }),
            _ => return Err(format!("unknown goal `{text}`; {GOALS}")),
        };
        Ok(goal)
    }
}

/// What stands after a goal's first word.
struct Words<'t> {
    text: &'t str,
    first: &'t str,
    second: Option<&'t str>,
}

impl Words<'_> {
    fn whole(&self, word: &str) -> Result<usize, String> {
        word.parse().map_err(|_| {
            let text = self.text;
            format!(
                "`{text}` is no goal: `{word}` is not the number of an output or image; {GOALS}"
            )
        })
    }

    fn number(&self, word: &str) -> Result<f64, String> {
        let number = word.parse().ok().filter(|number: &f64| number.is_finite());
        number.ok_or_else(|| format!("`{}` is no goal: `{word}` is no number; {GOALS}", self.text))
    }

    fn distance(&self) -> Result<f64, String> {
        let distance = self.number(self.first)?;
        if distance > 0.0 {
            Ok(distance)
        } else {
            Err(format!("`{}` is no goal: a distance is above 0", self.text))
        }
    }

    fn cosine(&self) -> Result<f64, String> {
        let cosine = self.number(self.first)?;
        if cosine > -1.0 && cosine < 1.0 {
            Ok(cosine)
        } else {
            let text = self.text;
            Err(format!(
                "`{text}` is no goal: a cosine lies between -1 and 1"
            ))
        }
    }

    fn interval(&self) -> Result<(f64, f64), String> {
        let wrong = || {
            let text = self.text;
            format!(
                "`{text}` is no goal: give an interval as in 2..5, 2.. or ..5, its lower end first"
            )
        };
        let (low, high) = self.first.split_once("..").ok_or_else(wrong)?;
        let end = |word: &str, none: f64| match word {
            "" => Ok(none),
            word => self.number(word),
        };
        let (low, high) = (end(low, f64::NEG_INFINITY)?, end(high, f64::INFINITY)?);
        if low < high && (low.is_finite() || high.is_finite()) {
            Ok((low, high))
        } else {
            Err(wrong())
        }
    }

    /// The first output, unless another is named.
    fn output(&self) -> Result<usize, String> {
        self.second.map_or(Ok(0), |output| self.whole(output))
    }

    fn template(&self) -> Result<Template, String> {
        let image = self.second.ok_or_else(|| {
            let text = self.text;
            format!("`{text}` is no goal: say which image's outputs are to be reached, as in near:0.5:17")
        })?;
        Ok(Template {
            image: self.whole(image)?,
            outputs: [].into(),
        })
    }
}

impl From<OutputGoal> for String {
    fn from(goal: OutputGoal) -> String {
        goal.to_string()
    }
}

impl TryFrom<String> for OutputGoal {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goals_are_read_as_they_are_written() {
        for text in [
            "flips",
            "flips:3",
            "labels:none",
            "labels:0,2,17",
            "moves:0.5",
            "moves:0.5:0",
            "rises:2",
            "falls:1.5:2",
            "enters:-1..2.5:1",
            "enters:3..",
            "enters:..0",
            "turns:0.5",
            "near:0.5:17",
            "aligns:0.9:4",
            "margin:head:2.onnx",
        ] {
            assert_eq!(text.parse::<OutputGoal>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_goal_is_told_what_is() {
        for (text, why) in [
            ("flip", "use flips"),
            ("flips:a", "`a` is not the number"),
            ("moves:0", "above 0"),
            ("moves:nan", "no number"),
            ("moves:", "no number"),
            ("rises:1:x", "`x` is not the number"),
            ("enters:3", "2..5"),
            ("enters:3..2", "2..5"),
            ("enters:..", "2..5"),
            ("turns:1.5", "between -1 and 1"),
            ("near:0.5", "near:0.5:17"),
            ("margin:", "use flips"),
            ("labels:", "not the number"),
        ] {
            let error = text.parse::<OutputGoal>().unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
