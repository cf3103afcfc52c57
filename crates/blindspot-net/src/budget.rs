//! How much memory and time a model may take, whatever its file asks for.

use std::fmt;
use std::fs::read_to_string;
use std::str::FromStr;
use std::time::{Duration, Instant};

/// The share of the machine's memory that is allowed unless something else is said.
const SHARE: f64 = 0.75;

/// What is allowed where the machine does not tell its memory: 8 GB.
const UNKNOWN: u64 = 8_000_000_000;

/// The time that computing a file's constants may take unless something else is said.
const TIME: Duration = Duration::from_secs(10);

/// Steps that a core takes in a second, at least: see [`Op::steps`](crate::Op::steps).
const STEPS_A_SECOND: f64 = 1e9;

/// How much memory and time reading a model may take, and how much memory running it.
///
/// A file of a few hundred bytes can ask for constants of gigabytes, or for sums of hours. What it
/// asks for is counted before it is allocated or computed, and refused where it is more than this.
/// Only whether a model is refused depends on a budget, never a number that comes out.
///
/// ```
/// use blindspot_net::Budget;
///
/// let budget = Budget { memory: 2_000_000_000, ..Budget::default() };
/// let why = budget.check(550_000_000_000, || "the columns of node `conv1`".into()).unwrap_err();
/// assert_eq!(why.to_string(), "it needs 550 GB for the columns of node `conv1`; 2 GB are allowed");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Bytes of memory.
    pub memory: u64,
    /// The time for computing what is constant in a file, and for writing out what it repeats.
    pub time: Duration,
}

impl Default for Budget {
    /// Three quarters of the memory that the machine, the container and the shell's limits leave, or
    /// 8 GB where they don't tell; 10 seconds.
    fn default() -> Budget {
        let memory = machine_memory().map_or(UNKNOWN, |bytes| (bytes as f64 * SHARE) as u64);
        Budget { memory, time: TIME }
    }
}

/// Why something would take more than a [`Budget`] allows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BudgetError {
    /// More memory.
    #[error(
        "it needs {} for {what}; {} are allowed",
        Bytes(*needs),
        Bytes(*allowed)
    )]
    Memory {
        /// Bytes that are needed, at the same time as `what`.
        needs: u64,
        /// What takes most of them, or the last of them.
        what: String,
        /// Bytes that are allowed.
        allowed: u64,
    },
    /// More steps than are worth to be waited for.
    #[error("{what} takes {:.1e} steps; {:.1e} are the most", *steps as f64, *most as f64)]
    Steps {
        /// What takes them.
        what: String,
        /// Elementary steps, some billion a second on a core.
        steps: u64,
        /// How many there may be.
        most: u64,
    },
    /// More time.
    #[error(
        "{what} takes {}more than the {:?} that are allowed",
        estimate(*.steps),
        allowed
    )]
    Time {
        /// What takes it.
        what: String,
        /// Elementary steps that it would take, some billion a second; `None` where the time has run
        /// out on the way.
        steps: Option<u64>,
        /// The time that is allowed.
        allowed: Duration,
    },
}

fn estimate(steps: Option<u64>) -> String {
    steps.map_or_else(String::new, |steps| {
        let seconds = steps as f64 / STEPS_A_SECOND;
        format!("about {seconds:.0} s by its {:.1e} steps, ", steps as f64)
    })
}

impl Budget {
    /// What is left of it beside so many bytes that are held.
    #[must_use]
    pub fn less(&self, held: u64) -> Budget {
        Budget {
            memory: self.memory.saturating_sub(held),
            ..*self
        }
    }

    /// Checks that so many bytes are allowed; `what` says what needs them, for the message.
    ///
    /// # Errors
    /// [`BudgetError::Memory`] where they are not.
    pub fn check(&self, needs: u64, what: impl FnOnce() -> String) -> Result<(), BudgetError> {
        if needs <= self.memory {
            return Ok(());
        }
        Err(BudgetError::Memory {
            needs,
            what: what(),
            allowed: self.memory,
        })
    }
}

/// What reading one file has taken of a budget so far.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    budget: Budget,
    /// Bytes that are held.
    held: u64,
    begun: Instant,
}

impl Account {
    pub(crate) fn new(budget: Budget) -> Account {
        Account {
            budget,
            held: 0,
            begun: Instant::now(),
        }
    }

    /// Lets the time begin now: loading a large file from a slow disk is no work of the file's own.
    pub(crate) fn begin(&mut self) {
        self.begun = Instant::now();
    }

    /// Checks that there is room for so many bytes more for a while.
    pub(crate) fn check(
        &self,
        bytes: u64,
        what: impl FnOnce() -> String,
    ) -> Result<(), BudgetError> {
        self.budget.check(self.held.saturating_add(bytes), what)
    }

    /// Counts bytes that will be held from now on.
    pub(crate) fn take(
        &mut self,
        bytes: u64,
        what: impl FnOnce() -> String,
    ) -> Result<(), BudgetError> {
        self.check(bytes, what)?;
        self.held = self.held.saturating_add(bytes);
        Ok(())
    }

