//! A part of the work.

use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Part `index` of `count` of the work: its positions are cut into `count` ranges, one after the
/// other, whose lengths differ by one at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// Which part, from 0.
    pub index: usize,
    /// How many parts there are; at least 1.
    pub count: usize,
}

/// Parts of the work, at most.
const MOST: usize = 1_000_000;

/// A shard can't be told from what was given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0}; write I/N with I from 0 to N - 1, auto in a Slurm array job, or auto/N \
     in a Kubernetes indexed job"
)]
pub struct ShardError(String);

impl Shard {
    /// The whole work.
    pub const WHOLE: Shard = Shard { index: 0, count: 1 };

    /// The shard that a text names: `I/N`; `auto`, which takes both from `SLURM_ARRAY_TASK_ID` and
    /// `SLURM_ARRAY_TASK_COUNT`; `auto/N`, which takes I from `JOB_COMPLETION_INDEX` or Slurm's
    /// number. `variable` gives the value of an environment variable.
    ///
    /// # Errors
    /// [`ShardError`].
    pub fn parse(
        text: &str,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Shard, ShardError> {
        let number = |what: &str, text: &str| -> Result<usize, ShardError> {
            let number = text.trim().parse();
            number.map_err(|_| ShardError(format!("{what} is `{text}`, which is no number")))
        };
        let set = |name: &str| -> Result<Option<usize>, ShardError> {
            variable(name).map(|text| number(name, &text)).transpose()
        };
        // An array may begin at any number and leave some out.
        let slurm = || -> Result<Option<usize>, ShardError> {
            let Some(id) = set("SLURM_ARRAY_TASK_ID")? else {
                return Ok(None);
            };
            let first = set("SLURM_ARRAY_TASK_MIN")?.unwrap_or(0);
            let step = set("SLURM_ARRAY_TASK_STEP")?.unwrap_or(1).max(1);
            match id.checked_sub(first) {
                Some(after) if after % step == 0 => Ok(Some(after / step)),
                _ => Err(ShardError(format!(
                    "SLURM_ARRAY_TASK_ID is {id} in an array from {first} in steps of {step}"
                ))),
            }
        };
        let missing = |name: &str| ShardError(format!("{name} is not set"));
        let (index, count) = match text.split_once('/') {
            None if text == "auto" => {
                let index = slurm()?.ok_or_else(|| missing("SLURM_ARRAY_TASK_ID"))?;
                let count = set("SLURM_ARRAY_TASK_COUNT")?;
                (
                    index,
                    count.ok_or_else(|| missing("SLURM_ARRAY_TASK_COUNT"))?,
                )
            }
            Some(("auto", count)) => {
                let index = match set("JOB_COMPLETION_INDEX")? {
                    Some(index) => Some(index),
                    None => slurm()?,
                };
                let index = index.ok_or_else(|| missing("JOB_COMPLETION_INDEX"))?;
                (index, number("the number of shards", count)?)
            }
            Some((index, count)) => (
                number("the shard", index)?,
                number("the number of shards", count)?,
            ),
            None => return Err(ShardError(format!("`{text}` is no shard"))),
        };
        if index < count && count <= MOST {
            Ok(Shard { index, count })
        } else {
            Err(ShardError(format!("there is no shard {index} of {count}")))
        }
    }

    /// Its part of `positions` positions.
    pub fn range(&self, positions: usize) -> Range<usize> {
        let at = |index: usize| (positions as u128 * index as u128 / self.count as u128) as usize;
        at(self.index)..at(self.index + 1)
    }

    /// Its journal in a folder.
    pub fn path(&self, folder: &Path) -> PathBuf {
        folder.join(format!("shard-{}-of-{}.journal", self.index, self.count))
    }
}

impl std::fmt::Display for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}