    /// Checks that there is time left for so many steps.
    pub(crate) fn check_time(
        &self,
        steps: u64,
        what: impl FnOnce() -> String,
    ) -> Result<(), BudgetError> {
        let allowed = self.budget.time;
        let left = allowed.saturating_sub(self.begun.elapsed());
        let over = |steps| BudgetError::Time {
            what: what(),
            steps,
            allowed,
        };
        if left.is_zero() {
            Err(over(None))
        } else if steps as f64 / STEPS_A_SECOND > left.as_secs_f64() {
            Err(over(Some(steps)))
        } else {
            Ok(())
        }
    }
}

/// A number of bytes in a unit that suits it, in three digits: `550 GB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
        if self.0 < 1000 {
            return write!(f, "{} bytes", self.0);
        }
        let mut number = self.0 as f64 / 1e3;
        let mut unit = 0;
        // What would be written as 1000 is 1 of the next unit.
        while number >= 999.5 && unit + 1 < UNITS.len() {
            number /= 1e3;
            unit += 1;
        }
        let digits = match number {
            ..9.995 => 2,
            ..99.95 => 1,
            _ => 0,
        };
        let text = format!("{number:.digits$}");
        let text = if digits > 0 {
            text.trim_end_matches('0').trim_end_matches('.')
        } else {
            &text
        };
        write!(f, "{text} {}", UNITS[unit])
    }
}

impl FromStr for Bytes {
    type Err = String;

    /// Reads a number with its unit, as in `12GB`, `1.5 GiB` or `800MB`; without a unit it is of bytes.
    fn from_str(text: &str) -> Result<Bytes, String> {
        let text = text.trim();
        let end = text
            .find(|c: char| c.is_ascii_alphabetic())
            .unwrap_or(text.len());
        let unit = match text[end..].to_ascii_lowercase().as_str() {
            "" | "b" => 1.0,
            "k" | "kb" => 1e3,
            "m" | "mb" => 1e6,
            "g" | "gb" => 1e9,
            "t" | "tb" => 1e12,
            "kib" => 1024.0,
            "mib" => 1048576.0,
            "gib" => 1073741824.0,
            "tib" => 1099511627776.0,
            _ => 0.0,
        };
        match text[..end].trim().parse::<f64>() {
            Ok(number) if number * unit >= 1.0 => Ok(Bytes((number * unit) as u64)),
            _ => Err("give a size with its unit, as in 12GB or 800MB".into()),
        }
    }
}

/// The bytes of memory that this process can have at all: those of the machine, less where its
/// container or its shell allows less. `None` where the system does not tell.
fn machine_memory() -> Option<u64> {
    let physical = read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
        let kibibytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
        kibibytes.checked_mul(1024)
    });
    let of_container = [
        "/sys/fs/cgroup/memory.max",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    ]
    .into_iter()
    .filter_map(|path| read_to_string(path).ok()?.trim().parse::<u64>().ok());
    let of_shell = read_to_string("/proc/self/limits").ok().and_then(|text| {
        let line = text
            .lines()
            .find_map(|l| l.strip_prefix("Max address space"))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    });
    let all = of_container.chain(physical).chain(of_shell);
    all.filter(|&bytes| bytes > 0).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_their_units() {
        for (text, bytes) in [
            ("12GB", 12_000_000_000),
            ("1.5 GiB", 3 << 29),
            (" 800mb ", 800_000_000),
            ("7", 7),
        ] {
            assert_eq!(text.parse(), Ok(Bytes(bytes)), "{text}");
        }
        for text in ["", "GB", "0", "-1GB", "NaN", "12 parsecs", "1e", "\u{fc}B"] {
            assert!(text.parse::<Bytes>().is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_said_in_three_digits() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (999, "999 bytes"),
            (1000, "1 kB"),
            (1234, "1.23 kB"),
            (999_949, "1 MB"),
            (12_000_000_000, "12 GB"),
            (549_755_813_888, "550 GB"),
            (u64::MAX, "18.4 EB"),
        ] {
            assert_eq!(Bytes(bytes).to_string(), text);
        }
    }

    #[test]
    fn what_is_held_counts_towards_the_memory_and_what_is_done_towards_the_time() {
        let budget = Budget {
            memory: 1000,
            time: Duration::from_secs(3600),
        };
        let mut account = Account::new(budget);
        let what = || "the numbers of `w`".to_owned();
        account.take(600, what).unwrap();
        account.check(400, what).unwrap();
        let why = account.take(401, what).unwrap_err().to_string();
        assert_eq!(
            why,
            "it needs 1 kB for the numbers of `w`; 1 kB are allowed"
        );
        assert!(account.take(u64::MAX, what).is_err());
        account.take(400, what).unwrap();
        account.check_time(1_000_000, what).unwrap();
        let why = account.check_time(1 << 53, what).unwrap_err().to_string();
        assert!(why.contains("about 9007199 s by its 9.0e15 steps"), "{why}");
        let late = Account::new(Budget {
            time: Duration::ZERO,
            ..budget
        });
        let why = late.check_time(0, what).unwrap_err().to_string();
        assert_eq!(
            why,
            "the numbers of `w` takes more than the 0ns that are allowed"
        );
    }

    #[test]
    fn a_machine_that_tells_its_memory_allows_a_part_of_it() {
        let budget = Budget::default();
        assert!(budget.memory > 1 << 20);
        if let Some(all) = machine_memory() {
            assert!(budget.memory < all);
        }
    }
}
